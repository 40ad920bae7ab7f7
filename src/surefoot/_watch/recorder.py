"""From the numbers of an update to what is recorded of it, in every place."""

import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Protocol, cast

from torch import Tensor

from surefoot._watch.transit import Ticket, Transit
from surefoot.quantities import Quantity

__all__ = ["Place", "Recorder"]

TOGETHER = 64
"""Rows are written so many at a time: one by one, each would find the caches cold."""

SECONDS = 0.5
"""Rows are written after this time, also if they are fewer."""

Numbers = Mapping[str, Tensor | float]
Carried = dict[str, float | Ticket]


class Place(Protocol):
    """Somewhere to record to: a run folder, TensorBoard, the terminal."""

    def add(self, update: int, values: Mapping[str, float]) -> None:
        """Record values of an update, which is not smaller than the one before."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


@dataclass(slots=True)
class _Row:
    """What is known of an update; some of it may be under way."""

    update: int
    plain: Carried
    measured: list[tuple[Quantity, Carried]]

    def arrived(self) -> bool:
        """Return whether all of it is here."""
        parts = (self.plain, *(numbers for _, numbers in self.measured))
        return all(
            number.arrived for part in parts for number in part.values() if type(number) is Ticket
        )


class Recorder:
    """Records updates in their order, each once its numbers have arrived.

    Args:
        places: where to. The first keeps the record; the others are mirrors, and one that fails is
            given up with a warning. None at all on a rank that only helps to measure.
        transit: carries the numbers of a device to the host; None where all are there already.
        ranks: over which the numbers of a sharded model are added up; 1 for any other model.
    """

    def __init__(self, places: Sequence[Place], transit: Transit | None, ranks: int = 1) -> None:
        self._places = list(places)
        self._transit = transit
        self._ranks = ranks
        self._waiting: deque[_Row] = deque()
        self._next = monotonic() + SECONDS

    def add(
        self, update: int, plain: Numbers, measured: Mapping[Quantity, Numbers] | None = None
    ) -> None:
        """Record numbers of an update as they are, and what quantities make of others."""
        several = measured.items() if measured else ()
        carried = [(each, self._carried(numbers, summed=each.summed)) for each, numbers in several]
        self._waiting.append(_Row(update, self._carried(plain), carried))
        if len(self._waiting) >= TOGETHER or monotonic() >= self._next:
            self._catch_up()

    def close(self, *, complete: bool = True) -> None:
        """Record what is under way, and close every place.

        Args:
            complete: False if other ranks may not come this far: what they had to add is given up.
        """
        try:
            if self._transit is not None and complete:
                self._transit.leave()
                self._transit.look(wait=True)
            self._catch_up()
        finally:
            for place in reversed(self._places[1:]):
                with suppress(Exception):
                    place.close()
            for place in self._places[:1]:
                place.close()

    def _carried(self, numbers: Numbers, *, summed: bool = False) -> Carried:
        """Read tensors that are on the host, and put others on their way."""
        if self._transit is None:
            return {
                name: number.item() if isinstance(number, Tensor) else number
                for name, number in numbers.items()
            }
        return {
            name: self._transit.put(number if summed else number / self._ranks)
            if isinstance(number, Tensor)
            else number
            for name, number in numbers.items()
        }

    def _catch_up(self) -> None:
        """Write the rows that are complete."""
        self._next = monotonic() + SECONDS
        if self._transit is not None:
            self._transit.look()
        while self._waiting and (self._transit is None or self._waiting[0].arrived()):
            self._write(self._waiting.popleft())

    def _write(self, row: _Row) -> None:
        values = self._opened(row.plain)
        loss = values.get("loss")
        for quantity, carried in row.measured:
            numbers = self._opened(carried)
            if loss is not None and "loss" in quantity.needs:
                numbers["loss"] = loss
            values.update(quantity.values(numbers))
        if self._places:
            self._places[0].add(row.update, values)
            for place in self._places[1:]:
                self._mirror(place, row.update, values)

    def _opened(self, numbers: Carried) -> dict[str, float]:
        if self._transit is None:
            return cast("dict[str, float]", numbers)
        return {
            name: number.open() if isinstance(number, Ticket) else number
            for name, number in numbers.items()
        }

    def _mirror(self, place: Place, update: int, values: Mapping[str, float]) -> None:
        try:
            place.add(update, values)
        except Exception as error:
            self._places.remove(place)
            warnings.warn(
                f"{type(place).__module__} failed and is given up, the record itself goes on: "
                f"{type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
