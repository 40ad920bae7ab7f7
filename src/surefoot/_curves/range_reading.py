"""Reading a range test: where the loss began to fall, where it was least, where it blew up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surefoot._curves.smoothing import RESOLUTION, noise, smooth

__all__ = ["Blast", "RangeReading", "read_range"]

ONSET = 0.1
"""The fall begins where this share of it is reached."""

SPAN = 20
"""One part in so many of the test is averaged."""

UNPAIRED = 3
"""A fall of less than so many standard deviations may be chance, if noise is not taken away."""

FEW = 4
"""Without a reference the noise is known after one part in so many of the test."""


@dataclass(frozen=True)
class RangeReading:
    """What a range test says.

    Args:
        lowest_at: the rate at which the loss was least.
        onset: the rate at which it had fallen by a tenth of that.
        diverges_at: the rate at which it blew up; None if it never did.
        drop: how far it fell, in the unit of the loss.
        noise: standard deviation of the loss from batch to batch; at least the rounding of single
            precision.
        paired: whether that noise was taken away by a reference of the same batches.
    """

    lowest_at: float
    onset: float
    diverges_at: float | None
    drop: float
    noise: float
    paired: bool = False

    @property
    def clear(self) -> bool:
        """Whether the loss fell by clearly more than chance."""
        return self.drop > self.noise * (1 if self.paired else UNPAIRED)


class Blast:
    """Says during a range test when the loss has risen so far that no more can be learned.

    "So far" is above twice of what it had fallen and four times the batch noise; so it holds at
    any scale and for negative losses.

    Args:
        reference: the losses of the same batches at the weights that the test began with; they
            take the noise away. None: of other batches, so the first part of the test says what
            is noise.
        count: updates of the whole test.

    Example:
        >>> blast = Blast([2.3] * 7, count=7)
        >>> blast([2.3, 2.3, 2.2, 1.5, 1.0, 1.1]), blast([2.3, 2.3, 2.2, 1.5, 1.0, 9.0, 30.0])
        (False, True)
    """

    def __init__(self, reference: Sequence[float] | None, count: int) -> None:
        self._reference = reference
        self._count = count

    def __call__(self, losses: Sequence[float]) -> bool:
        """Return whether the test should end after these losses, oldest first."""
        if not math.isfinite(losses[-1]):
            return True
        if len(losses) < (5 if self._reference is not None else max(5, self._count // FEW)):
            return False
        changes, spread, level = _changes(losses, self._reference)
        fallen = max(-float(changes.min()), 0.0)
        recent = float(changes[-2:].min())  # one bad batch alone is no divergence
        return not (recent <= 2 * fallen + 4 * spread + RESOLUTION * level)


def read_range(
    lrs: Sequence[float], losses: Sequence[float], reference: Sequence[float] | None = None
) -> RangeReading:
    """Read a range test.

    Args:
        lrs: n ≥ 5 rates of the whole test, ascending.
        losses: m ≤ n: the loss before the update at each of the first; the last may be not finite.
        reference: see :class:`Blast`.
    """
    diverged = Blast(reference, len(lrs))(losses)
    changes, spread, level = _changes(losses, reference)
    smoothed = smooth(changes, span=max(2.0, len(lrs) / SPAN))
    smoothed = np.where(np.isfinite(changes), smoothed, np.inf)
    least = int(np.argmin(smoothed))
    drop = -float(smoothed[least])
    onset = int(np.argmax(smoothed <= -ONSET * drop)) if drop > 0 else least
    return RangeReading(
        lowest_at=float(lrs[least]),
        onset=float(lrs[onset]),
        diverges_at=float(lrs[len(losses) - 1]) if diverged else None,
        drop=drop,
        noise=max(spread, RESOLUTION * level),
        paired=reference is not None,
    )


def _changes(
    losses: Sequence[float], reference: Sequence[float] | None
) -> tuple[NDArray[np.float64], float, float]:
    """Return by how much each loss changed since the test began, the batch noise, and the level."""
    values = np.asarray(losses, dtype=np.float64)
    if reference is not None:
        base = np.asarray(reference, dtype=np.float64)
        return values - base[: len(values)], noise(base), float(np.abs(base).mean())
    begin = values[: max(3, len(values) // FEW)]
    return values - begin.mean(), noise(begin), float(np.abs(begin).mean())
