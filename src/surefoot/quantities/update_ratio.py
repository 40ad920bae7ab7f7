"""How far an update moves the weights, relative to their size."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from surefoot.quantities._quantity import Quantity, parameters, total_norm

__all__ = ["UpdateRatio"]


class UpdateRatio(Quantity):
    r"""Update-to-weight ratio over all parameters together.

    .. math:: \frac{\|w_{t+1} - w_t\|_2}{\|w_t\|_2}

    Records ``update_ratio``, dimensionless; about 1e-3 to 1e-2 in healthy training. Costs a copy of
    the parameters and two passes over them.

    Reference:
        Karpathy, CS231n notes, *Neural Networks Part 3*, 2015 (the rule of thumb 1e-3).
    """

    def begin(self, optimizer: Optimizer) -> None:
        """Copy the parameters."""
        self._moved = list(parameters(optimizer))
        self._before = [parameter.detach().clone() for parameter in self._moved]

    def end(self, optimizer: Optimizer) -> Mapping[str, Tensor | float]:  # noqa: ARG002
        """Return the ratio and drop the copy."""
        steps = [
            parameter.detach() - before
            for parameter, before in zip(self._moved, self._before, strict=True)
        ]
        weight = total_norm(self._before)
        self._moved, self._before = [], []
        return {"update_ratio": total_norm(steps) / weight}
