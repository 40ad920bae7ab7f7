"""``surefoot schedule``: draw schedules from their text."""

import dataclasses
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from surefoot._base import checks
from surefoot._base.codec import dump_json
from surefoot._cli.output import FIGURE_ENDINGS, JsonOption, say, show_table
from surefoot.errors import InputError
from surefoot.plots import FigureData, save, schedule_figure, text
from surefoot.schedules import Schedule
from surefoot.schedules import schedule as read_schedule

__all__ = ["command"]

POINTS = 200

MOST = 1_000_000
"""Updates that a peak is looked for in."""


def command(
    words: Annotated[
        str, typer.Argument(metavar="TEXT", help='Such as "warmup(500) >> cosine(floor=0.1)".')
    ],
    total: Annotated[int, typer.Option(help="Length of the run in updates.")],
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1.0,
    compare: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="One more schedule to draw beside; may be repeated."),
    ] = None,
    updates_per_epoch: Annotated[
        float | None, typer.Option(help="For durations in epochs.")
    ] = None,
    samples_per_update: Annotated[
        float | None, typer.Option(help="For durations in samples: the batch size.")
    ] = None,
    tokens_per_update: Annotated[
        float | None, typer.Option(help="For durations in tokens.")
    ] = None,
    beta2: Annotated[float, typer.Option(help='Of Adam, for warmup("auto").')] = 0.999,
    allow_functions: Annotated[
        bool, typer.Option("--allow-functions", help="Let function(…) import Python code.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A file ending in .html .png .svg .pdf .csv or .json."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draw schedules in the terminal and, with -o, to a file."""
    peak = checks.learning_rate("--lr", lr)
    units = (updates_per_epoch, samples_per_update, tokens_per_update, beta2)
    read = [
        read_schedule(each, allow_functions=allow_functions) for each in (words, *(compare or []))
    ]
    plans = [_Plan(each, each.resolve(total, *units), peak) for each in dict.fromkeys(read)]
    if len(plans) > len(string.ascii_uppercase):
        raise InputError(f"--compare can be given 25 times at most, not {len(plans) - 1}.")
    document = dump_json(_document(plans), indent=2)
    picture = _figure(plans)
    if out is not None:
        _write(out, picture, document)
    if json:
        typer.echo(document)
        return
    typer.echo(text(picture, width=80, height=14))
    if len(plans) == 1:
        say(plans[0].written.describe())
        first, last = plans[0].lrs([0, total - 1])
        say(f"First update {first:.3g}, last update {last:.3g}, {total} updates.")
    else:
        _show(plans)
    if out is not None:
        say(f"saved {out}")


@dataclass(frozen=True)
class _Plan:
    """A schedule as it was written, and for this run."""

    written: Schedule
    resolved: Schedule
    peak: float

    def lrs(self, updates: Any) -> list[float]:
        return [self.peak * factor for factor in self.resolved(updates).tolist()]

    def document(self) -> dict[str, Any]:
        """Return the schedule and at most 200 of its rates."""
        total = self.resolved.total
        count = min(total, POINTS)
        updates = [round(index * (total - 1) / max(count - 1, 1)) for index in range(count)]
        return {
            "schedule": str(self.written),
            "resolved": str(self.resolved),
            "total": total,
            "lr": self.peak,
            "description": self.written.describe(),
            "area": self.resolved.area(),
            "updates": updates,
            "lrs": self.lrs(updates),
        }


def _document(plans: list[_Plan]) -> dict[str, Any]:
    """Return the first schedule's document, with those of the others under "compare"."""
    first, *others = [plan.document() for plan in plans]
    return {**first, "compare": others} if others else first


def _figure(plans: list[_Plan]) -> FigureData:
    first = plans[0]
    lr = None if first.peak == 1.0 else first.peak
    if len(plans) == 1:
        picture = schedule_figure(first.resolved, lr=lr)
        return dataclasses.replace(picture, title=str(first.written))
    return schedule_figure({str(plan.written): plan.resolved for plan in plans}, lr=lr)


def _write(out: Path, picture: FigureData, document: str) -> None:
    if out.suffix.lower() not in FIGURE_ENDINGS | {".json"}:
        raise InputError(f"--out must end in .html .png .svg .pdf .csv or .json, not {out}.")
    if out.suffix.lower() == ".json":
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(document + "\n", encoding="utf-8")
    else:
        save(picture, out)


def _show(plans: list[_Plan]) -> None:
    """Print the figures of each schedule, under the letter that it has in the drawing."""
    rows: list[list[str]] = []
    for letter, plan in zip(string.ascii_uppercase, plans, strict=False):
        last = plan.resolved.total - 1
        updates = np.unique(np.linspace(0, last, min(last + 1, MOST)).round())
        lrs = plan.peak * plan.resolved(updates)
        cells = [f"{lrs[0]:.3g}", f"{lrs.max():.3g} at {updates[lrs.argmax()]:.0f}"]
        mean = plan.peak * plan.resolved.area() / (last + 1)
        rows.append([letter, *cells, f"{lrs[-1]:.3g}", f"{mean:.3g}"])
    columns = ["", "first update", "peak", "last update", "mean"]
    show_table(f"{len(plans)} schedules, {plans[0].resolved.total} updates", columns, rows)
