"""What the commands share: the terminal, files, and words for numbers."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from surefoot._base.codec import Record
from surefoot.errors import InputError
from surefoot.plots import figure, save, text

__all__ = [
    "FIGURE_ENDINGS",
    "JsonOption",
    "OutOption",
    "TaskArgument",
    "complain",
    "console",
    "draw",
    "save_noun",
    "say",
    "show_facts",
    "show_table",
    "tell_json",
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TaskArgument = Annotated[
    str, typer.Argument(metavar="FILE.py:NAME", help="Where the surefoot.Trial is.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        help="Save: a file ending in .html .png .svg .pdf .csv .json, or a folder for all of it.",
    ),
]

FIGURE_ENDINGS = {".html", ".png", ".svg", ".pdf", ".csv"}


def console() -> Console:
    """Return the terminal for results: standard output."""
    return Console(highlight=False)


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[bold red]surefoot:[/] {escape(message)}"
    )


def say(message: str) -> None:
    """Print a line of text."""
    console().print(escape(message), soft_wrap=not sys.stdout.isatty())


def tell_json(noun: Record) -> None:
    """Print the noun as one JSON document."""
    typer.echo(noun.to_json(indent=2))


def draw(noun: object, *, height: int = 16) -> None:
    """Draw the noun on the terminal."""
    width = min(console().width, 100)
    typer.echo(text(figure(noun), width=width, height=height))


def show_facts(title: str, facts: list[tuple[str, str]]) -> None:
    """Print names and what they are."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    for name, value in facts:
        table.add_row(escape(name), escape(value))
    console().print(table)


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; all columns but the first are aligned right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console().print(table)


def save_noun(noun: Record, path: Path, *, table: str | None = None) -> list[Path]:
    """Save a noun to a file by its ending, or all forms of it to a folder.

    Args:
        noun: what to save.
        path: a file, or a folder, which is made if it is not there.
        table: the noun as CSV text, for the folder.

    Returns:
        The files written.
    """
    ending = path.suffix.lower()
    if ending == ".json":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(noun.to_json(indent=2) + "\n", encoding="utf-8")
        return [path]
    if ending in FIGURE_ENDINGS:
        return [Path(save(figure(noun), path))]
    if ending and not path.is_dir():
        listed = " ".join(sorted(FIGURE_ENDINGS | {".json"}))
        raise InputError(f"--out must end in one of {listed}, or name a folder, not {str(path)!r}.")
    path.mkdir(parents=True, exist_ok=True)
    stem = path / type(noun).__name__.lower()
    written = [stem.with_suffix(".json"), stem.with_suffix(".html")]
    for file in written:
        save_noun(noun, file)
    if table is not None:
        written.append(stem.with_suffix(".csv"))
        written[-1].write_text(table, encoding="utf-8")
    return written
