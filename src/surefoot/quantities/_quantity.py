"""What every quantity is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["Quantity", "parameters", "total_norm"]


class Quantity(ABC):
    """Something measured around one ``optimizer.step()``.

    Override :meth:`end`, and :meth:`begin` where the state before the step is needed. A value may
    stay a tensor on its device: it is fetched later, together with others.
    """

    cadence: int | None = None
    """Measure at every so many updates; None leaves it to the watch."""

    def begin(self, optimizer: Optimizer) -> None:  # noqa: B027  most need nothing before the step
        """Take what is needed before the parameters move; gradients are there."""

    @abstractmethod
    def end(self, optimizer: Optimizer) -> Mapping[str, Tensor | float]:
        """Return the values by name, after the parameters moved."""


def parameters(optimizer: Optimizer) -> Iterator[Tensor]:
    """Yield the parameters that have a gradient, which are those that a step moves."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter


def total_norm(tensors: list[Tensor]) -> Tensor:
    """Return the L2 norm of all the tensors together; 0 for none."""
    if not tensors:
        return torch.zeros(())
    dense = [tensor.coalesce().values() if tensor.is_sparse else tensor for tensor in tensors]
    return torch.nn.utils.get_total_norm(dense)
