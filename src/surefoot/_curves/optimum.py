"""The best learning rate and its interval, from a robust fit through a whole U curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot._curves.bent_curve import Heights, draw_curves

__all__ = ["Fit", "fit_optimum"]

Array = NDArray[np.float64]

# Chosen on the tuning cases of benchmarks/curve_statistics.py.
FEWEST = 4
"""Rates that a fit needs."""
REACH = 1.2
"""How far above the best the fit looks, in units of log loss; beyond it is only known to be bad."""
OFFSET = 0.5
"""Added to the loss in units of best − floor, so that no loss near the floor weighs too much."""
FAR, CLIFF = 10.0, 0.3
"""Losses count at most this many times the best; log losses at most so far above ``REACH``."""
MAD = 5.0
"""How many times the noise a member is off that does not belong to the others."""
LEAST_NOISE, UNKNOWN_NOISE = 0.003, 0.05
"""Least noise of a log loss; the one that is assumed where there is one seed."""
FEWEST_CURVES = 20
"""Curves that an interval needs."""
SPREAD = 0.875
"""How far the lowest points that are drawn scatter too much, for true curves are smoother than most
that fit: intervals are narrower by this factor, in standard deviations of a normal law."""
RESOLUTION = 0.07
"""Share of the distance of two rates below which no interval can know better."""


@dataclass(frozen=True)
class Fit:
    """The best rate of a fitted curve.

    Args:
        lr: where the expected loss is least.
        low, high: where the lowest point of the curve lies with the probability asked for.
        loss: the fitted loss at ``lr``.
        open_low, open_high: the lowest point may well lie beyond that end of the rates, and that
            end of the interval is theirs.
    """

    lr: float
    low: float
    high: float
    loss: float
    open_low: bool = False
    open_high: bool = False


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

    a line that bends upwards at t and a smooth deviation g, a Gaussian process; instead of bending
    it may jump at t. All that is unknown is integrated: a, b, c, seeds and the noise exactly, the
    place t and roundness w of the bend and length and size of g over a grid, by how probable they
    make the losses. Rates far above the best say only that the curve ends high there: it may fall
    up to just below them. The interval is that of the lowest point. Where the curve may well fall
    on at an end of the rates, the interval is open there.

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
    table = np.asarray(losses, dtype=np.float64) - floor
    kept = ~np.isnan(table).all(axis=1)
    x, table = np.log10(np.asarray(lrs, dtype=np.float64))[kept], table[kept]
    means = np.nanmean(table, axis=1)
    scale = float(np.min(means, initial=np.inf))
    if len(x) < FEWEST or not (0 < scale < np.inf):
        return None
    table = _without_mad_members(np.clip(table / scale, 0.0, FAR))
    data = _near_the_best(x, table)
    places = np.linspace(*data.ends, 161)
    curves = draw_curves(data, places, generator)
    if curves.shape[1] < FEWEST_CURVES:
        data = _near_the_best(x, table, walls_are_data=True)
        curves = draw_curves(data, places, generator)
    if curves.shape[1] < FEWEST_CURVES:
        return None
    expected = np.exp(np.minimum(curves, data.level)).mean(axis=1)
    lowest = places[np.argmin(curves, axis=0)]
    slack = RESOLUTION * float(np.median(np.diff(x)))
    normal = NormalDist()
    upper = normal.cdf(SPREAD * normal.inv_cdf((1 + level) / 2))
    low, high = np.quantile(lowest, [1 - upper, upper], method="nearest")
    open_low = bool(low == places[0] == x[0]) and not data.walls[0]
    open_high = bool(high == places[-1] == x[-1]) and not data.walls[1]
    low, high = max(low - slack, data.ends[0]), min(high + slack, data.ends[1])
    at = int(np.argmin(np.where((places >= low) & (places <= high), expected, np.inf)))
    loss = floor + scale * max(math.exp(float(np.median(curves[at]))) - OFFSET, 0.0)
    return Fit(float(10 ** places[at]), float(10**low), float(10**high), loss, open_low, open_high)


def _without_mad_members(table: Array) -> Array:
    """Return the losses without those that are far from all others near them.

    That is: far from the middle of three or more at the same rate, above or below everything at
    both neighbouring rates, and nobody is far there. Where several neighbours scatter, or where the
    next rate fails, it is the rates that are mad, not a member.
    """
    heights = np.log(table + OFFSET)
    common, noise, _ = _noise(heights)
    own = heights - common
    far = np.abs(own - np.nanmedian(own, axis=1, keepdims=True)) > MAD * noise
    far &= (~np.isnan(table)).sum(axis=1, keepdims=True) >= 3
    kept = table.copy()
    for i in range(1, len(table) - 1):
        near = table[[i - 1, i + 1]]
        beyond = (table[i] > np.nanmax(near)) | (table[i] < np.nanmin(near))
        if not far[[i - 1, i + 1]].any():
            kept[i, far[i] & beyond] = np.nan
    return kept


def _near_the_best(x: Array, table: Array, *, walls_are_data: bool = False) -> Heights:
    """Return the rates around the best up to the first that is far above it, on each side.

    Those two are walls, unless hardly any curve ends high there or too few rates are left.
    """
    values = np.log(np.nanmean(table, axis=1) + OFFSET)
    best = int(np.argmin(values))
    level = float(values[best]) + REACH
    low = high = best
    while low > 0 and values[low] <= level:
        low -= 1
    while high < len(x) - 1 and values[high] <= level:
        high += 1
    while high - low + 1 < FEWEST:
        low, high = max(low - 1, 0), min(high + 1, len(x) - 1)
    ends = (float(x[low]), float(x[high]))
    walls = (bool(values[low] > level), bool(values[high] > level))
    if walls_are_data or high - low + 1 - sum(walls) < FEWEST - 1:
        walls = (False, False)
    inside = slice(low + walls[0], high - walls[1] + 1)
    common, noise, freedom = _noise(np.log(table[inside] + OFFSET))
    there = ~np.isnan(table[inside])
    counts = there.sum(axis=1).astype(np.float64)
    values = np.minimum(values[inside] - there @ common / counts, level + CLIFF)
    return Heights(x[inside], values, counts, noise, freedom, ends, walls, level)


def _noise(heights: Array) -> tuple[Array, float, float]:
    """Return what is common to all rates of each seed, the noise beyond that, and its freedom."""
    rates, seeds = heights.shape
    present = ~np.isnan(heights).all(axis=0)
    own = heights - np.nanmean(heights, axis=1, keepdims=True)
    common = np.zeros(seeds)
    common[present] = np.nanmedian(own[:, present], axis=0)
    common[present] -= common[present].mean()
    freedom = int((~np.isnan(heights)).sum()) - rates - int(present.sum()) + 1
    if freedom < 1:
        return common, UNKNOWN_NOISE, 1.0
    size = np.abs(own - common)
    spread = 1.4826 * float(np.nanmedian(size)) * math.sqrt(np.isfinite(size).sum() / freedom)
    return common, max(spread, LEAST_NOISE), 1 + freedom / 2
