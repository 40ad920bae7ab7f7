"""Reading a range test: where the loss fell, where it was least, where it blew up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surefoot._curves.smoothing import RESOLUTION, noise, smooth

__all__ = ["RangeReading", "blew_up", "read_range"]


@dataclass(frozen=True)
class RangeReading:
    """What a range test says.

    Args:
        lowest_at: the rate at which the smoothed loss was least.
        diverges_at: the rate at which the loss blew up; None if it never did.
        drop: how far the smoothed loss fell from its start, in the unit of the loss.
        noise: standard deviation of the batch noise, from the part where the rate is tiny; at
            least the rounding of single precision.
    """

    lowest_at: float
    diverges_at: float | None
    drop: float
    noise: float

    @property
    def clear(self) -> bool:
        """Whether the loss fell by more than its noise."""
        return self.drop > 3 * self.noise and self.drop > 0


def _start(losses: Sequence[float]) -> Sequence[float]:
    """Return the first losses, where the rate is still too small to change anything."""
    return losses[: max(3, len(losses) // 8)]


def blew_up(losses: Sequence[float]) -> bool:
    """Return whether the loss is no longer finite or has risen far above where it began.

    "Far" is twice the distance it had fallen, and six times the batch noise; so it holds at any
    scale and for negative losses.

    Args:
        losses: all losses so far, oldest first.

    Example:
        >>> blew_up([2.3, 2.3, 2.2, 1.5, 1.0, 1.1]), blew_up([2.3, 2.3, 2.2, 1.5, 1.0, 9.0, 30.0])
        (False, True)
    """
    if not math.isfinite(losses[-1]):
        return True
    if len(losses) < 5:
        return False
    begin = _start(losses)
    first = sum(begin) / len(begin)
    fallen = max(first - min(losses), 0.0)
    spread = noise(begin)
    recent = min(losses[-2:])  # one bad batch alone is no divergence
    return not (recent <= first + 2 * fallen + 6 * spread + 1e-12 * abs(first))


def read_range(lrs: Sequence[float], losses: Sequence[float]) -> RangeReading:
    """Read a range test.

    Args:
        lrs: n ≥ 2 rates, ascending.
        losses: the loss before the update at each of them; the last may be not finite.
    """
    values = np.asarray(losses, dtype=np.float64)
    smoothed = smooth(values, span=max(2.0, len(values) / 20))
    begin = values[: len(_start(losses))]
    diverged = blew_up(losses)
    least = int(np.nanargmin(np.where(np.isfinite(values), smoothed, np.inf)))
    first = float(np.mean(begin))
    return RangeReading(
        lowest_at=float(lrs[least]),
        diverges_at=float(lrs[-1]) if diverged else None,
        drop=first - float(smoothed[least]),
        noise=max(noise(begin), RESOLUTION * abs(first)),
    )
