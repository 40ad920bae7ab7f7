"""The rates and other numbers of parameter groups: the one place that writes them."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._engine.fields import LR, Field, available, content, number, own_values
from surefoot.errors import InputError

__all__ = [
    "adopt",
    "advance",
    "advance_each",
    "as_written",
    "default_lr",
    "fill",
    "fill_each",
    "put",
    "ratios",
    "read",
    "set_base",
    "write",
]

# What people start from. SGD: 0.1 beats 0.01 and 0.001 on 11 small workloads (median regret 32 %
# against 76 and 79 %); the Adam family, to which most others belong: 1e-3; the rest: torch's own
# defaults.
_DEFAULTS = {
    "SGD": 0.1,
    "ASGD": 0.01,
    "Adadelta": 1.0,
    "Adafactor": 0.01,
    "Adagrad": 0.01,
    "LBFGS": 1.0,
    "Lion": 1e-4,
    "RMSprop": 0.01,
    "Rprop": 0.01,
}


def read(optimizer: Optimizer) -> tuple[float, ...]:
    """Return the learning rate of each parameter group.

    Raises:
        InputError: a group has no lr.
    """
    for index, group in enumerate(optimizer.param_groups):
        if group.get("lr") is None:
            raise InputError(
                f"optimizer must have a learning rate in each parameter group; group {index} of "
                f"{type(optimizer).__name__} has none."
            )
    return tuple(number(group["lr"]) for group in optimizer.param_groups)


def write(optimizer: Optimizer, lrs: Sequence[float]) -> None:
    """Give each parameter group its learning rate; a tensor lr is filled in place."""
    for group, lr in zip(optimizer.param_groups, lrs, strict=True):
        if type(group["lr"]) is float:  # the usual case by itself, for this runs at every update
            group["lr"] = lr
        else:
            put(group, LR, lr)


def advance(groups: Iterable[dict[str, Any]], factor: float, before: float) -> list[float]:
    """Give each group its base lr × ``factor``, and return the rates that were there.

    This runs at every update of a training, so it does the usual cases by itself. A tensor is
    filled in place and never read, for that would wait for its device: what is returned for it is
    what was written last, its base lr × ``before``.
    """
    used: list[float] = []
    for group in groups:
        lr = group["lr"]
        base = group.get("initial_lr")
        if type(base) is float and type(lr) is float:
            used.append(lr)
            group["lr"] = base * factor
        elif type(base) is float and type(lr) is Tensor:
            used.append(base * before)
            lr.fill_(base * factor)
        else:
            used.append(as_written(group, before))
            put(group, LR, _own(group, LR) * factor)
    return used


def advance_each(
    groups: Iterable[dict[str, Any]], factors: Iterable[float], before: Iterable[float]
) -> list[float]:
    """Do what :func:`advance` does, with a factor for each group, which takes longer."""
    used: list[float] = []
    for group, factor, last in zip(groups, factors, before, strict=False):
        lr = group["lr"]
        base = group.get("initial_lr")
        if type(base) is float and type(lr) is float:
            used.append(lr)
            group["lr"] = base * factor
        else:
            used.append(as_written(group, last))
            put(group, LR, _own(group, LR) * factor)
    return used


def fill(groups: Iterable[dict[str, Any]], field: Field, factor: float) -> None:
    """Give each group its own value of a field × ``factor``."""
    for group in groups:
        base = group.get(field.key)
        if field.index is None and type(base) is float and type(group[field.entry]) is float:
            group[field.entry] = base * factor
        else:
            put(group, field, _own(group, field) * factor)


def fill_each(groups: Iterable[dict[str, Any]], field: Field, factors: Iterable[float]) -> None:
    """Give each group its own value of a field × its factor."""
    for group, factor in zip(groups, factors, strict=True):
        put(group, field, _own(group, field) * factor)


def as_written(group: dict[str, Any], factor: float) -> float:
    """Return the group's lr; of a tensor, not to wait for its device, base lr × ``factor``."""
    if isinstance(group["lr"], Tensor) and "initial_lr" in group:
        return number(group["initial_lr"]) * factor
    return number(group["lr"])


def put(group: dict[str, Any], field: Field, value: float) -> None:
    """Write one number of a group; a tensor is filled in place."""
    current = content(group, field)
    if isinstance(current, Tensor):
        current.fill_(value)
    else:
        _place(group, field, value)


def _place(group: dict[str, Any], field: Field, new: Any) -> None:
    """Make ``new`` what stands in the place of a field."""
    if field.index is None:
        group[field.entry] = new
    else:
        whole = group[field.entry]
        group[field.entry] = type(whole)([*whole[: field.index], new, *whole[field.index + 1 :]])


def _own(group: dict[str, Any], field: Field) -> float:
    """Return the group's own value; a group without one keeps what it holds from now on."""
    kept = group.get(field.key)
    if type(kept) is not float:
        kept = group[field.key] = number(content(group, field) if kept is None else kept)
    return kept


def adopt(optimizer: Optimizer, fields: Iterable[Field]) -> None:
    """Let every group keep its own values, in tensors that it shares with no other group.

    torch gives all groups without an lr of their own the same tensor, that of the optimizer's
    defaults. The first group keeps it, for a compiled or captured step may hold it. The defaults
    get another that no schedule writes, for a group that is added later.
    """
    groups = optimizer.param_groups
    for field in fields:
        first: dict[int, float] = {}  # the own value of the first group that holds a tensor
        for group, own in zip(groups, own_values(groups, field), strict=True):
            group[field.key] = own
            held = content(group, field)
            if isinstance(held, Tensor) and id(held) in first:
                _place(group, field, held.clone())
            first.setdefault(id(held), own)
        defaults = getattr(optimizer, "defaults", {})
        default = content(defaults, field) if field.name in available(defaults) else None
        if isinstance(default, Tensor) and id(default) in first:
            _place(defaults, field, default.clone().fill_(first[id(default)]))


def set_base(optimizer: Optimizer, base: Sequence[float], field: Field = LR) -> None:
    """Make ``base`` the groups' own values; what they hold stays until it is written.

    Groups that are beyond the list keep theirs.
    """
    for group, value in zip(optimizer.param_groups, base, strict=False):
        group[field.key] = value


def default_lr(optimizer: Optimizer) -> float:
    """Return the usual learning rate of this kind of optimizer, or of the kind it derives from."""
    names = [kind.__name__ for kind in type(optimizer).__mro__]
    return next((_DEFAULTS[name] for name in names if name in _DEFAULTS), 1e-3)


def ratios(optimizer: Optimizer) -> tuple[float, ...]:
    """Return each group's lr ÷ the first group's lr.

    Where the first lr is 0, as at the start of a warm-up, the groups' ``initial_lr`` decide.

    Raises:
        InputError: the first group's lr is 0 or not finite, so that there is no ratio.
    """
    lrs = read(optimizer)
    if lrs[0] == 0 and all("initial_lr" in group for group in optimizer.param_groups):
        lrs = tuple(own_values(optimizer.param_groups, LR))
    first = checks.learning_rate("the lr of the optimizer's first parameter group", lrs[0])
    if not all(math.isfinite(lr) and lr >= 0 for lr in lrs):
        raise InputError(f"the optimizer's learning rates must be finite and ≥ 0, not {lrs}.")
    return tuple(lr / first for lr in lrs)
