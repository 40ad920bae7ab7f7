"""What a U curve can say where halving stopped rates: of those nothing is known at the end."""

import math
from collections.abc import Collection, Sequence

__all__ = ["around", "at", "known_edge"]

SAME = 1e-6
"""Relative difference within which two rates are the same."""


def around(best: float, lrs: Sequence[float], stopped: Collection[float]) -> list[float]:
    """Return the rates next to the best, up to where one was stopped on either side.

    Args:
        best: the best rate.
        lrs: those that were trained to the end, ascending.
        stopped: the others.

    Example:
        >>> around(0.1, [0.001, 0.03, 0.1, 0.3], [0.01])
        [0.03, 0.1, 0.3]
    """
    low = max((lr for lr in stopped if lr < best), default=0.0)
    high = min((lr for lr in stopped if lr > best), default=math.inf)
    return [lr for lr in lrs if low < lr < high]


def at(lrs: Sequence[float], losses: Sequence[float], lr: float) -> float:
    """Return the loss at one of the rates; NaN at any other, for what is between is not known.

    Example:
        >>> at([0.1, 1.0], [0.5, 2.0], 1.0), at([0.1, 1.0], [0.5, 2.0], 0.3)
        (2.0, nan)
    """
    pairs = zip(lrs, losses, strict=True)
    return next((loss for each, loss in pairs if math.isclose(each, lr, rel_tol=SAME)), math.nan)


def known_edge(
    edge: float | None, stopped: Collection[float], lrs: Sequence[float]
) -> float | None:
    """Return the edge of divergence if it is known to be that.

    A rate that was stopped above it may learn; one that was stopped next to it, below, may diverge.

    Args:
        edge: the edge by the rates that were trained to the end; None if they have none.
        stopped: the other rates.
        lrs: those that were trained to the end.

    Example:
        >>> known_edge(1.0, [0.01], [0.1, 1.0, 10.0]), known_edge(1.0, [0.3], [0.1, 1.0, 10.0])
        (1.0, None)
    """
    if edge is None:
        return None
    below = max(lr for lr in lrs if lr < edge)
    return None if any(lr > below for lr in stopped) else edge
