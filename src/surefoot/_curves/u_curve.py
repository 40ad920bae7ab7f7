"""What a U curve says: its basin, the rate where training diverges, the interval of a mean."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["basin", "bootstrap_interval", "divergence_edge", "learned_nothing"]

LEAST_LEARNED = 0.1
"""A rate above the best that learned less than this share of what the best learned diverged."""


def bootstrap_interval(
    samples: ArrayLike, generator: np.random.Generator, *, level: float = 0.9, draws: int = 2000
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean.

    Args:
        samples: n ≥ 1 measurements; one that is not finite makes the interval infinite.
        generator: where the randomness comes from.
        level: share of the interval, in (0, 1).
        draws: number of resamples.

    Returns:
        Its lower and upper end.

    Reference:
        Efron, *Bootstrap Methods: Another Look at the Jackknife*, 1979.
    """
    array = np.asarray(samples, dtype=np.float64)
    if not np.isfinite(array).all():
        return float("inf"), float("inf")
    picks = generator.integers(len(array), size=(draws, len(array)))
    low, high = np.quantile(array[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def basin(
    lrs: Sequence[float], losses: Sequence[float], *, tolerance: float, scale: float
) -> tuple[float, float, bool, bool]:
    """Return the range of rates around the best whose loss is at most best + tolerance·scale.

    Its ends are interpolated between neighbouring rates, linearly in log lr.

    Args:
        lrs: n rates, ascending.
        losses: n losses; at least one is finite.
        tolerance: share of ``scale``, ≥ 0.
        scale: what the tolerance is a share of, in the unit of the loss, > 0: best loss − floor.

    Returns:
        Lower end, upper end, and whether each lies at the end of the rates.

    Example:
        >>> low, high, open_low, open_high = basin(
        ...     [1e-3, 1e-2, 1e-1, 1], [2.0, 1.0, 1.2, 9.0], tolerance=0.1, scale=1.0)
        >>> round(low, 4), round(high, 4), open_low, open_high
        (0.0079, 0.0316, False, False)
    """
    values = np.where(np.isfinite(losses), losses, np.inf)
    best = int(np.argmin(values))
    level = float(values[best]) + tolerance * scale
    logs: NDArray[np.float64] = np.log(np.asarray(lrs, dtype=np.float64))

    def walk(direction: int) -> tuple[float, bool]:
        inside = best
        while 0 <= inside + direction < len(values):
            outside = inside + direction
            if not (values[outside] <= level):
                if not np.isfinite(values[outside]):
                    return float(np.exp(logs[inside])), False
                share = (level - values[inside]) / (values[outside] - values[inside])
                return float(np.exp(logs[inside] + share * (logs[outside] - logs[inside]))), False
            inside = outside
        return float(np.exp(logs[inside])), True

    (low, open_low), (high, open_high) = walk(-1), walk(+1)
    return low, high, open_low, open_high


def learned_nothing(loss: float, best: float, untrained: float) -> bool:
    """Return whether a rate learned less than a tenth of what the best learned; NaN counts so.

    Where ``untrained`` is not known (NaN) that can be told only of a loss that is not finite.

    Example:
        >>> learned_nothing(2.29, 0.1, 2.3), learned_nothing(1.7, 0.1, 2.3)
        (True, False)
        >>> learned_nothing(float("nan"), 0.1, 2.3)
        True
        >>> learned_nothing(9.0, 0.1, untrained=float("nan"))
        False
    """
    if math.isnan(untrained):
        return not math.isfinite(loss)
    return not (loss < untrained - LEAST_LEARNED * (untrained - best))


def divergence_edge(
    lrs: Sequence[float], losses: Sequence[float], untrained: float
) -> float | None:
    """Return the smallest rate above the best from which on every rate learned nothing.

    Args:
        lrs: n rates, ascending.
        losses: n losses; at least one is finite.
        untrained: the loss before training; NaN if it is not known.

    Returns:
        That rate, or None if the rates do not reach so far.

    Example:
        >>> divergence_edge([0.01, 0.1, 1, 10], [0.5, 0.1, 2.4, float("inf")], untrained=2.3)
        1
    """
    values = np.where(np.isfinite(losses), losses, np.inf)
    best = int(np.argmin(values))
    edge = None
    for lr, loss in zip(reversed(lrs[best + 1 :]), reversed(values[best + 1 :]), strict=True):
        if not learned_nothing(float(loss), float(values[best]), untrained):
            break
        edge = lr
    return edge
