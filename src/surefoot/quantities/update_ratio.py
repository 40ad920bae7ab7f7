"""How far an update moves the weights, relative to their size."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from surefoot.quantities._quantity import Quantity, parameters, total_norm

__all__ = ["UpdateRatio"]


class UpdateRatio(Quantity):
    r"""Update-to-weight ratio over all parameters together.

    .. math:: \frac{\|w_{t+1} - w_t\|_2}{\|w_t\|_2}

    Records ``update_ratio``, dimensionless; about 1e-3 to 1e-2 in healthy training that is under
    way, ten times that and more at the first updates from scratch, infinite where all weights were
    0. Parameters without a gradient do not count. Costs a copy of the parameters and two passes
    over them.

    Reference:
        Karpathy, CS231n notes, *Neural Networks Part 3*, 2015 (the rule of thumb 1e-3).
    """

    def begin(self, optimizer: Optimizer) -> None:
        """Copy the parameters: all, where the gradients are still to come, in a closure."""
        every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._copies = [(p, p.detach().clone()) for p in list(parameters(optimizer)) or every]

    def end(self, optimizer: Optimizer) -> Mapping[str, Tensor | float]:  # noqa: ARG002
        """Return the ratio and drop the copy."""
        moved = [(p, before) for p, before in self._copies if p.grad is not None]
        self._copies = []
        steps = total_norm([p.detach() - before for p, before in moved])
        return {"update_ratio": steps / total_norm([before for _, before in moved])}
