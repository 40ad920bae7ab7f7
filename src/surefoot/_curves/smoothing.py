"""Smoothing, noise and levels of a loss curve."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot._base import checks

__all__ = ["RESOLUTION", "noise", "smooth", "tail_mean"]

Array = NDArray[np.float64]

RESOLUTION = 1e-7
"""Relative resolution of a loss: it was computed in single precision at best."""


def smooth(values: ArrayLike, span: float) -> Array:
    r"""Return the debiased exponential moving average; values that are not finite are passed over.

    .. math:: s_t = \frac{\sum_{i \le t} \beta^{t-i} x_i}{\sum_{i \le t} \beta^{t-i}},
              \qquad \beta = 1 - 1/\mathrm{span}

    Args:
        values: n measurements.
        span: about how many values are averaged, ≥ 1; 1 changes nothing.

    Returns:
        n values; NaN before the first finite one.

    Example:
        >>> smooth([4.0, 2.0, float("nan"), 2.0], span=2).round(3).tolist()
        [4.0, 2.667, 2.667, 2.182]
    """
    beta = 1 - 1 / max(checks.number("span", span), 1.0)
    result = np.full(len(np.atleast_1d(values)), np.nan)
    total = weight = 0.0
    for index, value in enumerate(np.asarray(values, dtype=np.float64)):
        total, weight = beta * total, beta * weight
        if np.isfinite(value):
            total, weight = total + float(value), weight + 1.0
        if weight > 0:
            result[index] = total / weight
    return result


def noise(values: ArrayLike) -> float:
    r"""Return the standard deviation of the fluctuation around a slow trend.

    From the differences of neighbours, whose median size does not see the trend nor a few jumps:
    :math:`\sigma = 1.4826 \cdot \mathrm{median}|x_{t+1} - x_t| / \sqrt 2`.

    Args:
        values: n measurements; what is not finite is left out.

    Returns:
        σ ≥ 0 in the unit of the values; 0 with fewer than two values.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size < 2:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(finite))) / np.sqrt(2))


def tail_mean(values: ArrayLike, share: float) -> float:
    """Return the mean of the last ``share`` of the values, at least of the last one.

    Args:
        values: n ≥ 1 measurements.
        share: in (0, 1].

    Returns:
        The mean; inf where any of these values is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    tail = array[-max(1, int(len(array) * share)) :]
    return float(tail.mean()) if np.isfinite(tail).all() else float("inf")
