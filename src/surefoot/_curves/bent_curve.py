"""A line with a bend and a smooth deviation: every such curve that fits, as probable as it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Heights", "draw_curves"]

Array = NDArray[np.float64]

# Chosen on the tuning cases of benchmarks/statistics.py.
WAVES = 16
"""How many sines make the smooth deviation."""
LENGTHS, SIZES = (0.6, 2.5), (1.0, 1e2, 1e4, 1e6)
"""Deviations that are tried: length in decades, variance in units of that of the noise."""
ROUNDINGS, STEEPEST = (0.03, 0.2), 40.0
"""Bends that are tried: how round, in decades; their slope, in log loss per decade."""
PER_GAP, MOST_PLACES = 8, 160
"""Places of the bend that are tried between two rates; at most, in all."""
LEAST_NOISE, LEAST_SPREAD, UNKNOWN_NOISE = 0.003, 0.02, 0.05
"""Noise of the log loss: always allowed for; least and unknown one that a bend is compared with."""
FREEDOM = 4.0
"""Degrees of freedom of the noise: few, so that a mad member weighs little."""
ROUNDS = 3
"""How often the weights of the members are set anew."""
CURVES, MOST_CURVES = 400, 6000
"""Curves that are drawn; at most, where few end high enough at the walls."""
NEGLIGIBLE = 1e-3
"""Share of the probability of the most probable bend below which one is left out."""


@dataclass(frozen=True)
class Heights:
    """Log losses near the best; a wall is a rate of which only is known that it is bad.

    Args:
        x: n places, log10 lr, without the walls.
        rate: to which place each value belongs; each place has one at least.
        seed: to which seed, counted from 0; each has one value at least.
        values: the log losses.
        ends: the ends of the curve: the walls, where there are any.
        walls: whether its left and its right end is a wall.
        level: the least height of a wall.
    """

    x: Array
    rate: NDArray[np.intp]
    seed: NDArray[np.intp]
    values: Array
    ends: tuple[float, float]
    walls: tuple[bool, bool]
    level: float


@dataclass(frozen=True)
class _Posterior:
    """What the values say under every deviation (e) and every bend (h).

    The height of the bend is solved for last, so that one factorisation serves all bends.
    """

    factors: Array  # e × p × p: Cholesky factors of the precision of the smooth part
    smooth: Array  # e × p: the smooth part without a bend, times the factor
    crossed: Array  # e × p × h: what bends and the smooth part share, likewise
    precision: Array  # e × h: of the height of the bend
    height: Array  # e × h: its mean
    rest: Array  # e × h: half the sum of squares that is left over
    shape: float  # of the inverse gamma law of the variance of the noise; its scale is ``rest``
    weight: Array  # e × h: probability, sums to one


def draw_curves(data: Heights, places: Array, generator: np.random.Generator) -> Array:
    """Return curves that fit the values and end high at the walls: places × curves.

    Args:
        data: the values.
        places: where to evaluate, from one of the ends to the other.
        generator: where the randomness comes from.

    Returns:
        About 400 curves; fewer, or none, where hardly any ends high enough or bends upwards.
    """
    gaps = len(data.x) - 1 + sum(data.walls)
    knots = np.linspace(*data.ends, min(PER_GAP * gaps, MOST_PLACES) + 1)[1:-1]
    middle = float(data.values.mean())
    posterior = _fit(data, knots, data.values - middle)
    smooth, bends = _smooth(places, data.ends), _bends(places, knots)
    level = data.level - middle
    walls = [end for end, wall in zip((0, -1), data.walls, strict=True) if wall]
    chance = np.ones_like(posterior.weight)
    for end in walls:
        chance *= _chance(posterior, smooth[end], bends[end], level)
    likely = posterior.weight * chance
    weight = np.where(likely > NEGLIGIBLE * likely.max(), posterior.weight, 0.0)
    accepted = float((weight * chance).sum() / weight.sum())
    count = int(min(2 * CURVES / max(accepted, 1e-9), MOST_CURVES))
    picks = generator.choice(weight.size, size=count, p=(weight / weight.sum()).ravel())
    deviation, bend = np.divmod(np.sort(picks), weight.shape[1])
    heights, parts = _coefficients(posterior, deviation, bend, generator)
    parts = parts[: smooth.shape[1]]
    fits = heights >= 0
    for end in walls:
        fits &= smooth[end] @ parts + bends[end, bend] * heights >= level
    return middle + smooth @ parts[:, fits] + bends[:, bend[fits]] * heights[fits]


def _smooth(at: Array, ends: tuple[float, float]) -> Array:
    """Return the columns of the smooth part: a line, and sines that vanish beyond the ends."""
    middle, half = sum(ends) / 2, (ends[1] - ends[0]) / 2
    waves: Array = np.sin(_frequencies(ends) * (at[:, None] - middle + 1.5 * half))
    waves = waves / (1.5 * half) ** 0.5
    line = (at[:, None] - middle) / half
    return np.concatenate([np.ones_like(line), line, waves], axis=1)


def _frequencies(ends: tuple[float, float]) -> Array:
    return np.pi / (1.5 * (ends[1] - ends[0])) * np.arange(1, WAVES + 1, dtype=np.float64)


def _bends(at: Array, knots: Array) -> Array:
    """Return a column for each bend: 0 left of its knot, a line of slope 1 right of it."""
    bends: list[Array] = [w * np.logaddexp(0.0, (at[:, None] - knots) / w) for w in ROUNDINGS]
    return np.concatenate(bends, axis=1)


def _deviations(ends: tuple[float, float], seeds: int) -> Array:
    """Return the prior precision of the smooth part in units of the noise: e × p."""
    precisions: list[Array] = []
    for length in LENGTHS:
        decay = np.sqrt(5) / length  # a Matérn process of order 5/2
        spectrum = 16 / 3 * decay**5 / (decay**2 + _frequencies(ends) ** 2) ** 3
        precisions += [
            np.concatenate([[1e-6, 1e-6], 1 / (size * spectrum), np.full(seeds, 1e-4)])
            for size in SIZES
        ]
    return np.array(precisions)


def _fit(data: Heights, knots: Array, values: Array) -> _Posterior:
    """Return the posterior; members that no curve explains weigh little."""
    count = int(data.seed.max()) + 1
    seeds = np.eye(count)[data.seed][:, 1:] - np.eye(count)[data.seed][:, :1]
    columns = np.concatenate([_smooth(data.x, data.ends)[data.rate], seeds], axis=1)
    bends = _bends(data.x, knots)[data.rate]
    prior = _deviations(data.ends, count - 1)
    bend_prior = (_spread(data, values) / STEEPEST) ** 2
    weights = np.ones(len(values))
    for _ in range(ROUNDS - 1):
        posterior = _solve(columns, bends, values, weights, prior, bend_prior)
        weights = _weights(data, posterior, columns, bends, values)
    return _solve(columns, bends, values, weights, prior, bend_prior)


def _spread(data: Heights, values: Array) -> float:
    """Return a rough noise: how far the seeds of a rate lie apart beyond what is common to all."""
    table = np.full((len(data.x), int(data.seed.max()) + 1), np.nan)
    if len(values) < sum(table.shape):  # no more values than rates and seeds explain
        return UNKNOWN_NOISE
    table[data.rate, data.seed] = values
    table -= np.nanmean(table, axis=1, keepdims=True)
    table -= np.nanmedian(table, axis=0)
    return max(LEAST_SPREAD, 1.4826 * float(np.nanmedian(np.abs(table))))


def _solved(matrix: Array, right: Array) -> Array:
    return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)


def _solve(
    columns: Array, bends: Array, values: Array, weights: Array, prior: Array, bend_prior: float
) -> _Posterior:
    weighted = columns * weights[:, None]
    lines = columns.shape[1]
    precisions = weighted.T @ columns + prior[:, :, None] * np.eye(lines)
    factors = np.asarray(np.linalg.cholesky(precisions), dtype=np.float64)
    right = np.concatenate([(weighted.T @ values)[:, None], weighted.T @ bends], axis=1)
    solved = _solved(factors, np.broadcast_to(right, (len(prior), *right.shape)))
    smooth, crossed = solved[:, :, 0], solved[:, :, 1:]
    left = (weights @ bends**2) - (crossed**2).sum(axis=1)  # ≥ 0 but for rounding
    precision = bend_prior + np.maximum(left, 0.0)
    pull = (weights * values) @ bends - np.einsum("ep,eph->eh", smooth, crossed)
    squares = float(weights @ values**2) - (smooth**2).sum(axis=1)[:, None] - pull**2 / precision
    shape = 0.5 * (1 + max(len(values) - lines + WAVES, 1))
    rest = 0.5 * (LEAST_NOISE**2 + np.maximum(squares, 0.0))
    diagonals = np.diagonal(factors, axis1=1, axis2=2)
    volume = np.log(diagonals).sum(axis=1) - 0.5 * np.log(prior).sum(axis=1)
    evidence = -volume[:, None] - 0.5 * np.log(precision) - shape * np.log(rest)
    weight = np.exp(evidence - evidence.max())
    return _Posterior(
        factors, smooth, crossed, precision, pull / precision, rest, shape, weight / weight.sum()
    )


def _weights(
    data: Heights, posterior: _Posterior, columns: Array, bends: Array, values: Array
) -> Array:
    """Return the weight of each member under the most probable curve.

    With three or more seeds a member is mad only if it is far from the others of its rate too; with
    fewer the outermost rates count fully, for there a curve may well turn up steeply.
    """
    e, h = np.unravel_index(int(np.argmax(posterior.weight)), posterior.weight.shape)
    factor, height = posterior.factors[e], posterior.height[e, h]
    parts = _solved(factor.T, posterior.smooth[e] - posterior.crossed[e][:, h] * height)
    variance = posterior.rest[e, h] / posterior.shape
    solved = _solved(factor, columns.T)
    crossed = bends[:, h] - posterior.crossed[e][:, h] @ solved
    leverage = (solved**2).sum(axis=0) + crossed**2 / posterior.precision[e, h]
    off = (values - columns @ parts - bends[:, h] * height) / (1 - np.minimum(leverage, 0.9))
    outermost = (data.rate == 0) | (data.rate == len(data.x) - 1)
    own = values - columns[:, 2 + WAVES :] @ parts[2 + WAVES :]
    apart = own.copy()
    for rate in range(len(data.x)):
        mine = data.rate == rate
        apart[mine] -= np.median(own[mine])
    several = np.bincount(data.rate, minlength=len(data.x))[data.rate] >= 3
    distance = np.where(
        several, np.minimum(np.abs(off), np.abs(apart)), np.where(outermost, 0.0, off)
    )
    return np.minimum((FREEDOM + 1) / (FREEDOM + distance**2 / variance), 1.0)


def _chance(posterior: _Posterior, smooth: Array, bends: Array, level: float) -> Array:
    """Return how probable it is that the curve lies above the level at one place: e × h."""
    row = np.zeros(posterior.factors.shape[1])
    row[: len(smooth)] = smooth
    part = _solved(posterior.factors, np.broadcast_to(row[:, None], (*posterior.smooth.shape, 1)))
    part = part[:, :, 0]
    own = bends - np.einsum("ep,eph->eh", part, posterior.crossed)
    mean = (part * posterior.smooth).sum(axis=1)[:, None] + posterior.height * own
    variance = (part**2).sum(axis=1)[:, None] + own**2 / posterior.precision
    spread = np.sqrt(posterior.rest / posterior.shape * variance)
    return 1 / (1 + np.exp(-1.702 * np.clip((mean - level) / spread, -30, 30)))


def _coefficients(
    posterior: _Posterior,
    deviation: NDArray[np.intp],
    bend: NDArray[np.intp],
    generator: np.random.Generator,
) -> tuple[Array, Array]:
    """Draw the height of the bend and the smooth part of each curve: n, p × n."""
    count = len(bend)
    gamma = generator.gamma(posterior.shape, size=count)
    noise = np.sqrt(posterior.rest[deviation, bend] / gamma)
    heights = posterior.height[deviation, bend] + noise * (
        generator.standard_normal(count) / np.sqrt(posterior.precision[deviation, bend])
    )
    parts = noise * generator.standard_normal((posterior.smooth.shape[1], count))
    for e, factor in enumerate(posterior.factors):
        mine = deviation == e
        right = posterior.smooth[e][:, None] - posterior.crossed[e][:, bend[mine]] * heights[mine]
        parts[:, mine] = _solved(factor.T, right + parts[:, mine])
    return heights, parts
