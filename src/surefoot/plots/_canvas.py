"""A small picture of braille dots, two by four to a character. Pure."""

import math

__all__ = ["Canvas"]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class Canvas:
    """Dots and characters on a grid.

    Args:
        columns, rows: size in characters.

    Example:
        >>> canvas = Canvas(4, 1)
        >>> canvas.line(0.0, 0.0, 1.0, 1.0)
        >>> canvas.lines()
        ['⣀⠤⠒⠉']
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._dots = [[0] * columns for _ in range(rows)]
        self._signs: dict[tuple[int, int], str] = {}
        self._ground: dict[tuple[int, int], str] = {}

    def line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a line between two places, each 0 … 1 from the left and from the bottom."""
        cut = _cut(x0, y0, x1, y1)
        if cut is None:
            return
        (left, low), (right, high) = self._dot(*cut[0]), self._dot(*cut[1])
        count = max(abs(right - left), abs(high - low), 1)
        for index in range(count + 1):
            share = index / count
            self._set(round(left + share * (right - left)), round(low + share * (high - low)))

    def sign(self, x: float, y: float, character: str, *, over: bool = True) -> None:
        """Put a character at a place; ``over`` False leaves characters that are there."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        column, row = self.cell(x, y)
        inside = 0 <= column < self.columns and 0 <= row < self.rows
        if inside and (over or ((row, column) not in self._signs and not self._dots[row][column])):
            self._signs[row, column] = character

    def fill(self, column: int, row: int, character: str) -> None:
        """Put a character beneath the lines, in a row counted from the top."""
        self._ground[row, column] = character

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Return column and row (from the top) of a place."""
        across, up = self._dot(x, y)
        return across // 2, up // 4

    def lines(self) -> list[str]:
        """Return the rows from top to bottom as text, without blanks at their ends."""
        return ["".join(self._shown(r, c) for c in range(self.columns)) for r in range(self.rows)]

    def _shown(self, row: int, column: int) -> str:
        dots = self._dots[row][column]
        ground = self._ground.get((row, column), " ")
        return self._signs.get((row, column)) or (chr(0x2800 + dots) if dots else ground)

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        return round(x * (2 * self.columns - 1)), round((1 - y) * (4 * self.rows - 1))

    def _set(self, across: int, down: int) -> None:
        if 0 <= across < 2 * self.columns and 0 <= down < 4 * self.rows:
            self._dots[down // 4][across // 2] |= _DOTS[down % 4][across % 2]


def _cut(
    x0: float, y0: float, x1: float, y1: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return the part of the line inside the unit square (Liang–Barsky), None if there is none."""
    if not all(math.isfinite(value) for value in (x0, y0, x1, y1)):
        return None
    first, last = 0.0, 1.0
    for start, delta in ((x0, x1 - x0), (y0, y1 - y0)):
        for distance, rate in ((start, -delta), (1 - start, delta)):
            if rate == 0:
                if distance < 0:
                    return None
            elif rate < 0:
                first = max(first, distance / rate)
            else:
                last = min(last, distance / rate)
    if first > last:
        return None
    ends = [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in (first, last)]
    return ends[0], ends[1]
