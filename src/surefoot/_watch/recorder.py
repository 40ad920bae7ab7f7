"""From the numbers of an update to what is recorded of it, in every place."""

import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from surefoot._watch.transit import Ticket, Transit
from surefoot.quantities import Quantity

__all__ = ["Place", "Recorder"]

Number = float | Ticket


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
    plain: dict[str, Number]
    measured: list[tuple[Quantity, dict[str, Number]]]

    def tickets(self) -> Iterator[Ticket]:
        """Yield those of the numbers that are under way."""
        for numbers in (self.plain, *(numbers for _, numbers in self.measured)):
            yield from (number for number in numbers.values() if type(number) is Ticket)


class Recorder:
    """Records updates in their order, each once its numbers have arrived.

    Args:
        places: where to. The first keeps the record; the others are mirrors, and one that fails is
            given up with a warning.
        transit: carries the numbers of a device to the host; None where all are there already.
        ranks: over which the numbers of a sharded model are added up; 1 for any other model.
    """

    def __init__(self, places: Sequence[Place], transit: Transit | None, ranks: int = 1) -> None:
        self._places = list(places)
        self._transit = transit
        self._ranks = ranks
        self._waiting: deque[_Row] = deque()

    def add(
        self,
        update: int,
        plain: Mapping[str, Tensor | float],
        measured: Mapping[Quantity, Mapping[str, Tensor | float]] = {},
    ) -> None:
        """Record numbers of an update as they are, and what quantities make of others."""
        rows = [(each, self._carried(numbers, each.summed)) for each, numbers in measured.items()]
        row = _Row(update, self._carried(plain, summed=False), rows)
        if self._transit is None:
            self._write(row)
            return
        self._waiting.append(row)
        self._transit.look()
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
            for place in self._places[1:]:
                with suppress(Exception):
                    place.close()
            self._places[0].close()

    def _carried(self, numbers: Mapping[str, Tensor | float], summed: bool) -> dict[str, Number]:
        found: dict[str, Number] = {}
        for name, number in numbers.items():
            if not isinstance(number, Tensor):
                found[name] = number
            elif self._transit is None:
                found[name] = number.item()
            else:
                found[name] = self._transit.put(number if summed else number / self._ranks)
        return found

    def _catch_up(self) -> None:
        while self._waiting and all(each.arrived for each in self._waiting[0].tickets()):
            self._write(self._waiting.popleft())

    def _write(self, row: _Row) -> None:
        values = _opened(row.plain)
        loss = values.get("loss")
        for quantity, numbers in row.measured:
            given = _opened(numbers)
            if loss is not None and "loss" in quantity.needs:
                given["loss"] = loss
            values.update(quantity.values(given))
        self._places[0].add(row.update, values)
        for place in self._places[1:]:
            self._mirror(place, row.update, values)

    def _mirror(self, place: Place, update: int, values: Mapping[str, float]) -> None:
        try:
            place.add(update, values)
        except Exception as error:
            self._places.remove(place)
            warnings.warn(
                f"{type(place).__name__} failed and is given up, the record itself goes on: "
                f"{type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )


def _opened(numbers: Mapping[str, Number]) -> dict[str, float]:
    return {
        name: number.open() if isinstance(number, Ticket) else number
        for name, number in numbers.items()
    }
