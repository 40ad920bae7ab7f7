"""``surefoot find``: a good learning rate for a trial."""

from typing import Annotated, Literal

import typer

from surefoot._base.lazy import need
from surefoot._cli.output import (
    JsonOption,
    OutOption,
    TaskArgument,
    check_out,
    draw,
    save_noun,
    say,
    show_facts,
    tell_json,
)

__all__ = ["command"]


def command(
    task: TaskArgument,
    effort: Annotated[
        Literal["quick", "thorough"],
        typer.Option(help="quick: about half a training; thorough: at most three."),
    ] = "quick",
    schedule: Annotated[
        str | None, typer.Option(help="Schedule of the real run; the answer is its peak rate.")
    ] = None,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Find a good learning rate by cheap trial."""
    check_out(out)
    need("torch", "to train")
    from surefoot._cli.task import load_trial
    from surefoot._find import find

    finding = find(load_trial(task), effort=effort, schedule=schedule)
    files = save_noun(finding, out) if out is not None else []
    if json:
        tell_json(finding)
        return
    draw(finding)
    diverges = "never did" if finding.diverges_at is None else f"{finding.diverges_at:.3g}"
    rows = [
        ("learning rate", f"{finding.lr:.3g}"),
        ("interval", f"{finding.low:.2g} … {finding.high:.2g}"),
        ("range test diverged at", diverges),
        ("source", finding.source),
        ("usual rate", f"{finding.default_lr:g}"),
        ("cost", str(finding.cost)),
    ]
    show_facts(finding.name or task, rows)
    for file in files:
        say(f"saved {file}")
