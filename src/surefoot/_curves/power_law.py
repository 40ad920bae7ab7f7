"""A power law through points whose uncertainty is known."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from surefoot._curves.student import student

__all__ = ["PowerLaw", "fit_power_law"]


@dataclass(frozen=True)
class PowerLaw:
    """The exponent of a power law.

    Args:
        exponent: d log y / d log x.
        error: its standard error.
        misfit: root of χ² per degree of freedom: 1 where the points scatter about the law as much
            as their errors say, 3 where they bend away from it; NaN where two points leave none.
        freedom: points − groups − 1, ≥ 0: how well the misfit is known.
    """

    exponent: float
    error: float
    misfit: float
    freedom: int

    def reach(self, level: float) -> float:
        """Return how far the exponent may be off with this probability.

        Normal where the errors explain the scatter; Student's where the scatter itself, known
        from few points, is the error.

        Args:
            level: probability, in (0, 1).
        """
        if self.misfit > 1:
            return self.error * student(self.freedom, level)
        return self.error * NormalDist().inv_cdf((1 + level) / 2)


def fit_power_law(
    x: Sequence[float], y: Sequence[float], error: Sequence[float], group: Sequence[Hashable]
) -> PowerLaw | None:
    r"""Fit y = c_g x^b: one exponent b for all groups, a factor c_g for each.

    .. math::
        b = \frac{\sum_i w_i\,\xi_i\,\eta_i}{\sum_i w_i\,\xi_i^2},\qquad
        \sigma_b = \max(1, \mathrm{misfit}) \Big/ \sqrt{\textstyle\sum_i w_i\,\xi_i^2}

    with :math:`w = 1 / \mathrm{error}^2` and ξ, η = log x, log y less the weighted mean of their
    group.

    Args:
        x: n numbers > 0.
        y: n numbers > 0.
        error: standard errors of log y, > 0.
        group: which points share a factor.

    Returns:
        The law; None where no group holds two different x.

    Example:
        >>> law = fit_power_law([1, 2, 4], [3.0, 6.0, 12.0], [0.1] * 3, "aaa")
        >>> round(law.exponent, 6), round(law.error, 4), round(law.misfit, 6)
        (1.0, 0.102, 0.0)

    Reference:
        R. T. Birge, "The Calculation of Errors by the Method of Least Squares", 1932 (the factor
        of the error by the misfit).
    """
    weight = 1.0 / np.square(np.asarray(error, dtype=np.float64))
    keys = list(dict.fromkeys(group))
    member = np.array([keys.index(key) for key in group])
    across, up = (_centred(np.log(values), weight, member, len(keys)) for values in (x, y))
    spread = float(np.sum(weight * across**2))
    if spread <= 1e-12 * float(np.sum(weight)):
        return None
    exponent = float(np.sum(weight * across * up)) / spread
    freedom = len(member) - len(keys) - 1
    chi2 = float(np.sum(weight * (up - exponent * across) ** 2))
    misfit = math.sqrt(chi2 / freedom) if freedom > 0 else math.nan
    factor = misfit if misfit > 1 else 1.0
    return PowerLaw(exponent, factor / math.sqrt(spread), misfit, freedom)


def _centred(values: np.ndarray, weight: np.ndarray, member: np.ndarray, groups: int) -> np.ndarray:
    total = np.bincount(member, weight, groups)
    mean = np.bincount(member, weight * values, groups) / total
    return values - mean[member]
