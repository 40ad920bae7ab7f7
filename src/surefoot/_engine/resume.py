"""Checkpoints of a scheduler: are they such, and do they fit."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from surefoot._base import checks
from surefoot._engine import fields, plan
from surefoot._engine.given import checked_control
from surefoot._engine.plan import Plan
from surefoot.errors import InputError, SurefootError
from surefoot.schedules import Controller, controller_from_dict, from_dict

__all__ = [
    "CHOICES",
    "VERSION",
    "Theirs",
    "checked",
    "checked_factor",
    "differences",
    "memory",
    "plain",
    "refusal",
    "theirs",
]

VERSION = 2
CHOICES = ("error", "mine", "theirs")
_KEYS = ("version", "update", "total", "schedules", "base", "control", "calls", "last_lr")
_SAME = 1e-6  # relative difference up to which own values are the same: that of a float32 tensor


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
    for key, least in (("update", 0), ("calls", 0), ("total", 1)):
        checks.count(f"state_dict[{key!r}]", result[key], least=least)
    for key in ("schedules", "base"):
        if not isinstance(result[key], dict) or not result[key]:
            raise InputError(
                f"state_dict[{key!r}] must be a dict that holds a field, not {result[key]!r:.60}."
            )
    if set(result["base"]) != set(result["schedules"]):
        raise InputError("state_dict must hold base values of the fields that it schedules.")
    for name, values in result["base"].items():
        _check_base(name, values)
        if result["schedules"][name] == []:
            raise InputError(f"state_dict['schedules'][{name!r}] must hold a schedule.")
    _check_numbers("state_dict['last_lr']", result["last_lr"], finite=False)
    if not _holds_control(result["control"]):
        raise InputError(
            f"state_dict['control'] must hold a controller, its state and its factor, not "
            f"{result['control']!r:.60}."
        )
    return result


def _holds_control(control: Any) -> bool:
    return control is None or (
        isinstance(control, dict)
        and isinstance(control.get("state"), dict)
        and isinstance(control.get("controller"), dict)
        and "factor" in control
    )


def _check_numbers(name: str, values: Any, *, finite: bool) -> None:
    if not isinstance(values, list):
        raise InputError(f"{name} must be a list, not {values!r:.60}.")
    for value in values:
        checks.number(name, value, finite=finite)


def _check_base(name: str, values: Any) -> None:
    """Refuse what are no own values; 0 is that of a frozen group."""
    where = f"state_dict['base'][{name!r}]"
    _check_numbers(where, values, finite=True)
    if name == "lr" and any(value < 0 for value in values):
        raise InputError(f"{where} must hold rates of at least 0, not {values}.")


class Theirs(NamedTuple):
    """What a scheduler takes over from a checkpoint of another plan."""

    plans: tuple[Plan, ...]
    bases: list[list[float]]
    control: Controller | None


def theirs(optimizer: Any, state: Mapping[str, Any]) -> Theirs:
    """Return what a checked state holds for this optimizer.

    Raises:
        InputError: a field is not in the groups, a schedule or the controller cannot be read, or
            the checkpoint is of another number of groups.
    """
    plans: list[Plan] = []
    for name, documents in state["schedules"].items():
        field = fields.find(optimizer, name, zero=True)
        listed = documents if isinstance(documents, list) else [documents]
        plans.append(Plan(field, tuple(from_dict(each) for each in listed)))
    for each in [each for made in plans for each in made.schedules]:
        if not each.is_resolved:
            raise InputError(f"state_dict holds the schedule {each}, which is not resolved.")
    count = len(optimizer.param_groups)
    bases = [state["base"][each.field.name] for each in plans]
    for base in bases:
        if len(base) != count:
            raise InputError(f"base must hold {count} values, one for each group, not {len(base)}.")
    for each, base in zip(plans, bases, strict=True):
        plan.check(optimizer, each, base)
    document = controller(state)
    control = checked_control(document and controller_from_dict(document), plans)
    return Theirs(tuple(plans), [list(map(float, base)) for base in bases], control)


def memory(
    control: Controller | None, state: Mapping[str, Any]
) -> tuple[dict[str, Any], float] | None:
    """Return what a checked state remembers for ``control``: the controller's state and factor.

    None where it has no controller, or one of another kind. That the state can be gone on from is
    tried out: ``update`` changes nothing.

    Raises:
        InputError: the controller cannot go on from the state.
    """
    if control is None or (controller(state) or {}).get("type") != control.name:
        return None
    kept, factor = state["control"]["state"], checked_factor(control, state["control"]["factor"])
    try:
        if missing := sorted(set(control.start()) - set(kept)):
            raise KeyError(*missing)
        for observed in (1e-9, 1.0, 1e9):  # one of them is better, and one worse than what it saw
            checked_factor(control, control.update(kept, {control.needs: observed})[1])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"state_dict['control'] holds a state that {control.name} cannot go on from; it is "
            f"damaged or of another version: {type(error).__name__}: {error}"
        ) from error
    return kept, factor


def checked_factor(control: Controller, factor: Any) -> float:
    """Return the factor of a controller, a finite number ≥ 0."""
    value = checks.number(f"the factor of {control.name}", factor, finite=False)
    if not 0 <= value < math.inf:
        raise InputError(f"the factor of {control.name} must be finite and ≥ 0, not {value}.")
    return value


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

    def tell(what: str, ours: Any, saved: Any, write: Callable[[Any], str] = str) -> None:
        lines.append(f"  {what}: checkpoint {write(saved)}, here {write(ours)}")

    if mine["total"] != theirs["total"]:
        tell("total", mine["total"], theirs["total"])
    if set(mine["schedules"]) != set(theirs["schedules"]):
        tell("fields", list(mine["schedules"]), list(theirs["schedules"]), ", ".join)
    for name in [name for name in mine["schedules"] if name in theirs["schedules"]]:
        ours, saved = (each["schedules"][name] for each in (mine, theirs))
        base, other = (each["base"][name] for each in (mine, theirs))
        count = max(len(base), len(other))
        if _of_groups(ours, count) != _of_groups(saved, count):
            tell(f"schedule of {name}", ours, saved, _text)
        if not (name == "lr" and ignore_base) and not _alike(base, other):
            tell(f"base of {name}", base, other)
    if controller(mine) != controller(theirs):
        tell("control", controller(mine), controller(theirs), _call)
    return lines


def _of_groups(documents: Any, count: int) -> list[Any]:
    """Return the schedule of each group; those beyond a list follow its last."""
    listed = documents if isinstance(documents, list) else [documents]
    return [listed[min(group, len(listed) - 1)] for group in range(count)]


def _alike(base: list[float], other: list[float]) -> bool:
    return len(base) == len(other) and all(
        math.isclose(one, two, rel_tol=_SAME) for one, two in zip(base, other, strict=True)
    )


def controller(state: Mapping[str, Any]) -> Any:
    """Return the document of a state's controller, None without one."""
    return None if state["control"] is None else state["control"]["controller"]


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
