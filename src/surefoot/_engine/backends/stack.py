"""K models of one kind as one: each tensor stacked, member first."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from surefoot._engine.backends._backend import Randomness
from surefoot._engine.backends.refusals import refuse_hooks
from surefoot._engine.trial import Trial

__all__ = ["Stack"]


class Stack:
    """The tensors of K models, and the loss of all of them in one call.

    Trainable parameters and buffers are stacked to [K, …]. Frozen parameters, which nothing
    changes, are those of the first model, not copied. The loss is computed by the user's own
    callables: model and objective run as one module whose tensors are exchanged, so that an
    objective that reads ``model[0].weight`` reads each member's.

    Args:
        trial: what computes the loss.
        model: the model of the first member; it lends its structure.
        count: K.

    Raises:
        Unfit: a parameter has a gradient hook.
    """

    def __init__(self, trial: Trial, model: nn.Module, count: int) -> None:
        refuse_hooks(model)
        self._model = model
        self._task = _Task(trial, model)
        self._buffers = {name: _repeated(each, count) for name, each in model.named_buffers()}
        self.parameters = {
            name: _repeated(parameter, count).requires_grad_()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        """Leaves [K, …]; the ``grad`` of each is that of all members."""

    def losses(self, batch: Any, randomness: Randomness) -> Tensor:
        """Return the loss of each member on the batch, [K], ready for backward."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Any:
            tensors = {f"model.{name}": value for name, value in (parameters | buffers).items()}
            return functional_call(self._task, tensors, (batch,))

        together = vmap(one, randomness=randomness)
        losses, buffers = together(self.parameters, self._buffers)
        self._buffers = {name: buffer.contiguous() for name, buffer in buffers.items()}
        return losses

    def grads(self, index: int) -> dict[str, Tensor | None]:
        """Return the gradient of each trainable parameter of one member."""
        return {
            name: None if stack.grad is None else stack.grad[index]
            for name, stack in self.parameters.items()
        }

    def member(self, index: int) -> nn.Module:
        """Return the model with the values of one member; it is the same object each time."""
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                if name in self.parameters:
                    parameter.data = self.parameters[name].detach()[index]
            for name, buffer in self._model.named_buffers():
                buffer.data = self._buffers[name][index]
        return self._model


class _Task(nn.Module):
    """Model and objective as one module, so that the objective too sees exchanged tensors."""

    def __init__(self, trial: Trial, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._trial = trial

    def forward(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the buffers as they are after it."""
        loss = self._trial.compute_loss(self.model, batch)
        return loss, dict(self.model.named_buffers())


def _repeated(tensor: Tensor, count: int) -> Tensor:
    return tensor.detach().expand(count, *tensor.shape).clone()
