"""What a training does, live on the terminal."""

import math
import sys
from collections.abc import Mapping
from time import monotonic
from typing import Any

__all__ = ["Live"]

SECONDS = 0.5
"""Between two pictures."""

WIDTH = 40
BARS = "▁▂▃▄▅▆▇█"
RESOLUTION = 1e-9
SHOWN = ("loss", "validation_loss", "lr", "grad_norm", "update_ratio", "alpha", "loss_z", "seconds")
FEW = ("non_finite", "skipped")


class Live:
    """A table of the latest values with a line of how each came there, on standard error.

    The line has a column for equal parts of the run so far, each the mean of its updates.

    Args:
        name: what the run is called.
    """

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._name = name
        self._update = 0
        self._curves: dict[str, _Means] = {}
        self._shown = 0.0
        self._live = RichLive(
            console=Console(file=sys.stderr),
            auto_refresh=False,
            transient=False,
            redirect_stdout=True,
        )
        self._live.start()

    def add(self, update: int, values: Mapping[str, float]) -> None:
        """Take values of an update, and draw when that is due."""
        self._update = update
        for name, value in values.items():
            if name in SHOWN or (name in FEW and value):
                self._curves.setdefault(name, _Means()).add(value)
        now = monotonic()
        if now - self._shown >= SECONDS:
            self._shown = now
            self._draw()

    def close(self) -> None:
        """Leave the last picture on the terminal."""
        self._draw()
        self._live.stop()

    def _draw(self) -> None:
        self._live.update(self._table(), refresh=True)

    def _table(self) -> Any:
        from rich.markup import escape
        from rich.table import Table

        title = f"{escape(self._name)} · update {self._update:,}"
        table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
        for name in (*SHOWN, *FEW):
            if name in self._curves:
                curve = self._curves[name]
                table.add_row(name, f"{curve.last:.4g}", curve.line())
        return table


class _Means:
    """A curve of any length as at most ``2 · WIDTH`` means of equally many values."""

    def __init__(self) -> None:
        self.last = math.nan
        self._means: list[float] = []
        self._each = 1  # values in a mean
        self._sum = 0.0
        self._count = 0

    def add(self, value: float) -> None:
        """Take a value; one that is not finite shows in the latest only."""
        self.last = value
        if not math.isfinite(value):
            return
        self._sum += value
        self._count += 1
        if self._count == self._each:
            self._means.append(self._sum / self._count)
            self._sum, self._count = 0.0, 0
            if len(self._means) == 2 * WIDTH:
                pairs = zip(self._means[::2], self._means[1::2], strict=True)
                self._means = [(a + b) / 2 for a, b in pairs]
                self._each *= 2

    def line(self) -> str:
        """Return the curve as a line of bars, by its logarithm where it spans decades."""
        shown = self._means[-2 * WIDTH :]
        if len(shown) > WIDTH:
            shown = [sum(shown[i : i + 2]) / len(shown[i : i + 2]) for i in range(0, len(shown), 2)]
        if not shown:
            return ""
        if min(shown) > 0 and max(shown) > 10 * min(shown):
            shown = [math.log(value) for value in shown]
        least, span = min(shown), max(shown) - min(shown)
        if span <= RESOLUTION * max(map(abs, shown)):  # the same, but for the rounding of means
            return BARS[0] * len(shown)
        return "".join(BARS[round((value - least) / span * (len(BARS) - 1))] for value in shown)
