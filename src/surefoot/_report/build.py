"""One HTML file that needs nothing else: no network, no second file."""

import base64
import hashlib
import html
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from surefoot._base.codec import dump_json
from surefoot._base.lazy import need
from surefoot.errors import InputError
from surefoot.plots import FigureData
from surefoot.plots._plotly import plotly_spec

__all__ = ["Section", "Table", "write_report"]


@dataclass(frozen=True)
class Table:
    """A small table.

    Args:
        columns: headings.
        rows: one cell of text per column; a cell that reads like a number stands at the right.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(
                    f"A row of the table has {len(row)} cells, not {len(self.columns)}."
                )


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Args:
        title: its heading.
        sentence: what there is to see; stands under the figure.
        figure: what is drawn, or None.
        table: what is listed, or None.
        notes: further sentences, listed.
    """

    title: str
    sentence: str = ""
    figure: FigureData | None = None
    table: Table | None = None
    notes: tuple[str, ...] = ()


def write_report(
    path: str | os.PathLike[str],
    title: str,
    sections: Sequence[Section],
    summary: str | None = None,
) -> Path:
    """Write the sections as one HTML file and return its path.

    The file appears whole or not at all, and asks the network for nothing: figures, scripts and
    styles are in it, and its content security policy forbids everything else.

    Args:
        path: of the file; missing folders are made, a file of that name is replaced.
        title: of the report.
        sections: from top to bottom.
        summary: a sentence under the title.

    Raises:
        InputError: the file cannot be written.
        MissingExtraError: Plotly is not installed.
    """
    return _write(Path(path), _page(title, sections, summary))


def _page(title: str, sections: Sequence[Section], summary: str | None) -> str:
    files = resources.files("surefoot._report")
    style = (files / "_page.css").read_text(encoding="utf-8")
    body = [f"<header>\n<h1>{_text(title)}</h1>"]
    body += [f'<p class="summary">{_text(summary)}</p>'] if summary else []
    body.append("</header>")
    if len(sections) > 3:
        body.append(_contents(sections))
    body.append("<main>")
    body += [_section(index, section) for index, section in enumerate(sections)]
    body += ["</main>", '<p class="made">Made by Surefoot.</p>']
    scripts: list[str] = []
    if any(section.figure is not None for section in sections):
        bundle = need("plotly.offline", "to write a report").get_plotlyjs()
        scripts = [_inline(bundle), (files / "_page.js").read_text(encoding="utf-8")]
        warning = "The figures of this report are drawn by a script; allow scripts to see them."
        body.append(f"<noscript><p>{warning}</p></noscript>")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{_text(title)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>\n{style}</style>",
            "</head>",
            "<body>",
            *body,
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _policy(scripts: Sequence[str]) -> str:
    """Allow these very scripts, inline styles and inline pictures, and nothing else."""
    hashes = [hashlib.sha256(script.encode()).digest() for script in scripts]
    named = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes]
    allowed = " ".join(named or ["'none'"])
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )


def _contents(sections: Sequence[Section]) -> str:
    items = (
        f'<li><a href="#section-{index}">{_text(section.title)}</a></li>'
        for index, section in enumerate(sections)
    )
    return '<nav aria-label="Contents"><ol>\n' + "\n".join(items) + "\n</ol></nav>"


def _section(index: int, section: Section) -> str:
    parts = [f'<section id="section-{index}">', f"<h2>{_text(section.title)}</h2>"]
    if section.figure is not None:
        parts.append(_figure(f"figure-{index}", section.figure, section.sentence))
    elif section.sentence:
        parts.append(f'<p class="sentence">{_text(section.sentence)}</p>')
    if section.table is not None:
        parts.append(_table(section.table))
    if section.notes:
        notes = "\n".join(f"<li>{_text(note)}</li>" for note in section.notes)
        parts.append(f'<ul class="notes">\n{notes}\n</ul>')
    return "\n".join([*parts, "</section>"])


def _figure(name: str, figure: FigureData, sentence: str) -> str:
    data = dump_json(plotly_spec(figure, bare=True)).replace("<", "\\u003c")
    sentence = sentence or figure.caption
    caption = f"\n<figcaption>{_text(sentence)}</figcaption>" if sentence else ""
    label = _text(f"{figure.title}. {sentence}".strip())
    return (
        f'<figure>\n<div class="chart" role="img" aria-label="{label}" data-figure="{name}"></div>'
        f'{caption}\n<script type="application/json" id="{name}">{data}</script>\n</figure>'
    )


def _table(table: Table) -> str:
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    kinds = [' class="number"' if _are_numbers(cells) else "" for cells in columns]
    head = (
        f"<th{kind}>{_text(name)}</th>" for name, kind in zip(table.columns, kinds, strict=True)
    )
    lines = [
        "".join(f"<td{kind}>{_text(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        for row in table.rows
    ]
    rows = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{"".join(head)}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _are_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell and cell not in ("–", "not finite")]
    return (
        bool(filled)
        and all(cell[-1].isdigit() or cell[-1] in "kM)" for cell in filled)
        and all(cell.lstrip("-≤≥ ")[:1].isdigit() for cell in filled)
    )


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _inline(script: str) -> str:
    """Return a script that cannot end its element, with the line ends that a browser reads."""
    script = script.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("</(?=script)", r"<\\/", script, flags=re.IGNORECASE)


def _write(path: Path, text: str) -> Path:
    """Write the file whole or not at all."""
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise InputError(
            f"The report cannot be written to {path}: {error.strerror or error}."
        ) from None
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()
    return path
