"""The closed forms of torch's schedulers, one group at a time.

Each function returns the curve in units of the group's ``initial_lr``, or None where the language
has no closed form for it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from surefoot.schedules._schedule import Schedule
from surefoot.schedules.conventions._fit import fitted
from surefoot.schedules.conventions._objects import factor_of, stock, tabled, whole
from surefoot.schedules.conventions._replay import children
from surefoot.schedules.conventions._shapes import (
    drops,
    half_cosine,
    scaled,
    stairs,
    through,
)
from surefoot.schedules.conventions.transformers import of_lambda
from surefoot.schedules.cyclic import cyclic
from surefoot.schedules.exponential import exponential
from surefoot.schedules.function import function
from surefoot.schedules.hold import constant, hold
from surefoot.schedules.polynomial import polynomial

__all__ = [
    "COMPOSITES",
    "CURVES",
    "METHODS",
    "Part",
    "closed",
    "features",
    "momentum",
    "momentum_field",
]

METHODS = ("get_lr", "_get_closed_form_lr", "step", "_update_lr", "_initial_step")
"""What makes the curve of a scheduler: a subclass that has its own of these is another curve."""


@dataclass(frozen=True)
class Part:
    """A scheduler seen from one group of its optimizer.

    Args:
        scheduler: a scheduler of torch, maybe inside another.
        group: the number of the group.
        initial: the group's ``initial_lr``, which factors are of.
    """

    scheduler: Any
    group: int
    initial: float

    @property
    def ratio(self) -> float:
        """The base lr of this scheduler, which another one may have changed since."""
        base = float(self.scheduler.base_lrs[self.group])
        return 1.0 if base == self.initial else self.share(base)

    def share(self, lr: float) -> float:
        """Return an absolute lr as a factor."""
        return factor_of("the lr", float(lr), self.initial)

    def own_momentum(self, field: str) -> float:
        """Return what the group holds, which the factors of its momentum are of."""
        group = self.scheduler.optimizer.param_groups[self.group]
        if f"initial_{field}" in group:
            return float(group[f"initial_{field}"])
        return float(group["momentum"] if field == "momentum" else group["betas"][0])


def closed(part: Part, total: int | None) -> Schedule | None:
    """Return the curve of a scheduler in the language, None where there is none.

    That of a composite is what its parts are meant to be together, which torch may not follow.
    """
    kind = stock(part.scheduler, (*CURVES, *COMPOSITES), METHODS)
    if kind is None:
        return None
    if kind == "SequentialLR":
        return _sequence(part, total)
    if kind == "ChainedScheduler":
        return _product(part, total)
    curve = CURVES[kind](part, total)
    return None if curve is None else fitted(curve, total)


def _sequence(part: Part, total: int | None) -> Schedule | None:
    edges = [0, *part.scheduler._milestones]
    if not whole(*edges) or edges != sorted(edges):
        return None
    spans: list[int | None] = [int(end - start) for start, end in pairwise(edges)]
    spans.append(None if total is None else max(total - int(edges[-1]), 1))
    result: Schedule | None = None
    for child, span in zip(children(part.scheduler), spans, strict=True):
        if span == 0:
            continue
        curve = closed(replace(part, scheduler=child), span)
        if curve is None:
            return None
        result = curve if result is None else result >> curve
    return result and fitted(result, total)


def _product(part: Part, total: int | None) -> Schedule | None:
    parts = [closed(replace(part, scheduler=child), total) for child in children(part.scheduler)]
    curves = [curve for curve in parts if curve is not None]
    if len(curves) < len(parts):
        return None
    ends = [curve.total for curve in curves if not curve.is_open]
    length = min(ends) if ends and total is None else total
    result = fitted(curves[0], length)
    for curve in curves[1:]:
        result = result * fitted(curve, length)
    return result


def features(scheduler: Any) -> list[int]:
    """Return the lengths that shape a scheduler, those of its parts with it."""
    if parts := children(scheduler):
        own: list[int] = list(getattr(scheduler, "_milestones", ()))
        return [*own, *(each for part in parts for each in features(part))]
    names = ("T_max", "total_iters", "step_size", "T_0", "total_size", "total_steps")
    lengths: list[float] = [getattr(scheduler, name, 0) for name in names]
    lengths += list(getattr(scheduler, "milestones", ()))
    return [math.ceil(each) for each in lengths]


def _constant(part: Part, total: int | None) -> Schedule:
    del total
    s = part.scheduler
    first, n = float(s.factor), s.total_iters
    if n <= 0 or not whole(n):  # torch waits for the update of that number
        return constant(part.ratio * first)
    return scaled(part.ratio, through([(0, first), (int(n), 1)], "constant"))


def _linear(part: Part, total: int | None) -> Schedule | None:
    del total
    s = part.scheduler
    first, last, n = float(s.start_factor), float(s.end_factor), s.total_iters
    if n <= 0:
        return constant(part.ratio * first)
    return scaled(part.ratio, through([(0, first), (n, last)], "linear")) if whole(n) else None


def _exponential(part: Part, total: int | None) -> Schedule | None:
    del total
    gamma = float(part.scheduler.gamma)
    if 0 < gamma < 1:
        return scaled(part.ratio, exponential(gamma=gamma))
    steps = drops(1, gamma)
    return steps and scaled(part.ratio, steps)


def _step(part: Part, total: int | None) -> Schedule | None:
    del total
    s = part.scheduler
    steps = drops(int(s.step_size), float(s.gamma)) if whole(s.step_size) else None
    return steps and scaled(part.ratio, steps)


def _multi_step(part: Part, total: int | None) -> Schedule:
    del total
    s = part.scheduler
    reached = [int(m) for m in s.milestones.elements() if whole(m) and m >= 0]
    return scaled(part.ratio, stairs(reached, float(s.gamma)))


def _polynomial(part: Part, total: int | None) -> Schedule | None:
    del total
    n, power = part.scheduler.total_iters, float(part.scheduler.power)
    if n <= 0 or power == 0:
        return scaled(part.ratio, hold())
    return scaled(part.ratio, polynomial(int(n), power)) if whole(n) and power > 0 else None


def _cosine(part: Part, total: int | None) -> Schedule | None:
    high, low = part.ratio, part.share(part.scheduler.eta_min)
    half = part.scheduler.T_max
    if not whole(half) or half < 1:
        return None
    half = int(half)
    if total is None or total <= half:
        return half_cosine(high, low, half)
    points = [(0, high), (half, low), (2 * half, high)]
    if total <= 2 * half:
        return through(points, "cosine", total)
    return through(points, "cosine", 2 * half).repeat()


def _restarts(part: Part, total: int | None) -> Schedule:
    del total
    s = part.scheduler
    cycle = half_cosine(part.ratio, part.share(s.eta_min), int(s.T_0))
    return cycle.repeat(growth=s.T_mult)


def _lambda(part: Part, total: int | None) -> Schedule:
    target = part.scheduler.lr_lambdas[part.group]
    known = of_lambda(target)
    if known is not None:
        return scaled(part.ratio, known)
    if total is None:
        return scaled(part.ratio, function(target))
    return scaled(part.ratio, tabled("this LambdaLR", lambda t: float(target(t)), total))


def _multiplicative(part: Part, total: int | None) -> None:
    del part, total


def _cyclic(part: Part, total: int | None) -> Schedule | None:
    del total
    s = part.scheduler
    low, high = (float(lrs[part.group]) for lrs in (s.base_lrs, s.max_lrs))
    fading = _fading(s)
    if fading is None or not (high > 0 and 0 <= low <= high and whole(s.total_size)):
        return None
    decay, gamma = fading
    wave = cyclic(int(s.total_size), low / high, rise=float(s.step_ratio), decay=decay, gamma=gamma)
    return scaled(part.share(high), wave)


def _fading(s: Any) -> tuple[float, float] | None:
    """Return what the height of the waves is multiplied by after each cycle and each update."""
    if s._scale_fn_custom is not None or not 0 < s.gamma <= 1:
        return None
    return {"triangular": (1.0, 1.0), "triangular2": (0.5, 1.0)}.get(s.mode, (1.0, float(s.gamma)))


def _one_cycle(part: Part, total: int | None) -> Schedule | None:
    del total
    return _one_cycle_of(part, "lr", part.share)


def _one_cycle_of(part: Part, quantity: str, share: Callable[[float], float]) -> Schedule | None:
    s, group = part.scheduler, part.scheduler.optimizer.param_groups[part.group]
    last = s.total_steps - 1
    points = [(0.0, share(group[s._schedule_phases[0][f"start_{quantity}"]]))]
    for phase in s._schedule_phases:
        if points[-1][0] >= last:
            break
        if phase["end_step"] <= points[-1][0]:
            return None
        points.append((float(phase["end_step"]), share(group[phase[f"end_{quantity}"]])))
    shape = "cosine" if s._anneal_func_type == "cos" else "linear"
    return through(points, shape, int(s.total_steps))


def momentum_field(scheduler: Any) -> str | None:
    """Return the name of the momentum that a scheduler moves, None if it moves none."""
    if not getattr(scheduler, "cycle_momentum", False):
        return None
    return "betas.0" if scheduler.use_beta1 else "momentum"


def momentum(part: Part) -> Schedule | None:
    """Return the curve of the momentum, in units of what the group holds, None without one."""
    s = part.scheduler
    own = part.own_momentum(str(momentum_field(s)))

    def share(value: float) -> float:
        return factor_of("the momentum", float(value), own)

    if hasattr(s, "total_steps"):
        return _one_cycle_of(part, "momentum", share)
    fading, length = _fading(s), float(s.total_size)
    if fading is None or fading[1] != 1 or not whole(length) or not 0 < s.step_ratio < 1:
        return None
    low, high = (float(each[part.group]) for each in (s.base_momentums, s.max_momentums))
    up = length * s.step_ratio
    turn = round(up) if abs(up - round(up)) < 1e-9 else up
    points = [(0, share(high)), (turn, share(low)), (length, share(high))]
    return through(points, "linear", int(length)).repeat(decay=fading[0])


COMPOSITES = ("SequentialLR", "ChainedScheduler")
"""The schedulers that are made of others."""

CURVES: dict[str, Callable[[Part, int | None], Schedule | None]] = {
    "StepLR": _step,
    "MultiStepLR": _multi_step,
    "ConstantLR": _constant,
    "LinearLR": _linear,
    "ExponentialLR": _exponential,
    "PolynomialLR": _polynomial,
    "CosineAnnealingLR": _cosine,
    "CosineAnnealingWarmRestarts": _restarts,
    "LambdaLR": _lambda,
    "MultiplicativeLR": _multiplicative,
    "CyclicLR": _cyclic,
    "OneCycleLR": _one_cycle,
}
"""The curve of each scheduler that is one."""
