"""What a run looks like in numbers that do not depend on the scale, the zero or the length of its loss."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from surefoot._curves.smoothing import noise
from surefoot.records import Curve, RunLog

__all__ = ["NAMES", "features"]

Array = NDArray[np.float64]

BLOCKS = 20
"""The loss is averaged over so many parts of the run."""

LARGEST = 20.0
"""Ratios are cut here: beyond it they say the same."""

STILL = 0.05
"""Below this share of its peak the rate counts as having decayed."""

SHARES = (0.5, 0.8, 0.95)
"""Of the whole fall; when they were reached is looked at."""


def features(log: RunLog) -> dict[str, float]:
    """Return what is known of a run; NaN where its record does not tell.

    Args:
        log: a run with at least two finite losses.
    """
    return {**_of_loss(log), **_of_rate(log), **_of_steps(log), **_of_validation(log)}


def _of_loss(log: RunLog) -> dict[str, float]:
    """How the loss fell, rose and scattered, in units of how far it fell."""
    recorded = log["loss"]
    values = recorded.finite().values
    parts = np.array_split(values, min(BLOCKS, len(values)))
    means = np.array([part.mean() for part in parts])
    levels = np.array([np.median(part) for part in parts])  # no bad batch moves them
    start = float(np.median(values[: max(1, min(3, len(values) // 20))]))
    scatter = noise(values)
    fall = max(start - float(levels.min()), 0.0)
    unit = max(fall, scatter, 1e-12 * abs(start), 1e-300)
    half, late = len(levels) // 2, 3 * len(levels) // 4
    error = scatter / math.sqrt(len(parts[0]))
    changes = np.diff(levels)
    rises = np.where(changes > 4 * max(error, 1e-300), changes, 0.0)
    residual = values - np.repeat(means, [len(part) for part in parts])
    found = {
        "broken": float(not math.isfinite(float(recorded.values[-1]))),
        "flat": _cut(fall / max(scatter, 1e-300)),
        "fall, errors": math.log10(1 + _cut(fall / max(error, 1e-300), 1e4)),
        "end above start": _cut((float(levels[-1]) - start) / unit),
        "end above least": _cut((float(levels[-1]) - float(levels.min())) / unit),
        "second half": _cut((float(levels[half]) - float(levels[-1])) / unit),
        "last quarter": _cut((float(levels[late]) - float(levels[-1])) / unit),
        "last tenth": _cut((float(levels[-3:-1].mean()) - float(levels[-1])) / unit),
        "first tenth": _cut((start - float(levels[1])) / unit),
        "first twentieth": _cut((start - float(levels[0])) / unit),
        "highest": _cut((float(means.max()) - start) / unit),
        "highest at": float(np.argmax(means)) / len(means),
        "lowest at": float(np.argmin(levels)) / len(levels),
        "early peak": _cut((float(values[: max(3, len(values) // 20)].max()) - start) / unit),
        "rises": _cut(float(rises.sum()) / unit),
        "late rises": _cut(float(rises[half:].sum()) / unit),
        "largest rise": _cut(float(rises.max(initial=0.0)) / unit),
        "scatter": _cut(scatter / unit),
        "late scatter": _cut(noise(values[len(values) // 2 :]) / unit),
        "scatter, late to early": _log_ratio(
            noise(values[len(values) // 2 :]), noise(values[: len(values) // 4])
        ),
        "slow scatter": _cut(float(np.std(residual[len(values) // 2 :])) / max(scatter, 1e-300)),
        "spikes": _cut(float(np.ptp(values[len(values) // 2 :])) / max(scatter, 1e-300), 100.0),
        "slow down": _log_ratio(
            float(levels[half]) - float(levels[-1]), start - float(levels[half])
        ),
        "curvature": _log_ratio(
            float(levels[late]) - float(levels[-1]), float(levels[half]) - float(levels[late])
        ),
        "losses": math.log10(len(values)),
    }
    reached = (start - np.minimum.accumulate(levels)) / unit
    for share in SHARES:
        enough = np.flatnonzero(reached >= share * max(float(reached[-1]), 1e-300))
        found[f"{share:.0%} at"] = float(enough[0]) / len(levels) if enough.size else 1.0
    return found


def _of_rate(log: RunLog) -> dict[str, float]:
    """How the rate went: decayed, when, and whether it jumped."""
    curve = log.get("lr")
    curve = None if curve is None else curve.finite()
    names = ("rate", "rate at end", "decayed at", "raised", "rate, mean", "warm-up")
    if curve is None or len(curve) < 3 or not float(curve.values.max()) > 0:
        return dict.fromkeys(names, math.nan)
    rates = curve.values
    peak = float(rates.max())
    low = np.flatnonzero(rates >= STILL * peak)
    middle = rates[len(rates) // 20 :]
    with np.errstate(divide="ignore", invalid="ignore"):
        jumps = np.log10(middle[1:] / middle[:-1])
    jumps = jumps[np.isfinite(jumps)]
    return {
        "rate": math.log10(peak),
        "rate at end": math.log10(max(float(rates[-1]) / peak, 1e-6)),
        "decayed at": float(low[-1] + 1) / len(rates),
        "raised": float(jumps.max(initial=0.0)),
        "rate, mean": float(rates.mean()) / peak,
        "warm-up": float(np.argmax(rates >= 0.99 * peak)) / len(rates),
    }


def _of_steps(log: RunLog) -> dict[str, float]:
    """How far each update went, how steep it was there, and whether it went too far."""
    return {
        **_course("ratio", log.get("update_ratio"), _share_of_peak(log.get("lr"))),
        **_course("gradient", log.get("grad_norm"), None, relative=True),
        **_signs(log.get("alpha")),
    }


def _course(
    name: str,
    curve: Curve | None,
    share: Callable[[Array], Array] | None,
    *,
    relative: bool = False,
) -> dict[str, float]:
    """Return log10 of a positive quantity early, in the middle and late."""
    names = ("first", "early", "middle", "late", "largest")
    curve = None if curve is None else curve.finite()
    if curve is None or len(curve) < 3 or not float(np.median(curve.values)) > 0:
        return {f"{name}, {each}": math.nan for each in names}
    values = np.maximum(curve.values, 1e-12)
    if share is not None:
        values = values / np.maximum(share(curve.steps), 1e-3)
    logs = np.log10(values)
    count = len(logs)
    found = {
        "first": float(logs[:3].max()),
        "early": float(np.median(logs[: max(2, count // 10)])),
        "middle": float(np.median(logs[count // 4 : max(3 * count // 4, count // 4 + 1)])),
        "late": float(np.median(logs[-max(2, count // 5) :])),
        "largest": float(logs.max()),
    }
    if relative:
        found = {key: value - float(logs[0]) for key, value in found.items()}
    return {f"{name}, {key}": value for key, value in found.items()}


def _share_of_peak(curve: Curve | None) -> Callable[[Array], Array] | None:
    """Return which share of its peak the rate had at given steps."""
    curve = None if curve is None else curve.finite()
    if curve is None or len(curve) < 3 or not float(curve.values.max()) > 0:
        return None
    order = np.argsort(curve.steps, kind="stable")
    steps, rates = curve.steps[order], curve.values[order] / float(curve.values.max())
    return lambda at: np.interp(at, steps, rates)


def _signs(curve: Curve | None) -> dict[str, float]:
    """Return how α̂ lay: −1 steps too short to matter, 0 to the bottom, > 0 beyond it."""
    names = ("α early", "α middle", "α late", "α beyond", "α spread")
    curve = None if curve is None else curve.finite()
    if curve is None or len(curve) < 5:
        return dict.fromkeys(names, math.nan)
    values = np.clip(curve.values, -2.0, 5.0)
    count = len(values)
    low, high = np.quantile(values, [0.25, 0.75])
    return {
        "α early": float(np.median(values[: max(3, count // 5)])),
        "α middle": float(np.median(values[count // 4 : 3 * count // 4])),
        "α late": float(np.median(values[-max(3, count // 4) :])),
        "α beyond": float(np.mean(values > 0.3)),
        "α spread": float(high - low),
    }


def _of_validation(log: RunLog) -> dict[str, float]:
    """How the validation loss went, beside that of training."""
    names = ("validation rose", "validation least at", "validation fell late")
    curve = log.get("validation_loss")
    curve = None if curve is None else curve.finite()
    if curve is None or len(curve) < 4:
        return dict.fromkeys(names, math.nan)
    values = curve.values
    fall = float(values.max() - values.min())
    unit = max(fall, 1e-300)
    return {
        "validation rose": float(values[-1] - values.min()) / unit,
        "validation least at": float(np.argmin(values) + 1) / len(values),
        "validation fell late": float(values[len(values) // 2] - values[-1]) / unit,
    }


def _cut(value: float, most: float = LARGEST) -> float:
    return min(max(value, -most), most)


def _log_ratio(a: float, b: float) -> float:
    """Return log10 of the ratio of two sizes, within ± 3; what is not positive counts as small."""
    return _cut(math.log10(max(a, 1e-300)) - math.log10(max(b, 1e-300)), 3.0)


NAMES = tuple(features(RunLog("", {"loss": Curve(range(40), np.linspace(2.0, 1.0, 40))})))
"""The names of all features, in order."""
