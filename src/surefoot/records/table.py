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
_STYLES = {"best": "bold green", "bad": "red"}
_CSS = {"best": "font-weight:bold;color:green", "bad": "color:#b00"}


@dataclass(frozen=True)
class Table:
    """Rows of plain values: numbers stay numbers, and each view has its own way to write them.

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
        shown = [self.columns, *(row for _, row in self._written())]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = [self.title] if self.title else []
        for index, row in enumerate(shown):
            cells = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, self._numeric(), strict=True)
            ]
            cells += [_MARK] if index and index - 1 == self.best else []
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table as RichTable

        table = RichTable(
            title=escape(self.title) or None,
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for column, right in zip(self.columns, self._numeric(), strict=True):
            table.add_column(escape(column), justify="right" if right else "left", overflow="fold")
        if self.best is not None:
            table.add_column("")
        for kind, row in self._written():
            marks = [] if self.best is None else [_MARK if kind == "best" else ""]
            table.add_row(*map(escape, row), *marks, style=_STYLES.get(kind))
        return table

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

    def _numeric(self) -> list[bool]:
        """Return for each column whether it holds numbers, which are aligned right."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        return [
            any(isinstance(value, (int, float)) for value in column)
            and not any(isinstance(value, str) and value for value in column)
            for column in columns
        ]


def _words(value: Any) -> str:
    """Return a value as it is shown: a float with four digits, and no word for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
