"""``surefoot show``: what a log holds, as Surefoot understands it."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from surefoot._base.codec import dump_json
from surefoot._cli.output import (
    JsonOption,
    MapOption,
    OutOption,
    check_out,
    draw,
    mapped,
    plain,
    save_noun,
    say,
    show_table,
    tell_json,
)
from surefoot.records import Curve, RunLog, find_runs, read, save_log

__all__ = ["command"]

_LINES = 40
"""Curves that are listed."""


def command(
    path: Annotated[Path, typer.Argument(help="A run, or a folder of many.")],
    names: MapOption = None,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Print what a log holds: its curves, what they were taken for, and what was left out."""
    table = out is not None and out.suffix.lower() in (".csv", ".parquet")
    check_out(None if table else out)
    mapping = mapped(names)
    runs = find_runs(path) if path.is_dir() else (path,)
    if len(runs) > 1:
        _list(path, [read(run, name=_name(path, run), names=mapping) for run in runs], json=json)
        return
    log = read(runs[0] if runs else path, names=mapping)
    if json:
        tell_json(log)
        return
    _tell(log)
    if log.curves:
        draw(log)
    if out is not None:
        for file in [save_log(log, out)] if table else save_noun(log, out):
            say(f"saved {file}")


def _name(path: Path, run: Path) -> str:
    return path.name if run == path else str(run.relative_to(path))


def _tell(log: RunLog) -> None:
    recorded = log.tags.get("names", {})
    title = f"{plain(log.name)} · {_length(log)}"
    rows = [
        [plain(name), plain(recorded.get(name, "")), *_facts(curve)]
        for name, curve in list(log.curves.items())[:_LINES]
    ]
    columns = ["curve", "recorded as", "values", f"{log.unit}s", "first", "least", "last"]
    show_table(title, columns, rows)
    if len(log) > _LINES:
        say(f"and {len(log) - _LINES} more")
    for note in log.notes:
        say(f"note: {plain(note)}")


def _list(path: Path, logs: list[RunLog], *, json: bool) -> None:
    if json:
        typer.echo(dump_json({"runs": [log.to_dict() for log in logs]}, indent=2))
        return
    rows = [
        [plain(log.name), _length(log), plain(", ".join(log.names))[:80], str(len(log.notes))]
        for log in logs
    ]
    show_table(str(path), ["run", "length", "curves", "notes"], rows)


def _length(log: RunLog) -> str:
    last = log.last_step
    return "empty" if last is None else f"{last + (log.unit != 'epoch'):,} {log.unit}s"


def _facts(curve: Curve) -> list[str]:
    """Return count, range of steps, first, least and last value."""
    steps, values = curve
    finite = values[np.isfinite(values)]
    least = f"{finite.min():.4g}" if len(finite) else "–"
    broken = len(values) - len(finite)
    count = f"{len(values):,}" + (f" ({broken:,} not finite)" if broken else "")
    return [
        count,
        f"{steps.min():,.0f} … {steps.max():,.0f}",
        f"{values[0]:.4g}",
        least,
        f"{values[-1]:.4g}",
    ]
