"""Arguments of a scheduler that depend on the optimizer or on each other, checked."""

from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._engine.fields import LR
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
    if isinstance(base, Iterable) and not isinstance(base, str):
        values = [checks.learning_rate("base", value) for value in base]
        count = len(optimizer.param_groups)
        if len(values) != count:
            raise InputError(
                f"base must hold {count} rates, one for each group, not {len(values)}."
            )
        return values
    first = checks.learning_rate("base", base)
    held = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    if len(held) == 1:
        return [first]
    if held[0] == 0:
        raise InputError(
            "base must be one rate for each group where the first group's is 0: there is no ratio "
            f"to keep; the groups have {held}."
        )
    return [first * (lr / held[0]) for lr in held]
