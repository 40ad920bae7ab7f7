"""``surefoot find``: a good learning rate for a trial."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

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
from surefoot.errors import InputError

if TYPE_CHECKING:
    from surefoot._engine.trial import Trial
    from surefoot.records import Finding

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
    apply: Annotated[
        bool, typer.Option("--apply", help="Then train once, to the end, at the rate found.")
    ] = False,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Find a good learning rate by cheap trial."""
    check_out(out)
    need("torch", "to train")
    from surefoot._cli.task import load_trial
    from surefoot._find import find

    trial = load_trial(task)
    finding = find(trial, effort=effort, schedule=schedule)
    if apply:
        finding = _applied(finding, trial, schedule)
    files = save_noun(finding, out) if out is not None else []
    if json:
        tell_json(finding)
        return
    draw(finding)
    show_facts(finding.name or task, _rows(finding))
    for note in finding.notes:
        say(note)
    for file in files:
        say(f"saved {file}")


def _applied(finding: "Finding", trial: "Trial", schedule: str | None) -> "Finding":
    """Train once, to the end, at the rate found, and note what that reached."""
    from surefoot._sweep import sweep
    from surefoot.records import Attempt

    if schedule is not None:
        trial = replace(trial, schedule=schedule)
    member = sweep(trial, [finding.lr], seeds=1).members[0]
    if member.error:
        raise InputError(f"the training at lr {finding.lr:.3g} failed: {member.error}.")
    return replace(finding, applied=Attempt(finding.lr, member.updates, member.loss))


def _rows(finding: "Finding") -> list[tuple[str, str]]:
    """Return what is said of a finding, a row each."""
    diverges = "never did" if finding.diverges_at is None else f"{finding.diverges_at:.3g}"
    rows = [
        ("learning rate", f"{finding.lr:.3g}"),
        ("interval", f"{finding.low:.2g} … {finding.high:.2g}"),
        ("diverges at", diverges),
        ("source", finding.source),
        ("usual rate", f"{finding.default_lr:g}"),
    ]
    if math.isfinite(finding.gain):
        word = "less" if finding.gain >= 0 else "more"
        said = f"{abs(finding.gain):.0%} {word} {finding.metric} expected"
        rows.append(("against the usual rate", said))
    rows.append(("cost", str(finding.cost)))
    if finding.applied is not None:
        ended = finding.applied
        said = f"{finding.metric} {ended.loss:.4g} after {ended.updates} updates"
        rows.append(("trained once with it", said))
    return rows
