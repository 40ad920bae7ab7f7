"""Control by a metric: lower the rate where progress stops, and raise it where that was wrong."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import count, flag, fraction, number, one_of
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._controller import Controller, State, at_least_one

__all__ = ["Plateau", "plateau"]

LONGEST = 100
"""Most observations that a line is fitted to, so that the state stays small."""


@dataclass(frozen=True)
class Plateau(Controller):
    """Lower the rate when a metric stops improving, and raise it again when that did not help.

    mₖ is observation k, or the debiased moving average with weight ``smoothing`` on the past; for
    ``mode="max"`` read every sign the other way round.

    * Improvement:  mₖ < best − threshold · abs(best)  (``relative=False``: best − threshold). Only
      an improvement moves ``best``, so small gains add up; it works for metrics of any sign.
    * Recovery:  the line through the last max(patience, 3) ≤ 100 observations without improvement
      falls by more than the threshold, with t = slope / (standard error of the slope) < −2. A
      single spike has t = −√3 exactly and is none; a run that comes back from a spike is one.
    * Stall:  ``patience`` observations in a row without improvement, and no recovery.
    * Stalls 1 … ``raise_after`` in a row:  factor ← max(low, factor · ``factor``).
      The next one:  factor ← min(high, factor / ``factor``), one notch up, on trial.
      All later ones:  factor ← max(low, factor · ``factor``).
      An improvement ends the row. So without any improvement the rate is raised once at most.
    * Trial:  it is passed with ``patience`` improvements. Until then a stall, and an observation
      worse than all of the last max(patience, 3) before the raise, take the raise back: factor ←
      what it was before. A stall that does so counts in the row, and changes nothing else.

    Observe at any cadence: each update, epoch or evaluation; patience and cooldown count
    observations. After a stall the next is judged ``patience`` observations later.

    Args:
        factor: what a stall multiplies the rate by, in (0, 1); 0.1 divides by ten.
        patience: observations, ≥ 1; below 3 a recovery cannot be told from noise.
        threshold: least gain that counts, ≥ 0: a share of abs(best), below 1, or absolute.
        relative: whether the threshold is a share.
        mode: ``"min"`` if less is better, ``"max"`` if more is.
        smoothing: in [0, 1); 0 takes the metric as it is, 0.5 helps where it is noisy.
        cooldown: observations after a change that are judged only if they improve, ≥ 0.
        low: least factor, in (0, 1].
        high: greatest factor, ≥ 1; above 1 a raise may exceed the schedule (see ``raise_after=0``).
        raise_after: lowerings in a row without improvement before the raise, ≥ 0; None: no raise.
            With 3 the raise did no measurable harm where it was not needed; earlier it helps more
            after accidents; 0 tries up before it lowers, if ``high`` lets it.
        on_nan: a metric that is NaN or infinite is an ``"error"``, is left out (``"ignore"``),
            counts as no improvement (``"bad"``), or lowers the rate at once (``"lower"``; a
            raise on trial is taken back first).

    Raises:
        InputError: an argument is out of its range; in ``update``: no metric, or not a finite one.

    Example:
        >>> control = plateau(factor=0.5, patience=2, raise_after=2)
        >>> state, factors = control.start(), []
        >>> for loss in [1.0, 0.9, *[0.9] * 10]:
        ...     state, factor = control.update(state, {"metric": loss})
        ...     factors.append(factor)
        >>> factors
        [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.5, 0.5, 0.25, 0.25, 0.125]

    Reference:
        The law is ours. Its first half is the plateau rule of Keras and of torch's
        ``ReduceLROnPlateau``, with a sign-safe threshold; raising on evidence is also done, by
        another rule, in GreedyLR (arXiv 2512.14527, 2025).
    """

    factor: float = 0.5
    patience: int = 5
    threshold: float = 1e-3
    relative: bool = True
    mode: str = "min"
    smoothing: float = 0.0
    cooldown: int = 0
    low: float = 1e-4
    high: float = 1.0
    raise_after: int | None = 3
    on_nan: str = "error"

    name = "plateau"
    needs = "metric"

    def __post_init__(self) -> None:
        self._check(
            factor=_inside,
            patience=lambda name, value: count(name, value, least=1),
            threshold=_checks.factor,
            relative=flag,
            mode=lambda name, value: one_of(name, value, ("min", "max")),
            smoothing=_below_one,
            cooldown=count,
            low=_checks.ratio,
            high=at_least_one,
            raise_after=lambda n, value: None if value is None else count(n, value),
            on_nan=lambda n, value: one_of(n, value, ("error", "ignore", "bad", "lower")),
        )
        if self.relative and self.threshold >= 1:
            raise InputError(
                f"threshold must be below 1 as a share of the best, not {self.threshold:g}; say "
                "relative=False if it is in the units of the metric."
            )

    def start(self) -> State:
        """Return the state before the first observation."""
        return {
            "factor": 1.0,
            "best": None,  # the best metric so far, after smoothing
            "mean": 0.0,  # moving average of the metric, debiased
            "weight": 0.0,  # 1 − smoothing^k, the weight that the average rests on
            "bad": 0,  # observations since an improvement or a stall
            "recent": [],  # the last ones without improvement
            "wait": 0,  # observations of the cooldown that are left
            "stalls": 0,  # stalls in a row
            "before": None,  # the factor before the raise, while that is on trial
            "worst": None,  # of the last observations before the raise
            "passed": 0,  # improvements on trial
        }

    def update(self, state: State, observation: Mapping[str, Any]) -> tuple[State, float]:
        """Return the state and the factor after one more ``{"metric": …}``."""
        value = self.observed(observation)
        new = dict(state)
        if not math.isfinite(value):
            self._meet_nan(new, value)
            return new, new["factor"]
        if self.smoothing:
            value = self._smooth(new, value)
        best = new["best"]
        sign = 1 if self.mode == "min" else -1
        margin = 0.0 if best is None else self.threshold * (abs(best) if self.relative else 1)
        if best is None or sign * (best - value) > margin:
            new |= {"best": value, "bad": 0, "recent": [], "stalls": 0}
            new["wait"] = max(0, new["wait"] - 1)
            new["passed"] += 1
            if new["passed"] >= self.patience:
                new |= {"before": None, "worst": None}
        elif new["wait"]:
            new["wait"] -= 1
        elif new["worst"] is not None and sign * (value - new["worst"]) > 0:
            self._take_back(new)
        else:
            size = min(max(self.patience, 3), LONGEST)
            new["recent"] = [*new["recent"][1 - size :], value]
            new["bad"] += 1
            if new["bad"] >= self.patience and not _falls(new["recent"], sign, margin):
                self._stall(new)
        return new, new["factor"]

    def _smooth(self, new: State, value: float) -> float:
        """Return the moving average with the value taken in; a constant metric stays as it is."""
        new["weight"] = self.smoothing * new["weight"] + (1 - self.smoothing)
        share = (1 - self.smoothing) / new["weight"]
        half = share * (value / 2 - new["mean"] / 2)  # the whole of it can overflow
        new["mean"] = new["mean"] + half + half
        return new["mean"]

    def _stall(self, new: State) -> None:
        """Lower the rate, raise it if lowering did not help, or take back a raise."""
        new["stalls"] += 1
        new["bad"] = 0
        raised = min(self.high, new["factor"] / self.factor)
        if new["before"] is not None:
            self._take_back(new)
        elif new["stalls"] - 1 == self.raise_after and raised > new["factor"]:
            worst = max if self.mode == "min" else min
            new |= {"before": new["factor"], "worst": worst(new["recent"], default=None)}
            new |= {"factor": raised, "passed": 0, "recent": [], "wait": self.cooldown}
        else:
            self._lower(new)

    def _take_back(self, new: State) -> None:
        new |= {"factor": new["before"], "before": None, "worst": None}
        new |= {"bad": 0, "recent": [], "wait": self.cooldown}

    def _lower(self, new: State) -> None:
        lowered = max(self.low, new["factor"] * self.factor)
        if lowered != new["factor"]:
            new |= {"factor": lowered, "wait": self.cooldown}

    def _meet_nan(self, new: State, value: float) -> None:
        """Do what ``on_nan`` says with a metric that is not finite."""
        if self.on_nan == "error":
            raise InputError(
                f"metric must be finite, not {value}: look for what made it so, or say what "
                'plateau should do with on_nan="ignore", "bad" or "lower".'
            )
        if self.on_nan == "ignore":
            return
        new["recent"] = []
        if new["wait"]:
            new["wait"] -= 1
        elif self.on_nan == "lower":
            if new["before"] is not None:
                self._take_back(new)
            new["bad"] = 0
            self._lower(new)
        else:
            new["bad"] += 1
            if new["bad"] >= self.patience:
                self._stall(new)

    def describe(self) -> str:
        """Return what the controller does, in words."""
        gain = f"{100 * self.threshold:g} %" if self.relative else f"{self.threshold:g}"
        better = "less" if self.mode == "min" else "more"
        words = (
            f"When the metric ({better} is better) has not improved by {gain} in {self.patience} "
            f"observations and is not recovering, multiply the rate by {self.factor:g}, down to "
            f"{self.low:g} of the schedule"
        )
        if self.raise_after is None:
            return f"{words}."
        return (
            f"{words}; when {self.raise_after} in a row brought no improvement, raise it by one "
            f"notch, up to {self.high:g} of the schedule, and take that back if it does not help."
        )


def _falls(values: list[float], sign: int, margin: float) -> bool:
    """Return whether a line through the values goes the good way, by > margin and with t > 2."""
    n = len(values)
    first, middle = values[0], (n - 1) / 2
    y = [sign * (value - first) for value in values]  # so that a constant metric is exactly zero
    size = max(map(abs, y))
    if n < 3 or not 0 < size < math.inf:
        return False
    y = [v / size for v in y]  # so that no square overflows
    mean = sum(y) / n
    spread = n * (n * n - 1) / 12
    along = sum((i - middle) * v for i, v in enumerate(y))
    slope = along / spread
    if not -slope * (n - 1) > margin / size:
        return False
    explained = slope * along
    rest = max(sum((v - mean) * (v - mean) for v in y) - explained, 0.0)
    return explained * (n - 2) > 4 * rest


def _inside(name: str, value: Any) -> float:
    result = number(name, value)
    if not 0 < result < 1:
        raise InputError(f"{name} must lie in (0, 1), not {value!r}; 0.1 divides the rate by ten.")
    return result


def _below_one(name: str, value: Any) -> float:
    result = fraction(name, value)
    if result == 1:
        raise InputError(f"{name} must lie in [0, 1), not {value!r}: at 1 nothing would be seen.")
    return result


plateau = Plateau
