"""What this process has to do with the record of a training of several."""

from dataclasses import dataclass

from torch import distributed
from torch.optim import Optimizer

from surefoot.quantities import is_sharded

__all__ = ["Role", "role"]


@dataclass(frozen=True)
class Role:
    """The part of one rank.

    Args:
        writes: whether it keeps the record; rank 0 does.
        ranks: over which what is measured is added up: all where the model is sharded, else 1.
    """

    writes: bool
    ranks: int

    @property
    def measures(self) -> bool:
        """Whether its updates are measured: where all have the whole model one rank is enough."""
        return self.writes or self.ranks > 1


def role(optimizer: Optimizer) -> Role:
    """Return the part of this process."""
    if not distributed.is_available() or not distributed.is_initialized():
        return Role(writes=True, ranks=1)
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    sharded = any(is_sharded(parameter) for parameter in parameters)
    return Role(distributed.get_rank() == 0, distributed.get_world_size() if sharded else 1)
