"""A line with a bend and a smooth deviation: every such curve that fits, as probable as it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Heights", "draw_curves"]

Array = NDArray[np.float64]

# Chosen on the tuning cases of benchmarks/curve_statistics.py.
WAVES = 16
"""How many sines make the smooth deviation."""
LENGTHS, SIZES = (0.6, 2.5), (1.0, 1e2, 1e4, 1e6)
"""Deviations that are tried: length in decades, variance in units of that of the noise."""
ROUNDINGS, STEEPEST = (0.03, 0.2), 40.0
"""Bends that are tried: how round, in decades; their slope, in log loss per decade."""
JUMP = 4.0
"""Height of the jumps that are tried, in log loss."""
PER_GAP, MOST_PLACES = 8, 160
"""Places of the bend that are tried between two rates; at most, in all."""
LEAST_SPREAD = 0.02
"""Least noise that bends are compared with."""
FREEDOM = 4.0
"""Degrees of freedom of the noise: few, so that a rate with a mad member weighs little."""
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
        values: the log losses, each of a mean over seeds.
        counts: over how many.
        noise: standard deviation of one seed's log loss.
        freedom: how well the noise is known, in degrees of freedom.
        ends: the ends of the curve: the walls, where there are any.
        walls: whether its left and its right end is a wall.
        level: the least height of a wall.
    """

    x: Array
    values: Array
    counts: Array
    noise: float
    freedom: float
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
    edges = np.linspace(*data.ends, min(PER_GAP * gaps, MOST_PLACES) + 1)
    knots = (edges[1:] + edges[:-1]) / 2
    middle = float(data.values.mean())
    posterior = _fit(data, knots, data.values - middle)
    smooth, bends = _smooth(places, data.ends), _bends(places, knots)
    level = data.level - middle
    walls = [end for end, wall in zip((0, -1), data.walls, strict=True) if wall]
    noise = np.sqrt(posterior.rest / posterior.shape)
    chance = _above(posterior.height * np.sqrt(posterior.precision) / noise)
    for end in walls:
        chance *= _chance(posterior, smooth[end], bends[end], level)
    likely = posterior.weight * chance
    weight = np.where(likely > NEGLIGIBLE * likely.max(), posterior.weight, 0.0)
    accepted = float((weight * chance).sum() / weight.sum())
    count = int(min(2 * CURVES / max(accepted, 1e-9), MOST_CURVES))
    picks = generator.choice(weight.size, size=count, p=(weight / weight.sum()).ravel())
    deviation, bend = np.divmod(np.sort(picks), weight.shape[1])
    heights, parts = _coefficients(posterior, deviation, bend, generator)
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
    """Return a column for each bend: 0 left of its knot, a line of slope 1 right of it.

    The last are jumps: 0 left of the knot, a constant right of it.
    """
    beyond = at[:, None] - knots
    bends: list[Array] = [w * np.logaddexp(0.0, beyond / w) for w in ROUNDINGS]
    bends.append(np.where(beyond > 0, JUMP / STEEPEST, 0.0))
    return np.concatenate(bends, axis=1)


def _deviations(ends: tuple[float, float]) -> Array:
    """Return the prior precision of the smooth part in units of the noise: e × p."""
    precisions: list[Array] = []
    for length in LENGTHS:
        decay = np.sqrt(3) / length  # a Matérn process of order 3/2: it may have corners
        spectrum = 4 * decay**3 / (decay**2 + _frequencies(ends) ** 2) ** 2
        precisions += [np.concatenate([[1e-6, 1e-6], 1 / (size * spectrum)]) for size in SIZES]
    return np.array(precisions)


def _fit(data: Heights, knots: Array, values: Array) -> _Posterior:
    """Return the posterior; rates that no curve explains weigh little."""
    columns, bends = _smooth(data.x, data.ends), _bends(data.x, knots)
    weights = data.counts
    for _ in range(ROUNDS - 1):
        posterior = _solve(data, columns, bends, values, weights)
        weights = data.counts * _trust(posterior, columns, bends, values, weights)
    return _solve(data, columns, bends, values, weights)


def _solved(matrix: Array, right: Array) -> Array:
    return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)


def _solve(
    data: Heights, columns: Array, bends: Array, values: Array, weights: Array
) -> _Posterior:
    prior = _deviations(data.ends)
    bend_prior = (max(data.noise, LEAST_SPREAD) / STEEPEST) ** 2
    weighted = columns * weights[:, None]
    precisions = weighted.T @ columns + prior[:, :, None] * np.eye(columns.shape[1])
    factors = np.asarray(np.linalg.cholesky(precisions), dtype=np.float64)
    right = np.concatenate([(weighted.T @ values)[:, None], weighted.T @ bends], axis=1)
    solved = _solved(factors, np.broadcast_to(right, (len(prior), *right.shape)))
    smooth, crossed = solved[:, :, 0], solved[:, :, 1:]
    left = (weights @ bends**2) - (crossed**2).sum(axis=1)  # ≥ 0 but for rounding
    precision = bend_prior + np.maximum(left, 0.0)
    pull = (weights * values) @ bends - np.einsum("ep,eph->eh", smooth, crossed)
    squares = float(weights @ values**2) - (smooth**2).sum(axis=1)[:, None] - pull**2 / precision
    shape = 0.5 * (data.freedom + max(len(values) - 2, 1))
    rest = 0.5 * (data.freedom * data.noise**2 + np.maximum(squares, 0.0))
    diagonals = np.diagonal(factors, axis1=1, axis2=2)
    volume = np.log(diagonals).sum(axis=1) - 0.5 * np.log(prior).sum(axis=1)
    evidence = -volume[:, None] - 0.5 * np.log(precision) - shape * np.log(rest)
    weight = np.exp(evidence - evidence.max())
    return _Posterior(
        factors, smooth, crossed, precision, pull / precision, rest, shape, weight / weight.sum()
    )


def _trust(
    posterior: _Posterior, columns: Array, bends: Array, values: Array, weights: Array
) -> Array:
    """Return how far each rate is believed, under the most probable curve.

    The outermost ones are, for there a curve may well turn up steeply.
    """
    e, h = np.unravel_index(int(np.argmax(posterior.weight)), posterior.weight.shape)
    factor, height = posterior.factors[e], posterior.height[e, h]
    parts = _solved(factor.T, posterior.smooth[e] - posterior.crossed[e][:, h] * height)
    solved = _solved(factor, columns.T)
    crossed = bends[:, h] - posterior.crossed[e][:, h] @ solved
    leverage = weights * ((solved**2).sum(axis=0) + crossed**2 / posterior.precision[e, h])
    off = (values - columns @ parts - bends[:, h] * height) / (1 - np.minimum(leverage, 0.9))
    squares = weights * off**2 / (posterior.rest[e, h] / posterior.shape)
    trust = np.minimum((FREEDOM + 1) / (FREEDOM + squares), 1.0)
    trust[[0, -1]] = 1.0
    return trust


def _chance(posterior: _Posterior, smooth: Array, bends: Array, level: float) -> Array:
    """Return how probable it is that the curve lies above the level at one place: e × h."""
    part = _solved(
        posterior.factors, np.broadcast_to(smooth[:, None], (*posterior.smooth.shape, 1))
    )
    part = part[:, :, 0]
    own = bends - np.einsum("ep,eph->eh", part, posterior.crossed)
    mean = (part * posterior.smooth).sum(axis=1)[:, None] + posterior.height * own
    variance = (part**2).sum(axis=1)[:, None] + own**2 / posterior.precision
    spread = np.sqrt(posterior.rest / posterior.shape * variance)
    return _above((mean - level) / spread)


def _above(deviations: Array) -> Array:
    """Return about how probable it is that a normal number is not that far below its mean."""
    return 1 / (1 + np.exp(-1.702 * np.clip(deviations, -30, 30)))


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
