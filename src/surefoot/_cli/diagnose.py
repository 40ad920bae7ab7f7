"""``surefoot diagnose``: what is wrong with the learning rate of a run."""

from pathlib import Path
from typing import Annotated

import typer

from surefoot._base.codec import dump_json
from surefoot._cli.output import JsonOption, MapOption, draw, mapped, show_table, tell_json
from surefoot._diagnose import diagnose
from surefoot.records import Diagnosis

__all__ = ["command"]


def command(
    path: Annotated[
        Path, typer.Argument(help="A run, a TensorBoard folder, a CSV file, or a folder of many.")
    ],
    names: MapOption = None,
    json: JsonOption = False,
) -> None:
    """Name what is wrong with the learning rate of a run, from its log alone."""
    found = diagnose(path, names=mapped(names))
    if isinstance(found, Diagnosis):
        if json:
            tell_json(found)
            return
        draw(found)
        return
    if json:
        typer.echo(dump_json({"runs": [each.to_dict() for each in found]}, indent=2))
        return
    rows = [[each.run, each.label, _estimate(each)] for each in found]
    show_table(str(path), ["run", "verdict", "lr ÷ best lr"], rows)


def _estimate(diagnosis: Diagnosis) -> str:
    if diagnosis.lr_over_best != diagnosis.lr_over_best:
        return "–"
    low, high = diagnosis.lr_over_best_log10_low, diagnosis.lr_over_best_log10_high
    return f"{diagnosis.lr_over_best:.2g} ({10**low:.2g} … {10**high:.2g})"
