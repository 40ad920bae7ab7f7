"""``surefoot sweep``: the U curve of a trial."""

from typing import Annotated

import typer

from surefoot._base.lazy import need
from surefoot._cli.output import (
    JsonOption,
    OutOption,
    TaskArgument,
    draw,
    save_noun,
    say,
    show_table,
    tell_json,
)
from surefoot.errors import InputError
from surefoot.records import Point

__all__ = ["command", "read_lrs"]


def command(
    task: TaskArgument,
    lrs: Annotated[
        str, typer.Option(help="LOW:HIGH:PER_DECADE, or a list such as 0.001,0.01,0.1.")
    ] = "1e-6:10:2",
    seeds: Annotated[int, typer.Option(help="Trainings for each rate.")] = 3,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Train at many learning rates and draw the U curve."""
    need("torch", "to train")
    from surefoot._cli.task import load_trial
    from surefoot._sweep import sweep

    rates = read_lrs(lrs)
    result = sweep(load_trial(task), rates, seeds=seeds)
    files = [] if out is None else save_noun(result, out, table=result.table().to_csv())
    if json:
        tell_json(result)
        return
    draw(result)
    columns = ["lr", result.metric, "90 % interval", "diverged"]
    show_table(result.name or task, columns, [_row(p, p is result.best) for p in result.points])
    say(f"Cost: {result.cost}.")
    for file in files:
        say(f"saved {file}")


def read_lrs(words: str) -> tuple[float, ...]:
    """Return the rates that ``LOW:HIGH:PER_DECADE`` or a list with commas stands for.

    Raises:
        InputError: it is neither.

    Example:
        >>> read_lrs("1e-3:1:1")
        (0.001, 0.01, 0.1, 1.0)
        >>> read_lrs("0.1, 0.3")
        (0.1, 0.3)
    """
    from surefoot._sweep import grid

    try:
        if ":" in words:
            low, high, *rest = words.split(":")
            (per_decade,) = rest or ["3"]
            return grid(float(low), float(high), int(per_decade))
        return tuple(float(word) for word in words.split(","))
    except InputError:
        raise
    except ValueError:
        raise InputError(
            "--lrs must be LOW:HIGH:PER_DECADE, such as 1e-5:1:4, or rates with commas, not "
            f"{words!r}."
        ) from None


def _row(point: Point, best: bool) -> list[str]:
    interval = f"{point.low:.4g} … {point.high:.4g}" if point.seeds > 1 else "–"
    diverged = f"{point.diverged} of {point.seeds}" if point.diverged else ""
    mark = "  ← best" if best else ""
    return [f"{point.lr:.3g}{mark}", f"{point.loss:.4g}", interval, diverged]
