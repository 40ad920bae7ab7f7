"""Other libraries' objects, read by the names of their classes and by their attributes."""

from collections.abc import Callable, Iterable
from typing import Any

from surefoot.errors import InputError
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.table import table

__all__ = ["factor_of", "fields", "needs_total", "negative", "reals", "stock", "tabled", "whole"]

MOST = 10_000_000
"""The longest table that is made."""


def stock(value: object, known: Iterable[str], methods: Iterable[str]) -> str | None:
    """Return which of the ``known`` classes an object is, by name, None if it is of none.

    An object of a subclass is of its nearest known base, unless the subclass has methods of its own
    among those that make the curve.
    """
    names = set(known)
    for kind in type(value).__mro__:
        if kind.__name__ in names:
            return kind.__name__
        if any(method in vars(kind) for method in methods):
            return None
    return None


def reals(values: Iterable[Any]) -> list[float]:
    """Return numbers, tensors or arrays of one number as floats."""
    return [float(value) for value in values]


def whole(*values: Any) -> bool:
    """Return whether all are whole numbers."""
    return all(float(value).is_integer() for value in values)


def factor_of(name: str, value: float, base: float) -> float:
    """Return an absolute value as a factor of a group's base lr.

    Raises:
        InputError: the base is 0, and the value is not, or the factor would be negative.
    """
    if base != 0 and value / base >= 0:
        return value / base
    if base != 0:
        raise negative(f"{name} is {value:g}, where the group's own is {base:g}")
    if value == 0:
        return 0.0
    raise InputError(
        f"The own value of a group is 0, and no factor makes it {name} = {value:g}: give the group "
        "a value above 0, an lr in its initial_lr too."
    )


def fields(curves: dict[str, list[Schedule]]) -> "Schedule | dict[str, list[Schedule]]":
    """Return the one schedule where only the lr moves and all groups agree, else all of them."""
    if list(curves) == ["lr"] and all(curve == curves["lr"][0] for curve in curves["lr"]):
        return curves["lr"][0]
    return curves


def needs_total(what: str) -> InputError:
    """Return the error for a curve that can only be written down update by update."""
    return InputError(
        f"total is needed for {what}: it has no closed form here and becomes a table of all its "
        "factors. Give the updates of the run, such as total=10_000."
    )


def negative(what: str) -> InputError:
    """Return the error for a rate below 0, which no schedule has."""
    return InputError(
        f"{what}: a factor is at least 0, and a schedule with negative ones cannot be made. Change "
        "the library's schedule so that it stays at 0 or above."
    )


def tabled(
    what: str, value: Callable[[int], float], total: int | None, duration: int | None = None
) -> Schedule:
    """Return the table of ``value(0)`` … ``value(total − 1)``, for all or ``duration`` updates."""
    if total is None:
        raise needs_total(what)
    if total > MOST:
        raise InputError(
            f"total must be at most {MOST} where a table is needed, for {what}, not {total}."
        )
    factors = [value(t) for t in range(total)]
    for t, factor in enumerate(factors):
        if factor < 0:
            raise negative(f"{what} has a negative value, {factor:g} at update {t}")
    return table(factors, duration=duration or total)
