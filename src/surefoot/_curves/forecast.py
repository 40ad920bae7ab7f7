"""What a training will reach at each rate, told from short trainings and from others like it.

The loss of a training is seen as a surface over the logarithms of rate and time. Trainings that
were measured whole, at all rates and times, are hypotheses of what it looks like, each at many
places along the rate and in several depths. Each is weighed by how well it explains what was seen
of the training at hand; what none explains is left to a Gaussian process.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAP", "Forecast", "Known", "Seen", "depth", "forecast"]

Array = NDArray[np.float64]

CAP = 0.3
"""What rose by more than this share of the deepest fall is only said to have risen so far."""

# The numbers below were chosen on the tuning workloads of benchmarks/find, each left out in turn.

SHIFT = 0.25
"""Standard deviation of how many decades surfaces lie from where they are expected."""

SHIFTS = 8
"""Places to either side, one step of the tables apart."""

DEPTHS = (0.75, 0.87, 1.0, 1.15, 1.35, 1.6)
"""How deep the whole training goes, in units of the deepest fall that was seen."""

OWN, OWN_RATE, OWN_TIME = 0.13, 0.7, 1.16
"""Of a training's own deviation from the others': size, and lengths over ln lr and ln time."""

ALONG, ALONG_LENGTH = 0.04, 2.0
"""The same of the part that depends on rate × time alone."""

NOISE, EARLY = 1.4e-3, 1e-4
"""Variance of what one judgement has to itself, and per square of ln (budget ÷ time)."""

HOPELESS = 3.2
"""A regret beyond this counts no more than this."""

ABOVE = 0.41
"""Decades above the highest rate that was tried which may still be the best."""

DRAWS = 300
"""Surfaces that are drawn to judge what a rate may cost."""

FINE = 2
"""Rates of a forecast for one of the tables."""


@dataclass(frozen=True)
class Known:
    """Trainings that were measured whole.

    Args:
        offsets: m logarithms of rate ÷ the rate that a range test expects to be best, ascending
            in even steps.
        times: n logarithms of time ÷ budget, descending from 0 in even steps.
        tables: k × m × n: the depth of each training, −1 where it is deepest; see :func:`depth`.
    """

    offsets: Array
    times: Array
    tables: Array

    def at(self, offsets: Array, times: Array) -> Array:
        """Return all tables, at all places, at p points: k × places × p."""
        step = self.offsets[1] - self.offsets[0]
        places = np.arange(-SHIFTS, SHIFTS + 1)
        row = (offsets - self.offsets[0]) / step - places[:, None]
        row = np.clip(row, 0, len(self.offsets) - 1.001)
        column = np.clip(times / (self.times[1] - self.times[0]), 0, len(self.times) - 1.001)
        a, b = row.astype(int), column.astype(int)
        x, t = row - a, column - b
        tables = self.tables
        early = tables[:, a, b] * (1 - x) + tables[:, a + 1, b] * x
        late = tables[:, a, b + 1] * (1 - x) + tables[:, a + 1, b + 1] * x
        return early * (1 - t) + late * t

    @property
    def places(self) -> Array:
        """How far each place lies from where it is expected, in decades."""
        step = (self.offsets[1] - self.offsets[0]) / math.log(10)
        return np.arange(-SHIFTS, SHIFTS + 1) * step


@dataclass(frozen=True)
class Seen:
    """What a short training was judged by at one time.

    Args:
        lr: its rate.
        time: its updates so far ÷ the budget, in (0, 1].
        loss: the loss then; not finite if it diverged.
    """

    lr: float
    time: float
    loss: float


@dataclass(frozen=True)
class Forecast:
    """What the whole training may reach at each rate.

    Args:
        lrs: n rates, ascending.
        losses: d × n draws of the loss after the whole budget.
        regret: n expected regrets, each draw's capped at :data:`HOPELESS`.
    """

    lrs: Array
    losses: Array
    regret: Array

    def best(self, lr: float, decades: float) -> float:
        """Return the rate of least expected regret near a rate, within some decades or nearest."""
        away = np.abs(np.log10(self.lrs / lr))
        near = away <= max(decades, float(away.min()))
        return float(self.lrs[int(np.argmin(np.where(near, self.regret, np.inf)))])

    def regret_at(self, lr: float) -> float:
        """Return the expected regret at a rate; inf beyond the rates."""
        logs = np.log(self.lrs)
        return float(np.interp(math.log(lr), logs, self.regret, left=np.inf, right=np.inf))

    def quantile(self, share: float) -> float:
        """Return the rate below which the best one lies with this probability."""
        return float(np.quantile(self.lrs[np.argmin(self.losses, axis=1)], share))

    def expected(self, lr: float) -> float:
        """Return the median of the loss at a rate; inf beyond the rates."""
        middle = np.median(self.losses, axis=0)
        return float(np.interp(math.log(lr), np.log(self.lrs), middle, left=np.inf, right=np.inf))


def depth(losses: Array, untrained: float) -> Array:
    r"""Return how deep losses lie below the untrained one: :math:`\ln (L - f) / (L_0 - f)`.

    The floor f is 0 where all losses are positive; else it lies below the least of them by half of
    what was learned. Losses that are not finite lie infinitely high.

    Args:
        losses: any number of losses.
        untrained: that of the untrained model.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    floor = _floor(losses, untrained)
    return np.log((losses - floor) / (untrained - floor))


def _floor(losses: Array, untrained: float) -> float:
    least = min(float(losses.min()), untrained)
    return 0.0 if least > 0 else least - 0.5 * max(untrained - least, 1e-12)


def forecast(known: Known, seen: Sequence[Seen], untrained: float, centre: float) -> Forecast:
    """Return what the whole training may reach at each rate around those that were tried.

    Args:
        known: trainings that were measured whole.
        seen: what the short trainings were judged by; one of them is finite and below untrained.
        untrained: what the untrained model is judged by.
        centre: the rate that a range test expects to be best.
    """
    losses = np.array([each.loss for each in seen])
    depths = depth(losses, untrained)
    deepest = -float(depths.min())
    good = np.isfinite(losses)
    x = np.log([each.lr for each in seen]) - math.log(centre)
    times = np.log([each.time for each in seen])
    rates = _rates(known, x, float(x[~good].min()) if not good.all() else math.inf)
    draws = deepest * _draw(
        known, x[good], times[good], np.minimum(depths / deepest, CAP)[good], rates
    )
    worse = np.expm1(np.minimum(draws - draws.min(axis=1, keepdims=True), 5.0))
    floor = _floor(losses, untrained)
    return Forecast(
        centre * np.exp(rates),
        floor + (untrained - floor) * np.exp(np.minimum(draws, 5.0)),
        np.minimum(worse, HOPELESS).mean(axis=0),
    )


def _rates(known: Known, tried: Array, ceiling: float) -> Array:
    """Return the offsets to look at: a decade below those tried, and less above."""
    step = float(known.offsets[1] - known.offsets[0]) / FINE
    low = float(tried.min()) - math.log(10)
    high = min(float(tried.max()) + ABOVE * math.log(10), ceiling - step / 2)
    return low + step * np.arange(max(1, math.ceil((high - low) / step)), dtype=np.float64)


def _draw(known: Known, x: Array, times: Array, depths: Array, rates: Array) -> Array:
    """Return draws of the depth after the whole budget, in units of the deepest that was seen."""
    zeros = np.zeros(len(rates))
    covariance = _kernel(x, times, x, times) + np.diag(NOISE + EARLY * times**2)
    root = np.linalg.cholesky(covariance)
    across = np.linalg.solve(root, _kernel(x, times, rates, zeros))
    tables = known.at(x, times)
    guesses = np.minimum(np.multiply.outer(DEPTHS, tables), CAP)  # depth × table × place × point
    misfit = np.linalg.solve(root, (depths - guesses).reshape(-1, len(x)).T)
    prior = -0.5 * (known.places / SHIFT) ** 2
    logs = np.broadcast_to(prior, guesses.shape[:3]).ravel() - 0.5 * (misfit**2).sum(axis=0)
    weights = np.cumsum(np.exp(logs - logs.max()))
    shares = (np.arange(DRAWS) + 0.5) / DRAWS
    chosen = np.asarray(np.searchsorted(weights, shares * weights[-1]), dtype=np.int64)
    size, hypothesis = np.divmod(chosen, len(logs) // len(DEPTHS))
    ends = known.at(rates, zeros).reshape(-1, len(rates))[hypothesis]
    means = np.minimum(np.array(DEPTHS)[size, None] * ends, CAP) + misfit[:, chosen].T @ across
    values, vectors = np.linalg.eigh(_kernel(rates, zeros, rates, zeros) - across.T @ across)
    own = np.random.default_rng(0).standard_normal((DRAWS, len(rates)))
    return means + own * np.sqrt(np.maximum(values, 0.0)) @ vectors.T


def _kernel(x1: Array, t1: Array, x2: Array, t2: Array) -> Array:
    """Return the covariance of a training's own deviations."""
    x, t = np.subtract.outer(x1, x2), np.subtract.outer(t1, t2)
    apart = np.hypot(x / OWN_RATE, t / OWN_TIME)
    smooth = OWN**2 * (1 + apart) * np.exp(-apart)
    return smooth + ALONG**2 * np.exp(-np.abs(x + t) / ALONG_LENGTH)
