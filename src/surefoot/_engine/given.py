"""Arguments of a scheduler that depend on the optimizer or on each other, checked."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._engine.fields import LR, own_values
from surefoot._engine.plan import Plan
from surefoot.errors import InputError
from surefoot.schedules import Controller

__all__ = ["checked_base", "checked_control"]


def checked_control(control: Any, plans: Iterable[Plan]) -> Controller | None:
    """Return the controller, which needs an lr to move."""
    if control is None:
        return None
    if not isinstance(control, Controller):
        raise InputError(
            "control must be a controller, such as surefoot.schedules.plateau(…), not a "
            f"{type(control).__name__}."
        )
    if all(each.field != LR for each in plans):
        raise InputError("control moves the lr, so schedules must have the field 'lr'.")
    return control


def checked_base(optimizer: Optimizer, base: Any, plans: Iterable[Plan]) -> list[float]:
    """Return the base lr of each group that the user's ``base`` stands for."""
    if all(each.field != LR for each in plans):
        raise InputError("base is a learning rate, so schedules must have the field 'lr'.")
    owns = own_values(optimizer.param_groups, LR)
    if isinstance(base, (Mapping, AbstractSet)):
        raise InputError(
            f"base must be one rate or a list of one for each group, not a {type(base).__name__}."
        )
    if isinstance(base, Iterable) and not isinstance(base, str) and getattr(base, "ndim", 1):
        return _each_base(list(base), owns)
    first = checks.learning_rate("base", base)
    if len(owns) == 1:
        return [first]
    reference = next((own for own in owns if own != 0), None)
    if reference is None:
        raise InputError(
            f"base must be a list of {len(owns)} rates, one for each group, where the rate of "
            "every group is 0: there is no ratio to keep."
        )
    return [first * (own / reference) for own in owns]


def _each_base(given: list[Any], owns: list[float]) -> list[float]:
    """Return the rates of a list with one for each group; a frozen group may stay at 0."""
    if len(given) != len(owns):
        raise InputError(f"base must hold {len(owns)} rates, one for each group, not {len(given)}.")
    values = [
        0.0
        if own == 0 and checks.number(f"base[{index}]", value) == 0
        else checks.learning_rate(f"base[{index}]", value)
        for index, (value, own) in enumerate(zip(given, owns, strict=True))
    ]
    if not any(values):
        raise InputError("base must hold a rate above 0 for one group at least.")
    return values
