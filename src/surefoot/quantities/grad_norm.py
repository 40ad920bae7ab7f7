"""The norm of the gradient."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from surefoot.quantities._quantity import Quantity, parameters, total_norm

__all__ = ["GradNorm"]


class GradNorm(Quantity):
    r"""L2 norm of all gradients together, as the optimizer sees them (after clipping).

    .. math:: \|g\| = \sqrt{\textstyle\sum_p \|g_p\|_2^2}

    Records ``grad_norm``, in the unit of loss per weight. Costs one pass over the gradients. Of a
    step that computes its gradients itself, in a closure, it is the norm of those that were there
    before, in the first step of those that came.
    """

    def begin(self, optimizer: Optimizer) -> None:
        """Measure: the step itself may change gradients."""
        self._gradients = _gradients(optimizer)
        self._norm = total_norm(self._gradients)

    def end(self, optimizer: Optimizer) -> Mapping[str, Tensor | float]:
        """Return what was measured before the step."""
        if not self._gradients:
            self._norm = total_norm(_gradients(optimizer))
        self._gradients = []
        return {"grad_norm": self._norm}


def _gradients(optimizer: Optimizer) -> list[Tensor]:
    return [p.grad.detach() for p in parameters(optimizer) if p.grad is not None]
