"""A curve: one measured quantity over the updates at which it was measured."""

import itertools
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
        edges = np.linspace(0, size, max(points // 2, 1) + 1).astype(int)
        keep = {0, size - 1}
        for start, stop in itertools.pairwise(edges):
            bucket = self.values[start:stop]
            finite = np.flatnonzero(np.isfinite(bucket))
            broken = np.flatnonzero(~np.isfinite(bucket))
            if finite.size:
                keep.add(int(start + finite[np.argmin(bucket[finite])]))
                keep.add(int(start + finite[np.argmax(bucket[finite])]))
            if broken.size:
                keep.add(int(start + broken[0]))
        chosen = np.array(sorted(keep))
        return Curve(self.steps[chosen], self.values[chosen])

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
