"""The update of K stacked members by the user's optimizer, each at its own rate."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from surefoot._engine import groups

__all__ = ["Exact", "Quick", "Updates", "scales_with_lr"]

_SCALING = (
    optim.SGD,
    optim.Adam,
    optim.AdamW,
    optim.RAdam,
    optim.Adamax,
    optim.RMSprop,
    optim.Adagrad,
    optim.Adadelta,
)
"""Optimizers whose update is the lr times something that does not depend on it, and for which the
quick way was measured to be as exact as :class:`Quick` says (NAdam's error is 1.3e-6)."""


class Updates(Protocol):
    """A way to update the stacked parameters from their gradients."""

    def step(self, factor: float, clip_norm: float | None) -> None:
        """Update every member, at its base rates times ``factor``; gradients clipped before."""
        ...


class Exact:
    """Each member has the user's optimizer, whose parameters are views of the stacks.

    The arithmetic is that of a training alone, to the last bit. K optimizers rather than one
    with all their groups: this costs a little more, and what an optimizer computes over all its
    groups (a trust ratio, an estimate of the distance) stays each member's own.

    Args:
        stacks: the stacked parameters by name, [K, …].
        models: the K models; their parameters become views.
        optimizers: the K optimizers that hold them.
    """

    def __init__(
        self,
        stacks: dict[str, Tensor],
        models: Sequence[nn.Module],
        optimizers: Sequence[Optimizer],
    ) -> None:
        self._optimizers = optimizers
        self._base = [groups.read(optimizer) for optimizer in optimizers]
        self._factor = 1.0
        members = [dict(model.named_parameters()) for model in models]
        self._views = [
            (stack, [member[name] for member in members]) for name, stack in stacks.items()
        ]
        for stack, parameters in self._views:
            for parameter, view in zip(parameters, stack.detach().unbind(), strict=True):
                parameter.data = view
        self._members = [list(member.values()) for member in members]

    def step(self, factor: float, clip_norm: float | None) -> None:
        """See :class:`Updates`."""
        for stack, parameters in self._views:
            grads = [None] * len(parameters) if stack.grad is None else stack.grad.unbind()
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter.grad = grad
        if clip_norm is not None:
            for parameters in self._members:
                nn.utils.clip_grad_norm_(parameters, clip_norm)
        if factor != self._factor:
            for optimizer, base in zip(self._optimizers, self._base, strict=True):
                groups.write(optimizer, [lr * factor for lr in base])
            self._factor = factor
        for optimizer in self._optimizers:
            optimizer.step()


class Quick:
    r"""One optimizer steps all stacks at lr 1, then each member goes its share of the way.

    .. math:: p \leftarrow p_0 + \mathrm{lr}_k \cdot (p_1 - p_0)

    Rounding differs from a training alone; the relative error of the parameters is below 1e-6 for
    lr ≤ 1, below 1e-5 with decoupled weight decay. Only for optimizers of which
    :func:`scales_with_lr` is true.

    Args:
        stacks: the stacked parameters by name, [K, …].
        model: the model that lent them its structure.
        optimizer: an optimizer of that model, which from now on holds the stacks.
        base: for each member the base lr of each group, K × groups.
    """

    def __init__(
        self,
        stacks: dict[str, Tensor],
        model: nn.Module,
        optimizer: Optimizer,
        base: Sequence[Sequence[float]],
    ) -> None:
        self._optimizer = optimizer
        self._stacks = list(stacks.values())
        self._moves: list[_Move] = []
        stack_of = {id(p): stacks[name] for name, p in model.named_parameters() if name in stacks}
        for index, group in enumerate(optimizer.param_groups):
            rates = torch.tensor([lrs[index] for lrs in base], dtype=torch.float64)
            old = [parameter for parameter in group["params"] if id(parameter) in stack_of]
            group["params"] = [stack_of[id(parameter)] for parameter in old]
            for parameter, stack in zip(old, group["params"], strict=True):
                if parameter in optimizer.state:
                    optimizer.state[stack] = _stacked(optimizer.state.pop(parameter), stack)
                self._moves.append(_Move(stack, rates))
        groups.write(optimizer, [1.0] * len(optimizer.param_groups))

    @torch.no_grad()
    def step(self, factor: float, clip_norm: float | None) -> None:
        """See :class:`Updates`."""
        if clip_norm is not None:
            _clip(self._stacks, clip_norm)
        for move in self._moves:
            move.before.copy_(move.stack)
        self._optimizer.step()
        for move in self._moves:
            share = move.rate if factor == 1 else move.rate * factor
            torch.lerp(move.before, move.stack, share, out=move.stack)


class _Move:
    """A stack, where it was before the update, and the rate of each member in its shape."""

    def __init__(self, stack: Tensor, rates: Tensor) -> None:
        self.stack = stack.detach()
        self.before = torch.empty_like(self.stack)
        self.rate = _columns(rates.to(stack.device, stack.dtype), stack)


def _columns(values: Tensor, like: Tensor) -> Tensor:
    """Return K values in a shape that multiplies the members of a stack."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _stacked(state: dict[str, Any], stack: Tensor) -> dict[str, Any]:
    """Return what an optimizer keeps of one member's parameter as it would be for the stack."""
    return {
        key: value.expand_as(stack).clone()
        if isinstance(value, Tensor) and value.shape == stack.shape[1:] and value.ndim
        else value
        for key, value in state.items()
    }


def _clip(stacks: Sequence[Tensor], norm: float) -> None:
    """Scale the gradient of each member to at most this norm, as torch does for one model."""
    grads = [stack.grad for stack in stacks if stack.grad is not None]
    norms = [torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads]
    total = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    scale = (norm / (total + 1e-6)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(_columns(scale, grad))


def scales_with_lr(optimizer: Optimizer) -> bool:
    """Return whether an update of this optimizer is its lr times what does not depend on it."""
    plain = type(optimizer) in _SCALING and not (
        optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    )
    return plain and not any(
        isinstance(group["lr"], Tensor)
        or any(group.get(flag) for flag in ("capturable", "differentiable", "fused"))
        for group in optimizer.param_groups
    )
