"""Torch's optimizers as functions of tensors: one update of a stack inside a compiled function."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, optim
from torch.optim.adadelta import adadelta
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.adamax import adamax
from torch.optim.radam import radam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

__all__ = ["Group", "groups_of"]

_ADAM = (adam, ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"))

_FORMS: dict[type, tuple[Callable[..., None], tuple[str, ...]]] = {
    optim.SGD: (sgd, ("momentum_buffer",)),
    optim.Adam: _ADAM,
    optim.AdamW: _ADAM,
    optim.RAdam: (radam, ("exp_avg", "exp_avg_sq", "step")),
    optim.Adamax: (adamax, ("exp_avg", "exp_inf", "step")),
    optim.RMSprop: (rmsprop, ("square_avg", "grad_avg", "momentum_buffer", "step")),
    optim.Adagrad: (adagrad, ("sum", "step")),
    optim.Adadelta: (adadelta, ("square_avg", "acc_delta", "step")),
}
"""Of each optimizer torch's function for its update, and what of the state it takes, in order."""

_OURS = ("params", "lr", "foreach", "fused", "capturable", "differentiable")
"""Of a group, what is decided here."""


class Group(NamedTuple):
    """The parameters of one group of a stacked optimizer, and all that updates them."""

    form: Callable[..., None]
    names: list[str]
    rates: list[Tensor]
    """Base lr of each member, in a shape that multiplies the members of each parameter."""
    state: dict[str, list[Tensor | None]]
    """For each key of the state one tensor for each parameter, None where it has none."""
    options: dict[str, Any]

    def update(
        self, parameters: Mapping[str, Tensor], grads: Mapping[str, Tensor], factor: Tensor
    ) -> None:
        """Write the updated parameters and state in place: p ← p + lr·factor·(p₁ − p)."""
        own = [parameters[name] for name in self.names]
        moved = [each.clone() for each in own]
        state: dict[str, list[Any]] = dict(self.state)
        steps = state.get("step", [])
        if steps:  # all alike: computed once, in double precision as torch does from numbers
            state["step"] = [steps[0].double() for _ in own]
        given = [grads[name] for name in self.names]
        self.form(moved, given, *state.values(), **self.options, lr=1.0, foreach=False)
        for parameter, end, rate in zip(own, moved, self.rates, strict=True):
            parameter.copy_(torch.lerp(parameter, end, rate * factor))
        for old, new in zip(steps, state.get("step", []), strict=True):
            old.copy_(new)


def groups_of(
    optimizer: optim.Optimizer, names: Mapping[int, str], rates: Mapping[int, Tensor]
) -> list[Group]:
    """Return the groups of an optimizer of stacks that made an update already.

    Args:
        optimizer: one of those that :class:`~surefoot._engine.backends.updates.Quick` takes.
        names: of each stack, by its id.
        rates: of each stack, by its id; see :class:`Group`.
    """
    form, keys = _FORMS[type(optimizer)]
    accepted = inspect.signature(form).parameters
    found: list[Group] = []
    for group in optimizer.param_groups:
        held = [each for each in group["params"] if id(each) in names]
        options = {k: v for k, v in group.items() if k in accepted and k not in _OURS}
        if optimizer.__class__ is optim.RAdam:  # the other way branches on the step
            options["capturable"] = True
        if "betas" in group:
            options["beta1"], options["beta2"] = group["betas"]
        state = {key: [optimizer.state[each].get(key) for each in held] for key in keys}
        own = [names[id(each)] for each in held], [rates[id(each)] for each in held]
        found.append(Group(form, *own, state, options))
    return found
