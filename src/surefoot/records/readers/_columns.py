"""Rows of named numbers, as JSON lines and the logs of trackers hold them, made into curves."""

from array import array
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import LogError
from surefoot.records.readers import Parts
from surefoot.records.readers._steps import curves_of, step_name

__all__ = ["Columns"]

_MOST = 20_000
"""Names that a log may hold."""

_DEEP = 8
"""Levels of nested objects that are looked into."""

_SPELT = {"nan": float("nan"), "infinity": float("inf"), "-infinity": float("-inf"),
          "inf": float("inf"), "-inf": float("-inf")}  # fmt: skip


class Columns:
    """Gathers rows; at the end the best of the step columns becomes the steps of all others.

    Args:
        source: what is read, for errors.
    """

    def __init__(self, source: object) -> None:
        self._source = source
        self._columns: dict[str, tuple[array[int], array[float]]] = {}
        self._texts: dict[str, str] = {}
        self._rows = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row; nested objects give names such as ``train/loss``, text is passed over."""
        self._take("", row, _DEEP)
        self._rows += 1

    def parts(self, tags: Mapping[str, Any], notes: list[str]) -> Parts:
        """Return the curves.

        Raises:
            LogError: there is no number beside the step.
        """
        for name, text in self._texts.items():
            if name not in self._columns:
                notes.append(f"{name!r:.60} is left out: it holds text, such as {text!r:.40}.")
        step = step_name(self._columns)
        steps = np.arange(self._rows, dtype=np.float64)
        if step is not None:
            rows, numbers = self._columns.pop(step)
            steps = self._filled(np.array(rows), np.array(numbers), notes)
        columns = {
            name: (np.array(rows), np.array(numbers))
            for name, (rows, numbers) in self._columns.items()
        }
        curves, unit = curves_of(columns, steps, step, notes)
        if not curves:
            raise LogError(f"{self._source} holds no numbers beside the step.")
        return Parts(curves, {**tags, **unit}, notes)

    def _filled(
        self, rows: NDArray[np.int64], numbers: NDArray[np.float64], notes: list[str]
    ) -> NDArray[np.float64]:
        """Return the step of each row: that of the last one that has it, else NaN."""
        last = np.searchsorted(rows, np.arange(self._rows), side="right") - 1
        without = self._rows - len(rows)
        if without and len(rows):
            notes.append(f"Rows without a step stand at the last one before them: {without}.")
        return np.where(last < 0, np.nan, numbers[np.maximum(last, 0)])

    def _take(self, prefix: str, values: Mapping[str, Any], depth: int) -> None:
        for key, value in values.items():
            name = f"{prefix}{key}"
            if isinstance(value, bool):
                continue
            if isinstance(value, str):
                number = _SPELT.get(value.lower())
                if number is None:
                    if len(self._texts) < _MOST:
                        self._texts.setdefault(name, value)
                    continue
                self._put(name, number)
            elif isinstance(value, (int, float)):
                try:
                    self._put(name, float(value))
                except OverflowError:
                    self._put(name, float("inf") if value > 0 else float("-inf"))
            elif isinstance(value, Mapping) and depth:
                self._take(f"{name}/", cast("Mapping[str, Any]", value), depth - 1)

    def _put(self, name: str, number: float) -> None:
        column = self._columns.get(name)
        if column is None:
            if len(self._columns) >= _MOST:
                raise LogError(
                    f"{self._source} has more than {_MOST:,} names: it is no log of a run."
                )
            column = self._columns[name] = (array("q"), array("d"))
        rows, numbers = column
        if rows and rows[-1] == self._rows:  # twice in one row: the later counts
            numbers[-1] = number
            return
        rows.append(self._rows)
        numbers.append(number)
