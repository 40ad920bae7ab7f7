"""The base of every simple schedule: one shape over one duration."""

import dataclasses
import json
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, cast

from surefoot._base.units import Clock, from_real, in_words, real
from surefoot.errors import StateError
from surefoot.schedules._schedule import Schedule

__all__ = ["Phase", "literal"]


class Phase(Schedule):
    """One shape over one duration; a duration of None is open and fills what remains of the run.

    A new schedule is a frozen dataclass with three things: its fields, which are its arguments;
    the check of each; and its formula. ``name`` is what it is called in text and JSON, ``words``
    what it does, with its fields in braces, and ``scales`` names the fields that are durations and
    yet not lengths, such as the time after which a curve has halved: they are never rounded::

        @dataclass(frozen=True, repr=False)
        class Linear(Phase):
            duration: Duration | None = None
            floor: float = 0.0

            name = "linear"
            words = "decay in a line to {floor} over {duration}"

            def __post_init__(self):
                self._check(duration=open_duration, floor=fraction)

            def evaluate(self, t, xp):
                return self.floor + (1 - self.floor) * self._remaining(t, xp)
    """

    duration: Any
    words: ClassVar[str]
    durations: ClassVar[tuple[str, ...]] = ("duration",)

    @cached_property
    def _updates(self) -> int:
        """The updates of the resolved phase, at least 1."""
        if self.total == 0:
            raise StateError(f"{self} has no updates, and so no factor.")
        return self.total

    @cached_property
    def _scale(self) -> dict[str, float]:
        """The scales of time in updates."""
        return {field: top / bottom for field, (top, bottom) in self._ratios.items()}

    @cached_property
    def _ratios(self) -> dict[str, tuple[float, float]]:
        """The scales of time as exact fractions: two whole numbers each."""
        used = [field for field in self._lengths() if field in self.scales]
        exact = {field: real(getattr(self, field)) for field in used}
        return {field: (float(f.numerator), float(f.denominator)) for field, f in exact.items()}

    def _cycle(self, j: Any, field: str) -> tuple[Any, Any]:
        """Return how often a scale of time has passed, exactly, and the updates since then."""
        top, bottom = self._ratios[field]
        passed = j * bottom // top
        return passed, (j * bottom - passed * top) / bottom

    def _local(self, t: Any, xp: Any) -> Any:
        """Return the update within the phase, 0 … its length: past the end the end value stays."""
        return xp.minimum(t, self._updates)

    def _progress(self, t: Any, xp: Any) -> Any:
        """Return the part of the phase that is done, 0 … 1."""
        return xp.minimum(t / self._updates, 1.0)

    def _remaining(self, t: Any, xp: Any) -> Any:
        """Return the part of the phase that is left, 1 … 0, where 0 is exact in any precision."""
        return (self._updates - self._local(t, xp)) / self._updates

    @property
    def is_open(self) -> bool:
        """Whether the phase has no duration and fills what remains of the run."""
        return self.duration is None

    def _length(self, clock: Clock) -> Fraction | None:
        return None if self.duration is None else clock.updates(self.duration)

    def _fit(self, updates: int, clock: Clock) -> Schedule:
        used = [field for field in self._lengths() if field in self.scales]
        changes = {field: from_real(clock.updates(getattr(self, field))) for field in used}
        return dataclasses.replace(cast("Any", self), duration=updates, **changes)

    def _words(self) -> str:
        return self.words.format(**self._values_in_words())

    def _values_in_words(self) -> dict[str, Any]:
        """Return what stands in the braces of ``words``."""
        values = self._fields()
        return values | {field: in_words(values[field]) for field in self._lengths()}

    def __str__(self) -> str:
        arguments: list[str] = []
        fields = self._fields()
        for position, field in enumerate(dataclasses.fields(cast("Any", self))):
            value = fields[field.name]
            if value != field.default:
                label = "" if position == 0 else f"{field.name}="
                arguments.append(label + literal(value))
        return f"{self.name}({', '.join(arguments)})"


def literal(value: Any) -> str:
    """Return ``value`` as the text form writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):  # a list, or a list of pairs
        items = [literal(each) for each in cast("tuple[Any, ...]", value)]
        return f"[{', '.join(f'({item[1:-1]})' if item[0] == '[' else item for item in items)}]"
    return repr(value).removesuffix(".0")
