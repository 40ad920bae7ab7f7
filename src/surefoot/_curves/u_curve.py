"""What a U curve says: its basin, the rate where training diverges, the interval of a mean."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot._curves.student import student

__all__ = [
    "basin",
    "divergence_edge",
    "extension",
    "is_noise",
    "learned_nothing",
    "loss_at",
    "loss_unit",
    "mean_interval",
    "safe_order",
]

SAME = 1e-6
"""Decades within which two rates are the same."""

LEAST_LEARNED = 0.1
"""A rate above the best that learned less than this share of what the best learned diverged."""

LEAST_UNIT = 0.001
"""Differences are measured in units of the best loss, but of no less than this share of what was
learned: next to a loss of almost 0 every other would be far away."""

SURE = 3.0
"""How many times its standard error a fall of the loss must be to be more than noise."""


def mean_interval(samples: ArrayLike, *, positive: bool, level: float = 0.9) -> tuple[float, float]:
    r"""Return Student's interval of the mean; of what is always positive, in the log.

    .. math:: \bar x \pm t_{n-1} s / \sqrt n
              \qquad\text{or}\qquad \bar x \cdot e^{\pm t_{n-1} s_{\log} / \sqrt n}

    So it is right for two or three samples too, where a bootstrap is much too narrow, and what is
    positive has a positive interval.

    Args:
        samples: n ≥ 1 measurements; one that is not finite makes the interval infinite.
        positive: whether no measurement of the kind can be 0 or negative.
        level: share of the interval, in (0, 1).

    Returns:
        Its lower and upper end; one sample, which says nothing of the noise, is both.

    Example:
        >>> [round(end, 3) for end in mean_interval([0.9, 1.0, 1.1], positive=True)]
        [0.844, 1.184]

    Reference:
        Student, *The Probable Error of a Mean*, 1908.
    """
    array = np.asarray(samples, dtype=np.float64)
    if not np.isfinite(array).all():
        return math.inf, math.inf
    mean, count = float(array.mean()), len(array)
    if count == 1:
        return mean, mean
    spread = float(np.std(np.log(array) if positive else array, ddof=1))
    half = student(count - 1, level) * spread / math.sqrt(count)
    if not positive:
        return mean - half, mean + half
    half = min(half, 700.0)  # far beyond any loss, and still a float
    return mean * math.exp(-half), mean * math.exp(half)


def basin(
    lrs: Sequence[float], losses: Sequence[float], *, tolerance: float, unit: float
) -> tuple[float, float, bool, bool]:
    """Return the range of rates around the best whose loss is at most best + tolerance·unit.

    Its ends are interpolated between neighbouring rates, linearly in log lr.

    Args:
        lrs: n rates, ascending.
        losses: n losses; at least one is finite.
        tolerance: share of ``unit``, ≥ 0.
        unit: what the tolerance is a share of, in the unit of the loss, > 0: best loss − floor.

    Returns:
        Lower end, upper end, and whether each lies at the end of the rates.

    Example:
        >>> low, high, open_low, open_high = basin(
        ...     [1e-3, 1e-2, 1e-1, 1], [2.0, 1.0, 1.2, 9.0], tolerance=0.1, unit=1.0)
        >>> round(low, 4), round(high, 4), open_low, open_high
        (0.0079, 0.0316, False, False)
    """
    values = np.where(np.isfinite(losses), losses, np.inf)
    best = int(np.argmin(values))
    level = float(values[best]) + tolerance * unit
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


def loss_unit(best: float, untrained: float) -> float:
    """Return what differences of losses are measured in: best loss − floor.

    That is the best loss, but at least 0.1 % of what was learned; where losses may be negative,
    what was learned.

    Args:
        best: the least loss.
        untrained: the loss before training; NaN if it is not known.

    Returns:
        The unit ≥ 0; 0 where there is none, for nothing was learned or that is not known.

    Example:
        >>> loss_unit(0.5, untrained=2.5), loss_unit(0.0, 2.5), loss_unit(-1.0, 2.0)
        (0.5, 0.0025, 3.0)
    """
    learned = 0.0 if math.isnan(untrained) else max(untrained - best, 0.0)
    return max(best, LEAST_UNIT * learned) if best >= 0 else learned


def is_noise(fall: float, samples: ArrayLike) -> bool:
    """Return whether a fall of the mean loss is not more than seeds differ by.

    Args:
        fall: mean untrained loss − mean loss at the best rate.
        samples: n × s final losses, a column for each seed; NaN where there was none. With one
            seed nothing is known of the noise, and only what is no fall counts as noise.

    Example:
        >>> flat = [[2.31, 2.29, 2.32], [2.28, 2.31, 2.3]]
        >>> is_noise(0.01, flat), is_noise(1.0, flat)
        (True, False)
    """
    table = np.where(np.isfinite(samples), samples, np.nan)
    table = table[np.isfinite(table).sum(axis=1) > 1]
    if not fall > 0 or not len(table):
        return not fall > 0
    counts = np.isfinite(table).sum(axis=1)
    errors = np.nanstd(table, axis=1, ddof=1) / np.sqrt(counts)
    errors /= (1 - 2 / (9 * (counts - 1))) ** 1.5  # the median of χ² (Wilson and Hilferty, 1931)
    return fall <= SURE * float(np.median(errors))


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


def loss_at(lrs: Sequence[float], losses: Sequence[float], lr: float) -> float:
    """Return the loss at any rate, interpolated between neighbours, linearly in log lr.

    Args:
        lrs: n rates, ascending.
        losses: n losses.
        lr: where, > 0.

    Returns:
        The loss; inf between a rate that works and one that fails, NaN beyond the rates.

    Example:
        >>> loss_at([0.01, 0.1, 1.0], [3.0, 1.0, float("inf")], 0.1**1.5)
        2.0
        >>> loss_at([0.01, 0.1, 1.0], [3.0, 1.0, float("inf")], 0.2)
        inf
    """
    logs = np.log10(np.asarray(lrs, dtype=np.float64))
    at = math.log10(lr)
    same = np.flatnonzero(np.abs(logs - at) < SAME)
    if same.size:
        return float(losses[int(same[0])])
    above = int(np.searchsorted(logs, at))
    if above in (0, len(logs)):
        return math.nan
    pair = np.asarray(losses, dtype=np.float64)[above - 1 : above + 1]
    if not np.isfinite(pair).all():
        return math.inf
    return float(np.interp(at, logs[above - 1 : above + 1], pair))


def safe_order(low: float, high: float) -> float | None:
    """Return the power of ten in a range of rates, the one nearest to its middle, or None.

    Of two that are equally near it is the smaller one; a range that ends below its start has none.

    Args:
        low: its lower end, > 0.
        high: its upper end.

    Example:
        >>> safe_order(0.004, 0.03), safe_order(2e-5, 0.3), safe_order(0.02, 0.09)
        (0.01, 0.001, None)
    """
    start, end = math.log10(low), math.log10(high)
    powers = range(math.ceil(start - SAME), math.floor(end + SAME) + 1)
    middle = (start + end) / 2
    order = min(powers, key=lambda power: (round(abs(power - middle), 6), power), default=None)
    return None if order is None else float(f"1e{order}")


def extension(
    lrs: Sequence[float], best: float, *, open_low: bool, open_high: bool
) -> float | None:
    """Return the power of ten to which the rates should reach, for their end cut the curve off.

    It did where the best rate is at the end of the rates, or the interval of the optimum is open
    there. A basin that is open is not enough: its best may well have been seen.

    Args:
        lrs: n rates that were tried, ascending.
        best: that of the least loss.
        open_low: whether the optimum may lie below all rates.
        open_high: whether it may lie above all.

    Returns:
        The next power of ten that is at least twice as far, or None.

    Example:
        >>> lrs = [0.03, 0.1, 0.3, 1.0, 3.0]
        >>> extension(lrs, 3.0, open_low=False, open_high=True)
        10.0
        >>> extension(lrs, 0.1, open_low=True, open_high=False)
        0.01
        >>> extension(lrs, 1.0, open_low=False, open_high=False)
    """
    first, last = math.log10(lrs[0]), math.log10(lrs[-1])
    below = open_low or math.log10(best) < first + SAME
    above = open_high or math.log10(best) > last - SAME
    if len(lrs) == 1 or not (below or above):
        return None
    if below and above:  # both are possible: the end that is nearer to the best
        above = math.log10(best) > (first + last) / 2
    twice = math.log10(2) - SAME
    power = math.ceil(last + twice) if above else math.floor(first - twice)
    return float(f"1e{power}")
