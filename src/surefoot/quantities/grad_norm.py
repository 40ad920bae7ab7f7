"""The norm of the gradient."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from surefoot.quantities._quantity import Quantity, parameters, total_norm

__all__ = ["GradNorm"]


class GradNorm(Quantity):
    r"""L2 norm of all gradients together, as the optimizer sees them (after clipping).

    .. math:: \|g\| = \sqrt{\textstyle\sum_p \|g_p\|_2^2}

    Records ``grad_norm``, in the unit of loss per weight. Costs one pass over the gradients.
    """

    def begin(self, optimizer: Optimizer) -> None:
        """Measure: the step itself may change gradients."""
        gradients = [p.grad.detach() for p in parameters(optimizer) if p.grad is not None]
        self._norm = total_norm(gradients)

    def end(self, optimizer: Optimizer) -> Mapping[str, Tensor | float]:  # noqa: ARG002
        """Return what was measured before the step."""
        return {"grad_norm": self._norm}
