"""Learning rates, even on a log scale."""

import math
from collections.abc import Sequence

import numpy as np

from surefoot._base import checks
from surefoot.errors import InputError

__all__ = ["check_lrs", "default_grid", "grid", "middle_of_least", "midpoints"]


def grid(low: float, high: float, per_decade: int = 3) -> tuple[float, ...]:
    r"""Return learning rates from ``low`` to ``high``, both included, even in log.

    .. math:: n = \mathrm{round}(\log_{10}(\mathrm{high}/\mathrm{low}) \cdot \mathrm{per\_decade})

    intervals, at least one.

    Args:
        low: smallest rate, > 0.
        high: largest rate, ≥ ``low``.
        per_decade: rates for each factor of ten, ≥ 1.

    Returns:
        n + 1 rates, ascending.

    Raises:
        InputError: a rate is not > 0, or ``high`` is below ``low``.

    Example:
        >>> grid(1e-3, 1.0, per_decade=1)
        (0.001, 0.01, 0.1, 1.0)
        >>> len(grid(1e-6, 10, per_decade=2))
        15
    """
    low = checks.learning_rate("low", low)
    high = checks.learning_rate("high", high)
    per_decade = checks.count("per_decade", per_decade, least=1)
    if high < low:
        raise InputError(f"high must be at least low ({low:g}), not {high:g}.")
    if high == low:
        return (low,)
    intervals = max(1, round(math.log10(high / low) * per_decade))
    rates = np.geomspace(low, high, intervals + 1)
    return (low, *(float(f"{rate:.6g}") for rate in rates[1:-1]), high)


def default_grid(usual: float, per_decade: int = 3) -> tuple[float, ...]:
    """Return the rates that are tried by default, from the usual rate of the optimizer.

    Three decades below it to three above, but not above 10.

    Example:
        >>> default_grid(1e-3)[0], default_grid(1e-3)[-1], default_grid(0.1)[-1]
        (1e-06, 1.0, 10.0)
    """
    low, high = (float(f"{end:.3g}") for end in (usual / 1e3, min(usual * 1e3, 10.0)))
    return grid(low, high, per_decade)


def midpoints(lrs: Sequence[float], best: float) -> tuple[float, ...]:
    """Return the rates halfway, in log, between the best one and its neighbours.

    Example:
        >>> midpoints([0.01, 0.1, 1.0], 0.1)
        (0.0316228, 0.316228)
        >>> midpoints([0.01, 0.1, 1.0], 1.0)
        (0.316228,)
    """
    ordered = sorted(lrs)
    place = ordered.index(best)
    around = ordered[max(place - 1, 0) : place] + ordered[place + 1 : place + 2]
    return tuple(float(f"{math.sqrt(best * other):.6g}") for other in around)


def middle_of_least(losses: Sequence[float]) -> int:
    """Return the number of the least finite loss; of equal neighbours, the middle.

    Example:
        >>> middle_of_least([3.0, 1.0, 1.0, 1.0, math.inf])
        2
    """
    first = last = losses.index(min(loss for loss in losses if math.isfinite(loss)))
    while last + 1 < len(losses) and losses[last + 1] == losses[first]:
        last += 1
    return (first + last) // 2


def check_lrs(lrs: object) -> tuple[float, ...]:
    """Return the rates sorted, or say which of them is not allowed."""
    if isinstance(lrs, (int, float)):
        lrs = [lrs]
    try:
        given = list(lrs)  # type: ignore[call-overload]
    except TypeError:
        raise InputError(
            f"lrs must be learning rates, such as sf.grid(1e-5, 1), not {lrs!r}."
        ) from None
    if not given:
        raise InputError("lrs must hold at least one learning rate; it is empty.")
    rates = [checks.learning_rate("each of lrs", lr) for lr in given]
    twice = sorted({rate for rate in rates if rates.count(rate) > 1})
    if twice:
        raise InputError(f"lrs must differ from each other; {twice[0]:g} is there twice.")
    return tuple(sorted(rates))
