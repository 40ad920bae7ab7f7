"""What the commands share: the terminal, files, and words for numbers."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from surefoot._base.codec import Record
from surefoot.errors import InputError
from surefoot.plots import figure, save, text
from surefoot.records import Table

__all__ = [
    "FIGURE_ENDINGS",
    "JsonOption",
    "MapOption",
    "OutOption",
    "TaskArgument",
    "check_out",
    "complain",
    "console",
    "draw",
    "mapped",
    "plain",
    "save_noun",
    "say",
    "show",
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

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="CURVE=RECORDED",
        help="Take what was recorded under a name for a curve: --map loss=my/odd/tag.",
    ),
]

FIGURE_ENDINGS = {".html", ".png", ".svg", ".pdf", ".csv"}


def mapped(names: list[str] | None) -> dict[str, str]:
    """Return what ``--map`` says as a mapping.

    Raises:
        InputError: one is not of the form ``curve=recorded``.
    """
    found: dict[str, str] = {}
    for given in names or []:
        curve, equals, recorded = given.partition("=")
        if not curve or not equals or not recorded:
            raise InputError(f"--map must be of the form loss=my/odd/tag, not {given!r:.60}.")
        found[curve] = recorded
    return found


def plain(words: str) -> str:
    """Return the words with what a terminal would obey spelt out."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in words)


def console() -> Console:
    """Return the terminal for results: standard output."""
    return Console(highlight=False)


def complain(message: str, mark: str = "surefoot") -> None:
    """Say on standard error what went wrong, between words of a terminal's lines."""
    as_it_is = "\n" in message or not sys.stderr.isatty()
    Console(stderr=True, highlight=False, soft_wrap=as_it_is).print(
        f"[bold red]{mark}:[/] {escape(message)}"
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


def show(table: Table) -> None:
    """Print a table of a noun."""
    console().print(table)


def show_facts(title: str, facts: list[tuple[str, str]]) -> None:
    """Print names and what they are."""
    table = RichTable(title=title, title_justify="left", title_style="bold", show_header=False)
    for name, value in facts:
        table.add_row(escape(name), escape(value))
    console().print(table)


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; all columns but the first are aligned right."""
    table = RichTable(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console().print(table)


def check_out(path: Path | None) -> None:
    """Refuse a path that :func:`save_noun` cannot save to; called before anything is trained.

    Raises:
        InputError: it ends in something else, or nothing can be written there.
    """
    if path is None:
        return
    known = FIGURE_ENDINGS | {".json"}
    if not _is_folder(path) and path.suffix.lower() not in known:
        listed = " ".join(sorted(known))
        raise InputError(f"--out must end in one of {listed}, or name a folder, not {str(path)!r}.")
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not os.access(there, os.W_OK) or (there != path and not there.is_dir()):
        raise InputError(
            f"--out {str(path)!r} cannot be written: {str(there)!r} does not allow it."
        )


def _is_folder(path: Path) -> bool:
    return path.is_dir() or not path.suffix


def save_noun(noun: Record, path: Path, *, table: Table | None = None) -> list[Path]:
    """Save a noun to a file by its ending, or all forms of it to a folder.

    Args:
        noun: what to save.
        path: a file, or a folder, which is made if it is not there.
        table: the noun as a table, which is then its CSV; without one that is the figure's series.

    Returns:
        The files written.
    """
    if _is_folder(path):
        stem = path / type(noun).__name__.lower()
        endings = [".json", *([] if table is None else [".csv"]), ".html", ".png"]
        return [_save_file(noun, stem.with_suffix(each), table) for each in endings]
    return [_save_file(noun, path, table)]


def _save_file(noun: Record, path: Path, table: Table | None) -> Path:
    ending = path.suffix.lower()
    if ending == ".json":
        return _write(path, noun.to_json(indent=2) + "\n")
    if ending == ".csv" and table is not None:
        return _write(path, table.to_csv())
    return Path(save(figure(noun), path))


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from None
    return path
