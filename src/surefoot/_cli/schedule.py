"""``surefoot schedule``: draw a schedule from its text."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from surefoot._base import checks
from surefoot._base.codec import dump_json
from surefoot._cli.output import FIGURE_ENDINGS, JsonOption, say
from surefoot.errors import InputError
from surefoot.plots import save, schedule_figure, text
from surefoot.schedules import Schedule
from surefoot.schedules import schedule as read_schedule

__all__ = ["command"]

POINTS = 200


def command(
    words: Annotated[
        str, typer.Argument(metavar="TEXT", help='Such as "warmup(500) >> cosine(floor=0.1)".')
    ],
    total: Annotated[int, typer.Option(help="Length of the run in updates.")],
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1.0,
    updates_per_epoch: Annotated[int | None, typer.Option(help="For durations in epochs.")] = None,
    samples_per_update: Annotated[
        int | None, typer.Option(help="For durations in samples: the batch size.")
    ] = None,
    tokens_per_update: Annotated[int | None, typer.Option(help="For durations in tokens.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A file ending in .html .png .svg .pdf .csv or .json."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draw a schedule in the terminal and, with -o, to a file."""
    peak = checks.learning_rate("--lr", lr)
    schedule = read_schedule(words)
    resolved = schedule.resolve(total, updates_per_epoch, samples_per_update, tokens_per_update)
    document = _document(schedule, resolved, peak)
    picture = schedule_figure(resolved, lr=None if lr == 1.0 else peak)
    picture = dataclasses.replace(picture, title=str(schedule))
    if out is not None:
        if out.suffix.lower() not in FIGURE_ENDINGS | {".json"}:
            raise InputError(f"--out must end in .html .png .svg .pdf .csv or .json, not {out}.")
        if out.suffix.lower() == ".json":
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(document + "\n", encoding="utf-8")
        else:
            save(picture, out)
    if json:
        typer.echo(document)
        return
    typer.echo(text(picture, width=80, height=14))
    say(schedule.describe())
    first, last = peak * float(resolved(0)), peak * float(resolved(total - 1))
    say(f"First update {first:.3g}, last update {last:.3g}, {total} updates.")
    if out is not None:
        say(f"saved {out}")


def _document(schedule: Schedule, resolved: Schedule, peak: float) -> str:
    """Return the schedule and at most 200 of its rates as one JSON document."""
    total = resolved.total
    count = min(total, POINTS)
    updates = [round(index * (total - 1) / max(count - 1, 1)) for index in range(count)]
    document = {
        "schedule": str(schedule),
        "resolved": str(resolved),
        "total": total,
        "lr": peak,
        "description": schedule.describe(),
        "updates": updates,
        "lrs": [peak * float(resolved(update)) for update in updates],
    }
    return dump_json(document, indent=2)
