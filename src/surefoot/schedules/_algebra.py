"""What schedules are put together with: one after another, and one times another."""

import itertools
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from surefoot._base.units import Clock, nearest, shown
from surefoot.errors import InputError, StateError
from surefoot.schedules import _checks, _scalar
from surefoot.schedules._schedule import Schedule

__all__ = ["Product", "Sequence"]


@dataclass(frozen=True, repr=False)
class Sequence(Schedule):
    """Schedules one after another, what ``a >> b`` makes; sequences in a sequence are flattened.

    Each part starts at its own update 0 and at its own level: a factor is always relative to the
    peak, never to where the part before it ended. So ``cosine(100, floor=0.1) >> linear()`` jumps
    back to the peak at update 100, and ``cosine(100, floor=0.1) >> 0.1 * linear()`` goes on from
    0.1.

    Args:
        parts: two or more schedules, of which one at most is open.

    Raises:
        InputError: there are fewer than two parts, or two of them are open.

    Example:
        >>> from surefoot.schedules import cosine, hold, warmup
        >>> (warmup(2) >> hold(2) >> cosine(2))([0, 1, 2, 3, 4, 5, 6]).round(3).tolist()
        [0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0]
        >>> warmup(2) >> (hold(2) >> cosine(2)) == (warmup(2) >> hold(2)) >> cosine(2)
        True
    """

    parts: tuple[Schedule, ...]

    name = "sequence"

    def __post_init__(self) -> None:
        parts = [
            inner
            for part in self.parts
            for inner in (part.parts if isinstance(part, Sequence) else (part,))
        ]
        if len(parts) < 2:
            raise InputError(f"parts must hold at least two schedules, not {len(parts)}.")
        if len(unfilled := [part for part in parts if part.is_open]) > 1:
            raise InputError(
                f"parts must have one open phase at most; {unfilled[0]} and {unfilled[1]} both "
                "fill what remains: give one of them a duration."
            )
        object.__setattr__(self, "parts", tuple(parts))

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors of the part that ``t`` lies in; see :meth:`Schedule.evaluate`."""
        if xp is _scalar:  # one number lies in one part: no need to compute the others
            for part, start, end in self._spans:
                if t < end:
                    return part.evaluate(t - start, xp)
        *earlier, (part, start, _) = self._spans
        value = part.evaluate(xp.maximum(t - start, 0), xp)
        for part, start, end in reversed(earlier):
            value = xp.where(t < end, part.evaluate(xp.maximum(t - start, 0), xp), value)
        return value

    @cached_property
    def _spans(self) -> tuple[tuple[Schedule, int, int], ...]:
        """Each part that has updates, with its first update and the one after its last."""
        edges = itertools.pairwise(itertools.accumulate((p.total for p in self.parts), initial=0))
        spans = zip(self.parts, edges, strict=True)
        return _present(self, tuple((part, *edge) for part, edge in spans if part.total))

    def _length(self, clock: Clock) -> Fraction | None:
        lengths = [part._length(clock) for part in self.parts]
        return None if self.is_open else sum(filter(None, lengths), Fraction(0))

    def _fit(self, updates: int, clock: Clock) -> Schedule:
        lengths = [part._length(clock) for part in self.parts]
        rest = updates - sum(length for length in lengths if length is not None)
        if rest <= -1:
            raise InputError(
                f"{self} takes {shown(updates - rest)} updates and has room for {updates}: "
                "shorten its phases or train for more updates."
            )
        filled = [max(rest, 0) if length is None else length for length in lengths]
        edges = [min(nearest(edge), updates) for edge in itertools.accumulate(filled, initial=0)]
        edges[-1] = updates
        sizes = [end - start for start, end in itertools.pairwise(edges)]
        parts = [
            part._fit(size, clock) for part, size in zip(self.parts, sizes, strict=True) if size
        ]
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _words(self) -> str:
        return ", then ".join(part._words() for part in self.parts)

    def __str__(self) -> str:
        return " >> ".join(str(part) for part in self.parts)


@dataclass(frozen=True, repr=False)
class Product(Schedule):
    """A number times one or more schedules, what ``a * b`` and ``0.5 * a`` make.

    factor(t) = factor · parts[0](t) · parts[1](t) · …

    All parts start together. A product is as long as its longest part, the others stay at their
    end value; with an open part it is open. A number has no length and changes none.

    Args:
        parts: one or more schedules; products in a product are flattened.
        factor: finite number ≥ 0.

    Raises:
        InputError: there is no part, or the factor is negative or not finite.

    Example:
        >>> from surefoot.schedules import cosine, step, warmup
        >>> (0.5 * warmup(2) * step(2, drop=0.1, duration=4)).values().round(6).tolist()
        [0.25, 0.5, 0.05, 0.05]
        >>> (warmup(2) * step(4)).stretch(10)
        warmup(20) * step(40)
    """

    parts: tuple[Schedule, ...]
    factor: float = 1.0

    name = "product"

    def __post_init__(self) -> None:
        self._check(factor=_checks.factor)
        parts: list[Schedule] = []
        factor = self.factor
        for part in self.parts:
            if isinstance(part, Product):
                factor *= part.factor
                parts += part.parts
            else:
                parts.append(part)
        if not parts:
            raise InputError("parts must hold at least one schedule.")
        object.__setattr__(self, "parts", tuple(parts))
        object.__setattr__(self, "factor", _checks.factor("factor", factor))

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the product of the factors of all parts; see :meth:`Schedule.evaluate`."""
        value = self.factor
        for part in self._factors:
            value = value * part.evaluate(t, xp)
        return value

    @cached_property
    def _factors(self) -> tuple[Schedule, ...]:
        """Each part that has updates."""
        return _present(self, tuple(part for part in self.parts if part.total))

    def _length(self, clock: Clock) -> Fraction | None:
        lengths = [part._length(clock) for part in self.parts]
        return None if self.is_open else max(length for length in lengths if length is not None)

    def _fit(self, updates: int, clock: Clock) -> Schedule:
        own = self._length(clock)
        parts: list[Schedule] = []
        for part in self.parts:
            length = part._length(clock)
            if length is None or length == own:
                parts.append(part._fit(updates, clock))
            elif length - updates >= 1:
                raise InputError(f"{part} takes {shown(length)} updates, not at most {updates}.")
            elif size := min(nearest(length), updates):
                parts.append(part._fit(size, clock))
        return Product(tuple(parts), self.factor)

    def _words(self) -> str:
        parts = [
            f"({words})" if isinstance(part, Sequence) else words
            for part, words in ((part, part._words()) for part in self.parts)
        ]
        words = " and at the same time ".join(parts)
        return words if self.factor == 1 else f"{words}, all times {self.factor:g}"

    def __str__(self) -> str:
        parts = [f"({part})" if isinstance(part, Sequence) else str(part) for part in self.parts]
        if self.factor != 1 or len(parts) == 1:
            parts.insert(0, repr(self.factor).removesuffix(".0"))
        return " * ".join(parts)


def _present(schedule: Schedule, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the parts that have updates, of which there must be one."""
    if not parts:
        raise StateError(f"{schedule} has no updates, and so no factor.")
    return parts
