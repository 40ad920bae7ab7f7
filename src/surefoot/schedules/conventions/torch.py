"""Schedules as torch writes them: its schedulers, read into the language."""

from typing import Any

import numpy as np

from surefoot._base.checks import count
from surefoot.errors import InputError
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.conventions._fit import fitted
from surefoot.schedules.conventions._objects import factor_of, fields, needs_total, stock
from surefoot.schedules.conventions._replay import Run, children, replay
from surefoot.schedules.conventions._torch_curves import (
    COMPOSITES,
    CURVES,
    METHODS,
    Part,
    closed,
    features,
    momentum,
    momentum_field,
)
from surefoot.schedules.table import table

__all__ = ["from_torch"]


def from_torch(scheduler: Any, total: int | None = None) -> "Schedule | dict[str, list[Schedule]]":
    """Return the schedules that a scheduler of torch follows, from its start.

    factor(t) = the lr that update t uses over the group's ``initial_lr``

    so that ``Scheduler(optimizer, from_torch(scheduler))`` goes on with the same curve. The unit of
    t is one call of the scheduler's ``step``. It does not matter how far the scheduler has gone,
    but for the factor of update 0 of a ``ChainedScheduler`` whose parts were not made in the order
    in which they are chained: convert that one before its first step. Nothing of the scheduler or
    of the optimizer is changed.

    Args:
        scheduler: any of torch's but ``ReduceLROnPlateau``, also with others inside, and any other
            ``LRScheduler`` with ``total``. The lambdas of Transformers are read as what they are.
        total: updates of the run, ≥ 1; the schedules then have exactly these. Needed for what
            becomes a table of all factors: ``MultiplicativeLR``, a ``CyclicLR`` with a function of
            your own or a fading momentum, rates that grow by a factor, composites whose curve is
            not that of their parts, schedulers of your own. With it a ``LambdaLR`` becomes a table,
            which can be saved, and a ``CosineAnnealingLR`` rises again after ``T_max``, as torch's
            does.

    Returns:
        One schedule if it serves all groups and only the lr moves, else
        ``{"lr": [one per group]}``, with ``"momentum"`` or ``"betas.0"`` beside it where that
        moves; those factors are of what the groups hold now.

    Raises:
        InputError: it is no such scheduler, total is needed, an lr is negative, or a stepped
            composite has lost its start.

    Example:
        >>> class StepLR:  # that of torch has the same attributes
        ...     def __init__(self):
        ...         self.step_size, self.gamma, self.base_lrs = 30, 0.1, [0.5]
        ...         self.optimizer = type("Optimizer", (), {"param_groups": [{"lr": 0.5}]})
        >>> from_torch(StepLR())
        step(30)

    Reference:
        Paszke et al., PyTorch: An Imperative Style, High-Performance Deep Learning Library, 2019:
        torch 2.13.
    """
    kind = _kind(scheduler, total)
    total = None if total is None else count("total", total, least=1)
    groups = scheduler.optimizer.param_groups
    if len(groups) != (known := _groups(scheduler)):
        raise InputError(
            f"scheduler must know all groups of its optimizer: there are {len(groups)}, and it was "
            f"made for {known}. Convert it before groups are added; Scheduler adopts late ones."
        )
    parts = [Part(scheduler, g, _initial(group)) for g, group in enumerate(groups)]
    curves = [closed(part, total) if kind else None for part in parts]
    field = momentum_field(scheduler)
    moving = [momentum(part) if kind else None for part in parts] if field else []
    length = total
    if kind == "OneCycleLR":  # its curve is known to its end, also where it has no closed form
        length = int(scheduler.total_steps)
    run = None
    if kind is None or kind in COMPOSITES:
        run = replay(scheduler, total or _far_enough(scheduler, curves))
        curves = [_checked(part, curve, run) for part, curve in zip(parts, curves, strict=True)]
        field = _moves(scheduler, run)
        moving = [None] * len(parts) if field else []
    if any(curve is None for curve in (*curves, *moving)):
        if length is None:
            raise needs_total(_what(scheduler))
        run = run or replay(scheduler, length)
    found = {"lr": [_written(p, c, run, total, "lr") for p, c in zip(parts, curves, strict=True)]}
    if field:
        found[field] = [
            _written(p, c, run, total, field) for p, c in zip(parts, moving, strict=True)
        ]
    return fields(found)


def _kind(scheduler: Any, total: int | None) -> str | None:
    """Return which stock scheduler it is, None for one that must be stepped."""
    kind = stock(scheduler, (*CURVES, *COMPOSITES, "ReduceLROnPlateau"), METHODS)
    if kind == "ReduceLROnPlateau":
        raise InputError(_plateau(scheduler))
    names = [each.__name__ for each in type(scheduler).__mro__]
    if kind is None and (total is None or "LRScheduler" not in names):
        raise InputError(
            f"scheduler must be one of torch's {', '.join((*CURVES, *COMPOSITES))}, or another "
            f"LRScheduler together with total, not {type(scheduler).__name__}."
        )
    return kind


def _plateau(s: Any) -> str:
    """Return what to do with a ReduceLROnPlateau."""
    arguments = [f"factor={s.factor:g}", f"patience={s.patience + 1}", f"threshold={s.threshold:g}"]
    arguments += ["relative=False"] if s.threshold_mode == "abs" else []
    arguments += ['mode="max"'] if s.mode == "max" else []
    arguments += [f"cooldown={s.cooldown}"] if s.cooldown else []
    arguments += ["raise_after=None"]
    return (
        "scheduler must follow t, and a ReduceLROnPlateau follows a metric: give the Scheduler a "
        f"control instead, control=plateau({', '.join(arguments)}), and any schedule beside it."
    )


def _groups(scheduler: Any) -> int:
    """Return how many groups a scheduler was made for."""
    parts = children(scheduler)
    return _groups(parts[0]) if parts else len(scheduler.base_lrs)


def _initial(group: dict[str, Any]) -> float:
    return float(group["initial_lr"] if "initial_lr" in group else group["lr"])


def _what(scheduler: Any) -> str:
    name = type(scheduler).__name__
    if children(scheduler):
        return f"this {name}, whose curve in torch is not that of its parts"
    return f"this {name}"


def _far_enough(scheduler: Any, curves: list[Schedule | None]) -> int:
    """Return how many updates show whether composites are what their parts are."""
    lengths = [curve.total for curve in curves if curve is not None and not curve.is_open]
    return max(lengths) if lengths else 3 * sum(features(scheduler)) + 10


def _checked(part: Part, curve: Schedule | None, run: Run) -> Schedule | None:
    """Return the curve if it is the one that torch has, to the rounding of torch's recursion."""
    if curve is None:
        return None
    name = type(part.scheduler).__name__
    rates = enumerate(run.lr[part.group])
    factors = np.asarray(
        [factor_of(f"the lr of this {name} at update {t}", lr, part.initial) for t, lr in rates]
    )
    t = np.arange(len(factors))
    ours = fitted(curve, len(factors)).values()
    close = abs(ours - factors) <= (1e-12 + 2e-16 * t) * np.maximum(1, factors)
    return curve if bool(close.all()) else None


def _moves(scheduler: Any, run: Run) -> str | None:
    """Return the name of the momentum if it moves."""
    if not any(len(set(values)) > 1 for values in run.momentum):
        return None
    return "betas.0" if "betas" in scheduler.optimizer.param_groups[0] else "momentum"


def _written(
    part: Part, curve: Schedule | None, run: Run | None, total: int | None, field: str
) -> Schedule:
    """Return the curve with exactly ``total`` updates, as a table where it has no closed form."""
    if curve is None and run is not None:
        rates = (run.lr if field == "lr" else run.momentum)[part.group]
        own = part.initial if field == "lr" else part.own_momentum(field)
        name = type(part.scheduler).__name__
        factors = [
            factor_of(f"the {field} of this {name} at update {t}", rate, own)
            for t, rate in enumerate(rates)
        ]
        curve = table(factors, duration=len(factors))
    if curve is None:
        raise needs_total(_what(part.scheduler))
    return fitted(curve, total)
