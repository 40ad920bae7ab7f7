"""``surefoot report``: one HTML file of all runs in a folder."""

from pathlib import Path
from typing import Annotated

import typer

from surefoot._base.codec import dump_json
from surefoot._cli.output import JsonOption, say
from surefoot._report import report

__all__ = ["command"]


def command(
    path: Annotated[Path, typer.Argument(help="A run, or a folder of runs and results.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")] = Path(
        "report.html"
    ),
    json: JsonOption = False,
) -> None:
    """Write one self-contained HTML file with every run, its figures and its diagnosis."""
    written = report(path, to=out)
    if json:
        typer.echo(dump_json({"report": str(written)}))
        return
    say(f"The report is {written}.")
