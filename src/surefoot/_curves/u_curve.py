"""What a U curve says: its basin, the rate where training diverges, the interval of a mean."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "basin",
    "divergence_edge",
    "extension",
    "learned_nothing",
    "loss_at",
    "mean_interval",
    "safe_order",
]

SAME = 1e-6
"""Decades within which two rates are the same."""

LEAST_LEARNED = 0.1
"""A rate above the best that learned less than this share of what the best learned diverged."""


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
    half = _student(count - 1, level) * spread / math.sqrt(count)
    if not positive:
        return mean - half, mean + half
    half = min(half, 700.0)  # far beyond any loss, and still a float
    return mean * math.exp(-half), mean * math.exp(half)


def _student(freedom: int, level: float) -> float:
    """Return the t within which Student's law has ``level`` of its probability.

    With t = √ν tan θ its density in θ is that of cos θ to the power of ν − 1.
    """
    angles = np.linspace(0.0, np.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    inside = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    angle = float(np.interp(level * float(inside[-1]), inside, angles))
    return math.sqrt(freedom) * math.tan(angle)


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


def extension(lrs: Sequence[float], best: float, low: float, high: float) -> float | None:
    """Return the power of ten to which the rates should reach, for their end cut the curve off.

    It did where the best rate, or the interval of the optimum, is at the end of the rates. A basin
    that is open there is not enough: its best may well have been seen.

    Args:
        lrs: n rates that were tried, ascending.
        best: that of the least loss.
        low: from where on the optimum may lie; ``best`` where that is not known.
        high: up to where.

    Returns:
        The next power of ten that is at least twice as far, or None.

    Example:
        >>> lrs = [0.03, 0.1, 0.3, 1.0, 3.0]
        >>> extension(lrs, 3.0, 3.0, 3.0), extension(lrs, 0.1, 0.03, 0.2), extension(lrs, 1, 0.4, 2)
        (10.0, 0.01, None)
    """
    first, last = math.log10(lrs[0]), math.log10(lrs[-1])
    below = math.log10(min(best, low)) < first + SAME
    above = math.log10(max(best, high)) > last - SAME
    if len(lrs) == 1 or not (below or above):
        return None
    if below and above:  # both are possible: the end that is nearer to the best
        above = math.log10(best) > (first + last) / 2
    twice = math.log10(2) - SAME
    power = math.ceil(last + twice) if above else math.floor(first - twice)
    return float(f"1e{power}")
