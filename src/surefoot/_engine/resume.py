"""Checkpoints of a scheduler: are they such, and do they fit."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from surefoot._base import checks
from surefoot._engine import fields
from surefoot._engine.plan import Plan
from surefoot.errors import InputError, SurefootError
from surefoot.schedules import from_dict

__all__ = [
    "CHOICES",
    "VERSION",
    "checked",
    "checked_base",
    "differences",
    "plain",
    "read_plans",
    "refusal",
]

VERSION = 2
CHOICES = ("error", "mine", "theirs")
_KEYS = ("version", "update", "total", "schedules", "base", "control", "calls")


def plain(value: Any) -> Any:
    """Return ``value`` as JSON reads it back: lists for tuples, nothing shared."""
    return json.loads(json.dumps(value))


def checked(state: object) -> dict[str, Any]:
    """Return the state that a scheduler saved.

    Raises:
        InputError: it is no such state.
    """
    if not isinstance(state, Mapping):
        raise InputError(f"state_dict must be a dict, not a {type(state).__name__}.")
    missing = sorted(set(_KEYS) - set(state))
    if missing or state["version"] != VERSION:
        raise InputError(
            "state_dict must come from a surefoot.Scheduler of this version; it lacks "
            f"{missing or 'nothing'} and has version {state.get('version')!r}. To start from "
            "another scheduler's checkpoint, call seek(update)."
        )
    try:
        result = plain(dict(state))
    except (TypeError, ValueError) as error:
        raise InputError(f"state_dict must hold JSON types only: {error}.") from None
    checks.count("state_dict['update']", result["update"])
    checks.count("state_dict['calls']", result["calls"])
    for key in ("schedules", "base"):
        if not isinstance(result[key], dict):
            raise InputError(f"state_dict[{key!r}] must be a dict, not {result[key]!r:.60}.")
    control = result["control"]
    if control is not None and not _holds_control(control):
        raise InputError(f"state_dict['control'] must hold a controller, not {control!r:.60}.")
    if set(result["base"]) != set(result["schedules"]):
        raise InputError("state_dict must hold base values of the fields that it schedules.")
    return result


def _holds_control(control: Any) -> bool:
    state = control.get("state") if isinstance(control, dict) else None
    return isinstance(state, dict) and "controller" in control and "factor" in state


def checked_base(name: str, values: Iterable[float], count: int) -> list[float]:
    """Return the own values of each group that a checkpoint holds; 0 is that of a frozen group."""
    if not isinstance(values, list):
        raise InputError(f"state_dict['base'][{name!r}] must be a list, not {values!r:.60}.")
    numbers = [checks.number(f"state_dict['base'][{name!r}]", value) for value in values]
    if name == "lr" and any(value < 0 for value in numbers):
        raise InputError(
            f"state_dict['base'][{name!r}] must hold rates of at least 0, not {numbers}."
        )
    if len(numbers) != count:
        raise InputError(f"base must hold {count} values, one for each group, not {len(numbers)}.")
    return numbers


def read_plans(optimizer: Any, schedules: Mapping[str, Any]) -> tuple[Plan, ...]:
    """Return the plans that a checkpoint holds.

    Raises:
        InputError: a field is not in the groups, or a schedule cannot be read.
    """
    plans: list[Plan] = []
    for name, documents in schedules.items():
        field = fields.find(optimizer, name, zero=True)
        listed = documents if isinstance(documents, list) and documents else [documents]
        plans.append(Plan(field, tuple(from_dict(each) for each in listed)))
    for each in [each for plan in plans for each in plan.schedules]:
        if not each.is_resolved:
            raise InputError(f"state_dict holds the schedule {each}, which is not resolved.")
    return tuple(plans)


def differences(
    mine: Mapping[str, Any], theirs: Mapping[str, Any], *, ignore_base: bool
) -> list[str]:
    """Return one line for each thing in which two states are not of the same plan.

    Args:
        mine: the state of the scheduler at hand.
        theirs: that of the checkpoint.
        ignore_base: whether the base lr was chosen for this run, so that it may be another.
    """
    lines: list[str] = []

    def compare(what: str, ours: Any, saved: Any, write: Callable[[Any], str] = str) -> None:
        if ours != saved:
            lines.append(f"  {what}: checkpoint {write(saved)}, here {write(ours)}")

    compare("total", mine["total"], theirs["total"])
    compare("fields", list(mine["schedules"]), list(theirs["schedules"]), ", ".join)
    for name in [name for name in mine["schedules"] if name in theirs["schedules"]]:
        compare(f"schedule of {name}", mine["schedules"][name], theirs["schedules"][name], _text)
        if not (name == "lr" and ignore_base):
            compare(f"base of {name}", mine["base"][name], theirs["base"][name])
    compare("control", controller(mine), controller(theirs), _call)
    return lines


def controller(state: Mapping[str, Any]) -> Any:
    """Return the document of a state's controller, None without one."""
    return state["control"] and state["control"]["controller"]


def refusal(lines: Iterable[str]) -> str:
    """Return what to tell about a checkpoint that differs."""
    return "\n".join([
        "The checkpoint does not match this scheduler:",
        *lines,
        "Pass on_mismatch='mine' to keep this scheduler's, 'theirs' to take the checkpoint's.",
        "For a new base rate alone, build the scheduler with base=….",
    ])  # fmt: skip


def _text(documents: Any) -> str:
    if isinstance(documents, list):
        return f"[{', '.join(map(_text, documents))}]"
    try:
        return str(from_dict(documents))
    except SurefootError:  # of a kind that cannot be read here; its document says what it is
        return json.dumps(documents)


def _call(document: Any) -> str:
    if not isinstance(document, dict):
        return "none"
    shown = {key: value for key, value in document.items() if key not in ("surefoot", "format")}
    return f"{shown.pop('type', '')}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"
