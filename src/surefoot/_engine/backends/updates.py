"""The update of K stacked members by the user's optimizer, each at its own rate."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from surefoot._engine import groups
from surefoot._engine.backends._backend import UnfitError
from surefoot._engine.backends.functional import Group, groups_of
from surefoot._engine.backends.stack import rows
from surefoot._engine.memory import Memory
from surefoot._engine.random_state import RandomState

__all__ = ["Exact", "Quick", "Updates", "become_views", "clip", "may_be_quick"]

QUICK_BELOW = 40_000
"""Without the user's word, updates are quick where the parameter tensors of a model have fewer
elements than this on average; beyond it they are exact, which is then no slower."""

MOST_QUICK = 10.0
"""The largest rate up to which the error of quick updates was measured."""

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

    def check(self) -> None:
        """Refuse optimizers that parted a member from the stacks.

        Raises:
            UnfitError: one gave a parameter another tensor.
        """
        ...

    def check_kept(self) -> None:
        """Refuse optimizers that cannot go on with a part of the members.

        Raises:
            UnfitError: one holds the stacks in a way of its own.
        """
        ...

    def keep(self, stacks: dict[str, Tensor], indexes: Sequence[int]) -> None:
        """Go on with these members alone.

        Args:
            stacks: their parameters by name, [len(indexes), …], by which the old ones are replaced.
            indexes: their numbers among those of before.
        """
        ...


class Exact:
    """Each member has the user's optimizer, whose parameters are views of the stacks.

    The arithmetic is that of a training alone, to the last bit. K optimizers rather than one
    with all their groups: this costs a little more, and what an optimizer computes over all its
    groups (a trust ratio, an estimate of the distance) stays each member's own.

    Args:
        stacks: the stacked parameters by name, [K, …].
        models: the K models; their parameters are views, see :func:`become_views`.
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
        self._models = models
        members = [dict(model.named_parameters()) for model in models]
        self._views = [
            (stack, [member[name] for member in members]) for name, stack in stacks.items()
        ]
        self._own_kind = not all(map(_is_of_torch, optimizers))

    def step(self, factor: float, clip_norm: float | None) -> None:
        """See :class:`Updates`."""
        for stack, parameters in self._views:
            grads = [None] * len(parameters) if stack.grad is None else stack.grad.unbind()
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter.grad = grad
        if clip_norm is not None:
            for model in self._models:
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        random = RandomState() if self._own_kind else None
        for optimizer, base in zip(self._optimizers, self._base, strict=True):
            if random is not None:  # each draws what it would draw alone
                random.restore()
            groups.write(optimizer, [lr * factor for lr in base])
            optimizer.step()

    def check(self) -> None:
        """See :class:`Updates`."""
        for stack, parameters in self._views:
            for view, parameter in zip(stack.detach().unbind(), parameters, strict=True):
                if parameter.data_ptr() != view.data_ptr():
                    raise UnfitError("its optimizer replaces the tensors of its parameters")

    def check_kept(self) -> None:
        """See :class:`Updates`."""
        self.check()
        if self._own_kind:
            _refuse_held(self._optimizers, [stack for stack, _ in self._views])

    def keep(self, stacks: dict[str, Tensor], indexes: Sequence[int]) -> None:
        """See :class:`Updates`."""
        self._optimizers = [self._optimizers[index] for index in indexes]
        self._base = [self._base[index] for index in indexes]
        self._models = [self._models[index] for index in indexes]
        members = [dict(model.named_parameters()) for model in self._models]
        self._views = [
            (stack, [member[name] for member in members]) for name, stack in stacks.items()
        ]
        for stack, parameters in self._views:
            for parameter, view in zip(parameters, stack.detach().unbind(), strict=True):
                parameter.grad = None
                parameter.data = view


def become_views(
    model: nn.Module, stacks: dict[str, Tensor], frozen: nn.Module, index: int
) -> None:
    """Make the trainable parameters of a member views of the stacks, which take its values.

    Its frozen parameters become those of ``frozen``, which all members share. This comes before
    its optimizer is made, which may keep ``parameter.data``.
    """
    shared = dict(frozen.named_parameters())
    for name, parameter in model.named_parameters():
        if name in stacks:
            view = stacks[name].detach()[index]
            view.copy_(parameter.detach())
            parameter.data = view
        else:
            parameter.data = shared[name].data


def _refuse_held(optimizers: Sequence[Optimizer], stacks: Sequence[Tensor]) -> None:
    """Refuse optimizers that keep, beside their parameters, tensors on the same memory."""
    places = {stack.untyped_storage().data_ptr() for stack in stacks}
    for optimizer in optimizers:
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        held = Memory()
        held.keep(vars(optimizer), optimizer.state, optimizer.param_groups)
        for tensor in held.tensors:
            if id(tensor) not in own and tensor.untyped_storage().data_ptr() in places:
                raise UnfitError("its optimizer holds the memory of its parameters besides them")


def _is_of_torch(optimizer: Optimizer) -> bool:
    """Return whether a step is torch's own and nothing besides."""
    hooked = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return type(optimizer).__module__.startswith("torch.optim.") and not hooked


class Quick:
    r"""One optimizer steps all stacks at lr 1, then each member goes its share of the way.

    .. math:: p \leftarrow p_0 + \mathrm{lr}_k \cdot (p_1 - p_0)

    Rounding differs from a training alone; the relative error of the parameters is below 1e-6 for
    lr ≤ 1, below 1e-5 with decoupled weight decay and for lr ≤ 10. Only where :func:`may_be_quick`.

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
        self._names = list(stacks)
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
            clip([s.grad for s in self._stacks if s.grad is not None], clip_norm)
        for move in self._moves:
            move.before.copy_(move.stack)
        self._optimizer.step()
        for move in self._moves:
            share = move.rate if factor == 1 else move.rate * factor
            torch.lerp(move.before, move.stack, share, out=move.stack)

    def groups(self) -> list[Group]:
        """Return what updates the stacks, as functions of tensors; after the first update."""
        names = {id(s): name for name, s in zip(self._names, self._stacks, strict=True)}
        rates = {id(move.whole): move.rate for move in self._moves}
        return groups_of(self._optimizer, names, rates)

    def check(self) -> None:
        """See :class:`Updates`; torch's own optimizers write in place."""

    check_kept = check

    def keep(self, stacks: dict[str, Tensor], indexes: Sequence[int]) -> None:
        """See :class:`Updates`."""
        old = zip(self._stacks, self._names, strict=True)
        new = {id(stack): stacks[name] for stack, name in old}
        for group in self._optimizer.param_groups:
            before = group["params"]
            group["params"] = [new[id(stack)] for stack in before]
            for stack in before:
                state = self._optimizer.state.pop(stack, None)
                if state is not None:
                    self._optimizer.state[new[id(stack)]] = _chosen(state, stack, indexes)
        self._moves = [move.of(new[id(move.whole)], indexes) for move in self._moves]
        self._stacks = [stacks[name] for name in self._names]


class _Move:
    """A stack, where it was before the update, and the rate of each member in its shape."""

    def __init__(self, stack: Tensor, rates: Tensor) -> None:
        self.whole = stack
        self.stack = stack.detach()
        self.before = torch.empty_like(self.stack)
        self.rates = rates
        self.rate = _columns(rates.to(stack.device, stack.dtype), stack)

    def of(self, stack: Tensor, indexes: Sequence[int]) -> "_Move":
        """Return the move of a stack of these members."""
        return _Move(stack, self.rates[list(indexes)])


def _columns(values: Tensor, like: Tensor) -> Tensor:
    """Return K values in a shape that multiplies the members of a stack."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _stacked(state: dict[str, Any], stack: Tensor) -> dict[str, Any]:
    """Return what an optimizer keeps of one member's parameter as it would be for the stack."""
    return {
        key: value.expand_as(stack).clone()
        if isinstance(value, Tensor) and value.shape == stack.shape[1:] and key != "step"
        else value
        for key, value in state.items()
    }


def _chosen(state: dict[str, Any], stack: Tensor, indexes: Sequence[int]) -> dict[str, Any]:
    """Return what an optimizer keeps of a stack, for these members alone."""
    return {
        key: rows(value, indexes)
        if isinstance(value, Tensor) and value.shape == stack.shape and key != "step"
        else value
        for key, value in state.items()
    }


def clip(grads: Sequence[Tensor], norm: float) -> None:
    """Scale the gradients [K, …] of each member to at most this norm, as torch does for one."""
    norms = [torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads]
    total = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    scale = (norm / (total + 1e-6)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(_columns(scale, grad))


def may_be_quick(
    exact: bool | None, optimizers: Sequence[Optimizer], model: nn.Module, peak: float
) -> bool:
    """Return whether one optimizer over the stacks does for all members, and is worth it.

    Args:
        exact: what the user asked for.
        optimizers: those of the members, which must differ by the lr alone.
        model: the model that they were made for.
        peak: the largest factor of the schedule.
    """
    first = optimizers[0]
    if exact or type(first) not in _SCALING or not _is_of_torch(first):
        return False
    if any(_apart_from_lr(other) != _apart_from_lr(first) for other in optimizers):
        return False
    if any(lr * peak > MOST_QUICK for other in optimizers for lr in groups.read(other)):
        return False
    sizes = [p.numel() for p in model.parameters() if p.requires_grad]
    return exact is False or sum(sizes) < QUICK_BELOW * len(sizes)


def _apart_from_lr(optimizer: Optimizer) -> list[Any]:
    """Return all that decides the updates of an optimizer but its rates, to be compared."""
    found: list[Any] = []
    for group in optimizer.param_groups:
        plain = not isinstance(group["lr"], Tensor)
        flags = ("capturable", "differentiable", "fused")
        if not plain or any(group.get(flag) for flag in flags):
            return [object()]
        rest = {k: repr(v) for k, v in group.items() if k not in ("params", "lr", "initial_lr")}
        found.append((rest, [id(parameter) for parameter in group["params"]]))
    states = [(k, repr(v)) for s in optimizer.state.values() for k, v in s.items()]
    return [*found, states]
