"""A curve: one measured quantity over the updates at which it was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot._base.codec import Record
from surefoot.errors import InputError

__all__ = ["Curve"]


@dataclass(frozen=True, eq=False, repr=False)
class Curve(Record):
    """One quantity against the update number (or, for a range test, against the lr).

    Args:
        steps: n positions, ascending or not, as they were recorded. Whole numbers are updates.
        values: n measurements; may hold NaN and ±inf.

    Raises:
        InputError: the two have different lengths or are not one-dimensional.

    Example:
        >>> curve = Curve([0, 1, 2], [2.3, 1.9, float("nan")])
        >>> step, value = curve
        >>> len(curve), curve.finite().to_dict()
        (3, {'steps': [0.0, 1.0], 'values': [2.3, 1.9]})
    """

    steps: NDArray[np.float64]
    values: NDArray[np.float64]

    def __init__(self, steps: ArrayLike | Sequence[Any], values: ArrayLike | Sequence[Any]) -> None:
        for name, given in (("steps", steps), ("values", values)):
            array = np.array(given, dtype=np.float64)
            if array.ndim != 1:
                raise InputError(f"{name} of a Curve must have one dimension, not {array.ndim}.")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if len(self.steps) != len(self.values):
            raise InputError(
                f"A Curve needs as many steps as values, not {len(self.steps)} and "
                f"{len(self.values)}."
            )

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Build the curve from what :meth:`to_dict` returned; null becomes NaN."""
        if not {"steps", "values"} <= set(data):
            raise InputError("Curve JSON needs the fields 'steps' and 'values'.")
        return cls(data["steps"], data["values"])

    def finite(self) -> "Curve":
        """Return the points whose value is finite."""
        keep = np.isfinite(self.values)
        return Curve(self.steps[keep], self.values[keep])

    def thin(self, points: int = 1000) -> "Curve":
        """Return at most about ``points`` points: the smallest and the largest of each bucket.

        Spikes survive, as does every value that is not finite; the first and the last point stay.
        """
        size = len(self)
        if size <= points:
            return self
        width = -(-size // max(points // 2, 1))
        padded = np.full(-(-size // width) * width, np.nan)
        padded[:size] = self.values
        buckets = padded.reshape(-1, width)
        finite = np.isfinite(buckets)
        broken = ~finite
        broken.reshape(-1)[size:] = False
        keep = np.zeros(padded.shape, dtype=bool)
        starts = np.arange(0, len(padded), width)
        least, most = buckets, buckets
        if not finite.all():
            least, most = np.where(finite, buckets, np.inf), np.where(finite, buckets, -np.inf)
        for chosen, there in (
            (least.argmin(axis=1), finite),
            (most.argmax(axis=1), finite),
            (broken.argmax(axis=1), broken),
        ):
            keep[(starts + chosen)[there.any(axis=1)]] = True
        keep[[0, size - 1]] = True
        at = np.flatnonzero(keep)
        return Curve(self.steps[at], self.values[at])

    def between(self, start: float = -np.inf, stop: float = np.inf) -> "Curve":
        """Return the points at steps from ``start`` on and before ``stop``."""
        inside = (self.steps >= start) & (self.steps < stop)
        return Curve(self.steps[inside], self.values[inside])

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        """Yield the steps, then the values: ``step, value = curve``."""
        yield self.steps
        yield self.values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Curve):
            return NotImplemented
        return np.array_equal(self.steps, other.steps) and np.array_equal(
            self.values, other.values, equal_nan=True
        )

    def __hash__(self) -> int:
        return hash((self.steps.tobytes(), self.values.tobytes()))

    def __repr__(self) -> str:
        return f"Curve({len(self)} points)"
