"""A table of plain values, and the ways to look at it."""

import csv
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from surefoot._base.codec import dump_json
from surefoot._base.lazy import need
from surefoot.errors import InputError

__all__ = ["Table"]

_MARK = "★"
_ERROR = "error"  # name of a last column that is shown as notes below the table
_BETWEEN = 2  # characters between two columns
_FOLDED = 12  # characters to which a column of text may be folded
_STYLES = {"best": "bold green", "bad": "red"}
_CSS = {"best": "font-weight:bold;color:green", "bad": "color:#b00"}


@dataclass(frozen=True)
class Table:
    """Rows of plain values: numbers stay numbers, and each view has its own way to write them.

    Text and terminals show what stands in a last column ``error`` as notes below the rows.

    Args:
        columns: their names, each another.
        rows: as many values in each as there are columns.
        title: what stands above it.
        best: index of the row that is marked as the best, by ★; None marks none.
        bad: indices of the rows in which something went wrong; a terminal shows them in red.

    Raises:
        InputError: a row has another length than the columns.

    Example:
        >>> table = Table(["lr", "loss"], [[0.01, 0.53], [0.1, 0.123456]], best=1)
        >>> print(table)
          lr    loss
        0.01    0.53
         0.1  0.1235  ★
        >>> table.to_csv().splitlines()
        ['lr,loss', '0.01,0.53', '0.1,0.123456']
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    best: int | None = None
    bad: Sequence[int] = ()

    def __post_init__(self) -> None:
        for name in ("columns", "bad"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(
                    f"rows must have a value for each of the {len(self.columns)} columns; "
                    f"{row!r:.60} has {len(row)}."
                )

    def to_csv(self) -> str:
        """Return CSV text with all digits; what is not finite is ``inf`` or ``nan``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()

    def to_json(self, *, indent: int | None = None) -> str:
        """Return a JSON list with one object for each row; what is not finite is null."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return dump_json(rows, indent=indent)

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = need("pandas", "for Table.to_pandas")
        return pandas.DataFrame(list(self.rows), columns=list(self.columns))

    def __str__(self) -> str:
        columns, rows, notes = self._with_notes()
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        lines = [self.title] if self.title else []
        for row in (columns, *rows):
            cells = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, self._aligned_right(), strict=False)
            ]
            lines.append("  ".join([*cells, *row[len(cells) :]]).rstrip())
        return "\n".join([*lines, *notes])

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """Yield what rich shows: in a narrow terminal headings wrap, and last columns drop out."""
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table as RichTable
        from rich.text import Text

        columns, rows, notes = self._with_notes()
        right = [*self._aligned_right(), False][: len(columns)]
        shown, is_narrow = _fitting(columns, rows, right, options.max_width)
        table = RichTable(
            title=escape(self.title) or None,
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for index in shown:
            table.add_column(
                escape(_heading(columns[index]) if is_narrow else columns[index]),
                justify="right" if right[index] else "left",
                overflow="fold",
                no_wrap=right[index] or not columns[index],  # a number must stay in one line
            )
        for row, (kind, _) in zip(rows, self._written(), strict=True):
            table.add_row(*(escape(row[index]) for index in shown), style=_STYLES.get(kind))
        yield table
        left_out = [column for index, column in enumerate(columns) if index not in shown]
        if left_out:
            yield Text(f"No room for: {', '.join(left_out)}.")
        below = RichTable.grid(padding=(0, 1, 0, 0))
        for note in notes:
            below.add_row(*map(escape, note.split(" ", 1)))
        if notes:
            yield below

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        body = ""
        for kind, row in self._written():
            style = f' style="{_CSS[kind]}"' if kind else ""
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            body += f"<tr{style}>{cells}</tr>\n"
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"

    def _written(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each row as text: ("best", "bad" or "", its cells)."""
        for index, row in enumerate(self.rows):
            kind = "best" if index == self.best else "bad" if index in self.bad else ""
            yield kind, [_words(value) for value in row]

    def _with_notes(self) -> tuple[list[str], list[list[str]], list[str]]:
        """Return columns, rows and notes: errors, which are long, stand below the table.

        A last column without a name has the star of the best and the numbers of the notes.
        """
        last = len(self.columns) - (_ERROR in self.columns[-1:])
        notes: list[str] = []
        marks: list[str] = []
        rows: list[list[str]] = []
        for kind, row in self._written():
            mark = _MARK if kind == "best" else ""
            for said in row[last:]:
                if said and said not in notes:
                    notes.append(said)
                mark += f"[{notes.index(said) + 1}]" if said else ""
            marks.append(mark)
            rows.append(row[:last])
        columns = list(self.columns[:last])
        if any(marks):
            columns.append("")
            rows = [[*row, mark] for row, mark in zip(rows, marks, strict=True)]
        return columns, rows, [f"[{index + 1}] {said}" for index, said in enumerate(notes)]

    def _aligned_right(self) -> list[bool]:
        """Return for each column whether it holds numbers, which are aligned right."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        return [
            any(isinstance(value, (int, float)) for value in column)
            and not any(isinstance(value, str) and value for value in column)
            for column in columns
        ]


def _fitting(
    columns: list[str], rows: list[list[str]], right: list[bool], width: int
) -> tuple[list[int], bool]:
    """Return which columns there is room for, and whether their headings have to wrap.

    A column of text may be folded down to some width, one of numbers may not.
    """
    cells = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    cells = cells or [0] * len(columns)
    whole = [max(size, len(name)) for size, name in zip(cells, columns, strict=True)]
    shown = list(range(len(columns)))
    if sum(whole) + _BETWEEN * len(shown) <= width:
        return shown, False
    least = [
        max(size if is_number else min(size, _FOLDED), *map(len, _heading(name).split("\n")))
        for size, name, is_number in zip(cells, columns, right, strict=True)
    ]
    while len(shown) > 2 and sum(least[index] + _BETWEEN for index in shown) > width:
        shown.pop(-1 if columns[shown[-1]] else -2)  # the one without a name holds the marks
    return shown, True


def _heading(name: str) -> str:
    """Return the name of a column in several lines."""
    return name.replace(" ", "\n").replace("_", "_\n")


def _words(value: Any) -> str:
    """Return a value as it is shown, on one line: a float with four digits, no word for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
