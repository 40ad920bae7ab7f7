"""Read a CSV of metrics: a header, a step column where there is one, and columns of numbers."""

import csv
import math
import re
from array import array
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TextIO

import numpy as np

from surefoot.errors import LogError
from surefoot.records._tags import canonical_names
from surefoot.records.readers import Parts
from surefoot.records.readers._steps import Column, curves_of, step_name

__all__ = ["is_csv_log", "looks_like_csv", "read_csv"]

_DELIMITERS = ",;\t"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_SUFFIXES = {".csv", ".tsv"}
_MISSING = {"", "none", "null", "na", "n/a", "<na>", "-", "--"}
"""What a cell without a number may hold."""


def looks_like_csv(file: Path, head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is meant as a CSV: by its name or header."""
    if file.suffix.lower() in _SUFFIXES:
        return True
    line = head.decode("utf-8-sig", "replace").partition("\n")[0]
    if _CONTROL.search(line) or line.lstrip().startswith(("{", "[")):
        return False
    return any(mark in line for mark in _DELIMITERS) and is_csv_log(file)


def is_csv_log(file: Path) -> bool:
    """Tell whether the header of a CSV file names a step column or a quantity that we know."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            header = _header(file, stream.readline(1 << 16))[1]
    except (OSError, LogError):
        return False
    return step_name(header) is not None or bool(canonical_names(header))


def read_csv(file: Path) -> Parts:
    """Read the columns of numbers of a CSV file.

    Raises:
        LogError: it is empty, no text, has no header or no numbers, or a line has another number
            of cells than the header.
    """
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        lines = _Lines(file, stream)
        try:
            return _read(file, lines)
        except csv.Error as error:
            raise LogError(f"{file} is no CSV: line {lines.number}: {error}.") from None


class _Lines:
    """The lines of a text file; knows where it is and whether the last one was complete."""

    def __init__(self, file: Path, stream: TextIO) -> None:
        self._file = file
        self._stream = stream
        self.number = 0
        self.complete = True

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self.number += 1
            if "\0" in line:
                raise LogError(
                    f"{self._file} is no text: line {self.number} holds zero bytes. "
                    "Give a CSV file in UTF-8."
                )
            self.complete = line.endswith(("\n", "\r"))
            yield line


class _Column:
    """The numbers of one column, or, once a cell is no number, that cell."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = array("q")
        self.values = array("d")
        self.text: str | None = None

    def take(self, row: int, cell: str) -> None:
        """Add one cell; an empty one is passed over."""
        try:
            value = float(cell)
        except ValueError:
            if cell.strip().lower() not in _MISSING:
                self.text = cell
            return
        if "_" in cell:  # Python reads 1_000 as a number, nobody else does
            self.text = cell
        self.rows.append(row)
        self.values.append(value)


def _read(file: Path, lines: _Lines) -> Parts:
    text = iter(lines)
    delimiter, header = _header(file, next(text, ""))
    called = step_name(header)
    step_at = None if called is None else header.index(called)
    columns = [_Column(name) for name in _distinct(header)]
    live = [(at, column) for at, column in enumerate(columns) if at != step_at]
    notes: list[str] = []
    without_step = 0
    steps = array("d")
    for row in csv.reader(text, delimiter=delimiter, strict=True):
        if not any(row):
            continue
        if len(row) != len(header):
            if not lines.complete and len(row) < len(header):
                notes.append("The last line is incomplete and was left out.")
                break
            raise LogError(
                f"{file} line {lines.number} has {len(row)} cells, the header has {len(header)}. "
                "Mend that line; cells that hold the delimiter need quotes."
            )
        number = len(steps)
        step = number if step_at is None else _step(file, lines, row[step_at])
        if step is None:
            without_step += 1
            continue
        steps.append(step)
        for at, column in live:
            if column.text is None:
                column.take(number, row[at])
    if without_step:
        notes.append(f"Lines without a step were left out: {without_step}.")
    columns = _exported([column for _, column in live], notes)
    curves, tags = curves_of(columns, np.array(steps), called, notes)
    texts = [column for _, column in live if column.text is not None]
    if not curves and texts:
        raise LogError(
            f"{file} has no column of numbers beside the step: {', '.join(header)[:200]}. Give a "
            "CSV with a header and one column for each quantity."
        )
    notes += [
        f"The column {column.name!r} is left out: it holds text, such as {column.text!r:.40}."
        for column in texts
    ]
    return Parts(curves, dict(tags), notes)


def _exported(columns: list[_Column], notes: list[str]) -> dict[str, Column]:
    """Return the columns of numbers; W&B exports ``run - metric`` and its extremes."""
    names = {column.name for column in columns}
    kept = {
        column.name: (np.array(column.rows), np.array(column.values))
        for column in columns
        if column.text is None
        and column.values
        and not (column.name.endswith(("__MIN", "__MAX")) and column.name[:-5] in names)
    }
    runs = list(dict.fromkeys(name.rpartition(" - ")[0] for name in kept if " - " in name))
    if len(runs) > 1:
        notes.append(
            f"The columns are those of {len(runs)} runs ({', '.join(runs)[:200]}): of names that "
            "mean the same the first one counts. Export one run, or choose its columns by name."
        )
    return kept


def _header(file: Path, line: str) -> tuple[str, list[str]]:
    """Return the delimiter and the names of the columns."""
    if not line.strip():
        raise LogError(f"{file} is empty or begins with an empty line; a CSV begins with a header.")
    if _CONTROL.search(line):
        raise LogError(f"{file} is no text. Give a CSV file in UTF-8.")
    delimiter = max(_DELIMITERS, key=line.count)
    try:
        header = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error as error:
        raise LogError(f"{file} is no CSV: line 1: {error}.") from None
    if all(_is_number(cell) for cell in header):
        raise LogError(
            f"{file} has no header: its first line is {line.strip()[:60]!r}. Put the names of the "
            "columns there, such as step,loss,lr."
        )
    return delimiter, header


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _distinct(header: list[str]) -> list[str]:
    """Return the names, numbered where one occurs again: loss, loss-2."""
    taken = set(header)
    numbers: dict[str, Iterator[int]] = {}
    seen: set[str] = set()
    names: list[str] = []
    for position, given in enumerate(header):
        name = given or f"column {position + 1}"
        if name in seen:
            further = numbers.setdefault(given, count(2))
            name = next(f"{given}-{n}" for n in further if f"{given}-{n}" not in taken)
        seen.add(name)
        taken.add(name)
        names.append(name)
    return names


def _step(file: Path, lines: _Lines, cell: str) -> float | None:
    """Return the step in a cell, None for an empty one."""
    if not cell.strip():
        return None
    try:
        step = float(cell)
    except ValueError:
        step = math.nan
    if not math.isfinite(step):
        raise LogError(
            f"{file} line {lines.number}: the step {cell!r:.40} is no number. Mend that line, or "
            "rename the column if it is not the step."
        )
    return step
