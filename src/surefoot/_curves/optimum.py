"""The best learning rate and its interval, from a robust fit through a whole U curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot._curves.bent_curve import Heights, draw_curves

__all__ = ["Fit", "fit_optimum"]

Array = NDArray[np.float64]

# Chosen on the tuning cases of benchmarks/statistics.py.
FEWEST = 4
"""Rates that a fit needs."""
REACH = 1.2
"""How far above the best the fit looks, in units of log loss; beyond it is only known to be bad."""
OFFSET = 0.5
"""Added to the loss in units of best − floor, so that no loss near the floor weighs too much."""
FEWEST_CURVES = 20
"""Curves that an interval needs."""
RESOLUTION = 0.07
"""Share of the distance of two rates below which no interval can know better."""


@dataclass(frozen=True)
class Fit:
    """The best rate of a fitted curve.

    Args:
        lr: where the expected loss is least.
        low, high: where the lowest point of the curve lies with the probability asked for.
        loss: the fitted loss at ``lr``.
    """

    lr: float
    low: float
    high: float
    loss: float


def fit_optimum(
    lrs: Sequence[float],
    losses: ArrayLike,
    *,
    floor: float,
    generator: np.random.Generator,
    level: float = 0.9,
) -> Fit | None:
    r"""Return the best rate with its interval; None with too few rates, or if no such curve fits.

    The log of the loss above the floor is modelled over x = log10 lr as

    .. math:: z = a + b x + c \, w \log(1 + e^{(x - t)/w}) + g(x) + \mathrm{seed} + \mathrm{noise},

    a line that bends upwards at t and a smooth deviation g, a Gaussian process. All that is unknown
    is integrated: a, b, c, seeds and the noise exactly, the place t and roundness w of the bend and
    length and size of g over a grid, by how probable they make the losses. Rates far above the best
    say only that the curve ends high there. The interval is that of the lowest point.

    Args:
        lrs: n rates > 0, ascending.
        losses: n × s final losses, a column for each seed; NaN where there was none, inf where
            training failed.
        floor: the least value that the loss can take, below the best loss.
        generator: where the randomness comes from.
        level: probability of the interval, in (0, 1).

    Example:
        >>> lrs = [0.001, 0.01, 0.1, 1.0, 10.0]
        >>> losses = [[1 + (math.log10(lr) + 1.3) ** 2] for lr in lrs]
        >>> fit = fit_optimum(lrs, losses, floor=0.0, generator=np.random.default_rng(0))
        >>> fit.low < 10**-1.3 < fit.high
        True

    Reference:
        Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, section 2.7;
        Solin and Särkkä, *Hilbert Space Methods for Reduced-Rank Gaussian Process Regression*,
        2020.
    """
    table = np.asarray(losses, dtype=np.float64)
    kept = ~np.isnan(table).all(axis=1)
    x, table = np.log10(np.asarray(lrs, dtype=np.float64))[kept], table[kept]
    middles = np.array([np.median(row[~np.isnan(row)]) for row in table])
    scale = float(np.min(middles, initial=np.inf)) - floor
    if len(x) < FEWEST or not (0 < scale < np.inf):
        return None
    heights = np.log(np.maximum((table - floor) / scale, 0.0) + OFFSET)
    data = _near_the_best(x, heights)
    places = np.linspace(*data.ends, 161)
    curves = draw_curves(data, places, generator)
    if curves.shape[1] < FEWEST_CURVES:
        data = _near_the_best(x, heights, walls_are_data=True)
        curves = draw_curves(data, places, generator)
    if curves.shape[1] < FEWEST_CURVES:
        return None
    expected = np.exp(np.minimum(curves, data.level)).mean(axis=1)
    lowest = places[np.argmin(curves, axis=0)]
    slack = RESOLUTION * float(np.median(np.diff(x)))
    low, high = np.quantile(lowest, [(1 - level) / 2, (1 + level) / 2])
    low, high = max(low - slack, data.ends[0]), min(high + slack, data.ends[1])
    at = int(np.argmin(np.where((places >= low) & (places <= high), expected, np.inf)))
    loss = floor + scale * max(math.exp(float(np.median(curves[at]))) - OFFSET, 0.0)
    return Fit(float(10 ** places[at]), float(10**low), float(10**high), loss)


def _near_the_best(x: Array, heights: Array, *, walls_are_data: bool = False) -> Heights:
    """Return the rates around the best up to the first that is far above it, on each side.

    Those two are walls, unless hardly any curve ends high there or too few rates are left.
    """
    middles = np.array([np.median(row[~np.isnan(row)]) for row in heights])
    best = int(np.argmin(middles))
    level = float(middles[best]) + REACH
    low = high = best
    while low > 0 and middles[low] <= level:
        low -= 1
    while high < len(x) - 1 and middles[high] <= level:
        high += 1
    while high - low + 1 < FEWEST:
        low, high = max(low - 1, 0), min(high + 1, len(x) - 1)
    ends = (float(x[low]), float(x[high]))
    walls = (bool(middles[low] > level), bool(middles[high] > level))
    if walls_are_data or high - low + 1 - sum(walls) < FEWEST - 1:
        walls = (False, False)
    low, high = low + walls[0], high - walls[1]
    inside = np.minimum(heights[low : high + 1], middles[best] + 1.25 * REACH)
    rate, column = np.nonzero(~np.isnan(inside))
    seed = np.unique(column, return_inverse=True)[1]
    return Heights(x[low : high + 1], rate, seed, inside[rate, column], ends, walls, level)
