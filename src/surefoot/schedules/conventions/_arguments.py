"""Arguments of other libraries' functions, checked by name before they are used."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from surefoot._base.checks import number
from surefoot.errors import InputError
from surefoot.schedules._schedule import Schedule

__all__ = ["bound", "whole_number"]


def bound(
    what: str,
    make: Callable[..., Schedule],
    arguments: Mapping[str, Any],
    checks: Mapping[str, Callable[[str, Any], Any]],
) -> dict[str, Any]:
    """Return the arguments that ``make`` is called with, each as its check returns it.

    A None is left as it is where it is the default.

    Raises:
        InputError: one is missing, unknown, or not what its check allows.
    """
    known = signature(make).parameters
    for name in arguments:
        if name not in known:
            raise InputError(
                f"arguments are not those of {what}: unexpected keyword argument {name!r}; it has "
                f"{', '.join(known)}."
            )
    try:
        signature(make).bind(**arguments)
    except TypeError as error:
        raise InputError(f"arguments are not those of {what}: {error}.") from None
    return {
        name: checks[name](name, value)
        if name in checks and not (value is None and known[name].default is None)
        else value
        for name, value in arguments.items()
    }


def whole_number(name: str, value: Any) -> int:
    """Return a number of updates as an int; a float is no share of the run here."""
    result = number(name, value)
    if not result.is_integer():
        raise InputError(f"{name} must be a whole number of updates here, not {value!r}.")
    return int(result)
