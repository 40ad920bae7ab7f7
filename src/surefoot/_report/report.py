"""The verb ``report``: everything below a folder in one HTML file."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from surefoot._report.build import Section, Table, write_report
from surefoot.errors import LogError, SurefootError
from surefoot.plots import (
    compare_runs,
    diagnosis_figure,
    finding_figure,
    interaction_figure,
    run_figure,
    sensitivity_figure,
)
from surefoot.plots._scale import short, span, within
from surefoot.plots.diagnosis import verdict_sentence
from surefoot.records import (
    Curve,
    Diagnosis,
    Finding,
    Interaction,
    RunLog,
    Sensitivity,
    find_runs,
    read,
)

__all__ = ["report"]

_TOGETHER = 12  # runs in one figure
_DRAWN = 60  # runs with a figure of their own; the table lists all
_HEAD, _LARGEST = 200, 2**28  # characters of a JSON document: to know it by, and at most
Document = Finding | Sensitivity | Interaction | Diagnosis
_NOUNS: dict[str, type[Document]] = {
    "Finding": Finding,
    "Sensitivity": Sensitivity,
    "Interaction": Interaction,
    "Diagnosis": Diagnosis,
}

_KEYS = {noun: re.compile(rf'\s*\{{\s*"surefoot"\s*:\s*"{noun}"') for noun in _NOUNS}

Diagnose = Callable[[RunLog], Diagnosis]


@dataclass
class _Found:
    """What lies below a folder."""

    runs: list[tuple[str, RunLog, Diagnosis | None]] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def report(
    path: str | os.PathLike[str],
    to: str | os.PathLike[str] = "report.html",
    *,
    title: str | None = None,
    diagnose: Diagnose | None = None,
) -> Path:
    """Write one HTML file about the runs and the saved results below a folder.

    Args:
        path: a folder with runs of any kind that :func:`surefoot.read` reads, and with findings,
            sensitivities, interactions and diagnoses that were saved as JSON; or one of these.
        to: the file to write; missing folders are made.
        title: of the report; None names the folder.
        diagnose: what turns a run into a diagnosis; None uses :func:`surefoot.diagnose`.

    Returns:
        The path of the file. It needs no network and no other file.

    Raises:
        LogError: there is nothing to report, or the path does not exist.
        InputError: the file cannot be written.
        MissingExtraError: Plotly is not installed.
    """
    place = Path(path)
    found = _collect(place, diagnose or _default_diagnose())
    if not found.runs and not found.documents:
        broken = f" What could not be read: {' '.join(found.notes)}" if found.notes else ""
        raise LogError(
            f"There is nothing to report in {place}: it was searched for runs (run.sqlite, "
            "TensorBoard event files, CSV logs) and for JSON documents of a Finding, a "
            f"Sensitivity, an Interaction or a Diagnosis.{broken}"
        )
    name = title or f"Report: {place.resolve().name}"
    return write_report(to, name, _sections(found), _summary(found))


def _default_diagnose() -> Diagnose:
    from surefoot._diagnose import diagnose_log

    return diagnose_log


def _collect(place: Path, diagnose: Diagnose) -> _Found:
    found = _Found()
    is_document = place.is_file() and place.suffix.lower() == ".json"
    runs = () if is_document else find_runs(place)
    for run in runs:
        name = _name(run, place)
        try:
            log = read(run)
        except SurefootError as error:
            found.notes.append(f"{name} was left out: {error}")
            continue
        found.runs.append((name, log, _diagnosed(log, diagnose, name, found.notes)))
    documents = [place] if is_document else sorted(place.rglob("*.json"))
    for document in documents:
        name = _name(document, place)
        if not name.startswith(".") and "/." not in name:
            _add_document(document, name, found)
    return found


def _diagnosed(log: RunLog, diagnose: Diagnose, name: str, notes: list[str]) -> Diagnosis | None:
    try:
        return diagnose(log)
    except SurefootError as error:
        notes.append(f"{name} could not be diagnosed: {error}")
        return None


def _add_document(path: Path, name: str, found: _Found) -> None:
    """Add the noun of a JSON document; a document of another program is passed over."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            start = file.read(_HEAD)
            noun = next((n for n, key in _KEYS.items() if key.match(start)), None)
            text = start + file.read(_LARGEST) if noun else ""
        if noun is not None:
            document = _NOUNS[noun].from_json(text)
            found.sections.append(_document_section(name, document))
            found.documents.append(document)
    except (OSError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        found.notes.append(f"{name} was left out: {error}")  # SurefootError is a ValueError here


def _name(path: Path, root: Path) -> str:
    """Return what to call a run or a document: where it lies below the folder."""
    if path == root:
        return path.resolve().name
    return path.relative_to(root).as_posix().removesuffix(".json")


def _summary(found: _Found) -> str:
    parts: list[str] = []
    if found.runs:
        judged = [diagnosis for _, _, diagnosis in found.runs if diagnosis is not None]
        healthy = sum(diagnosis.healthy for diagnosis in judged)
        parts.append(f"{_counted(len(found.runs), 'run')}, {healthy} of them healthy.")
    for document in found.documents:
        if isinstance(document, Finding):
            parts.append(f"Learning rate found{_of(document.name)}: {short(document.lr)}.")
        elif isinstance(document, Sensitivity):
            parts.append(f"Best rate of the sweep{_of(document.name)}: {_best(document)}.")
        elif isinstance(document, Interaction):
            parts.append(document.reason)
    return " ".join(parts[:6])


def _best(result: Sensitivity) -> str:
    """Return the best rate: of the fit with its interval, else of the grid."""
    fit, best = result.optimum, result.best.lr
    if fit is not None:
        ends = {"open_low": fit.open_low, "open_high": fit.open_high}
        return within(fit.lr, fit.low, fit.high, **ends)
    tried = [point.lr for point in result.points]
    if len(tried) < 2 or min(tried) < best < max(tried):
        return short(best)
    return f"{'≤' if best == min(tried) else '≥'} {short(best)}"


def _of(name: str) -> str:
    return f" for {name}" if name else ""


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _sections(found: _Found) -> list[Section]:
    sections: list[Section] = []
    if found.runs:
        sections.append(Section("All runs", table=_run_table(found)))
    sections += found.sections
    with_loss = {name: log for name, log, _ in found.runs if "loss" in log}
    if len(with_loss) > 1:
        sections.append(_together(with_loss))
    sections += [_run_section(*run) for run in found.runs[:_DRAWN]]
    notes = list(found.notes)
    if len(found.runs) > _DRAWN:
        notes.append(f"Figures are drawn for the first {_DRAWN} of {len(found.runs)} runs.")
    if notes:
        sections.append(Section("Notes", notes=tuple(notes)))
    return sections


def _document_section(name: str, document: Document) -> Section:
    if isinstance(document, Finding):
        title = f"Learning rate found{_of(document.name)}: {short(document.lr)}"
        cost = f" It cost {document.cost}."
        return Section(title, document.reason + cost, finding_figure(document))
    if isinstance(document, Sensitivity):
        title = f"Best rate{_of(document.name)}: {_best(document)}"
        cost = f" It cost {document.cost}."
        figure, engine = sensitivity_figure(document), document.engine
        notes = () if engine is None else (f"Run by {engine.backend}: {engine.reason}",)
        return Section(title, document.reason + cost, figure, _point_table(document), notes)
    if isinstance(document, Interaction):
        title = f"Best rate by {' and '.join(document.names)}{_of(document.name)}"
        cost = f" It cost {document.cost}."
        table = _cell_table(document)
        return Section(title, document.reason + cost, interaction_figure(document), table)
    figure = diagnosis_figure(document) if len(document.loss) else None
    return Section(f"{name}: {document.label}", verdict_sentence(document), figure)


def _together(logs: dict[str, RunLog]) -> Section:
    shown = dict(list(logs.items())[:_TOGETHER])
    sentence = f"The losses of {_counted(len(shown), 'run')}, smoothed."
    if len(logs) > len(shown):
        sentence = f"The first {len(shown)} of {len(logs)} runs. {sentence}"
    return Section("Runs compared", sentence, compare_runs(shown))


def _run_section(name: str, log: RunLog, diagnosis: Diagnosis | None) -> Section:
    title = name if diagnosis is None else f"{name}: {diagnosis.label}"
    if not log.names:
        return Section(title, "The run is empty.", notes=log.notes)
    figure = run_figure(log, diagnosis=diagnosis)
    sentence = figure.caption or f"The {figure.panels[0].y.label} of the run."
    return Section(title, sentence, figure, notes=log.notes)


def _run_table(found: _Found) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, log, diagnosis in found.runs:
        first, last = _ends(log.get("loss"))
        updates = "–" if log.last_step is None else str(log.last_step + 1)
        verdict = "–" if diagnosis is None else diagnosis.label
        rows.append((name, updates, first, last, verdict))
    return Table(("run", "updates", "first loss", "last loss", "verdict"), tuple(rows))


def _ends(curve: Curve | None) -> tuple[str, str]:
    if curve is None or not len(curve):
        return "–", "–"
    return short(float(curve.values[0]), 4), short(float(curve.values[-1]), 4)


def _point_table(result: Sensitivity) -> Table:
    rows = tuple(
        (
            short(point.lr),
            short(point.loss, 4),
            f"{short(point.low)} … {short(point.high)}" if math.isfinite(point.high) else "–",
            f"{point.diverged} of {point.seeds}" + _failed(point.failed),
        )
        for point in result.points
    )
    return Table(("lr", result.metric, "90 % interval", "diverged"), rows)


def _failed(count: int) -> str:
    return f", {count} raised an exception" if count else ""


def _cell_table(result: Interaction) -> Table:
    rows: list[tuple[str, ...]] = []
    for cell in result.cells:
        found, edge = cell.sensitivity, cell.sensitivity.diverges_at
        ends = {"open_low": found.basin.open_low, "open_high": found.basin.open_high}
        basin = span(found.basin.low, found.basin.high, **ends)
        settings = [str(value) for value in cell.settings.values()]
        last = "–" if edge is None else short(edge)
        rows.append((*settings, _best(found), short(found.best.loss, 4), basin, last))
    columns = (*result.names, "best lr", result.metric, "basin", "diverges from")
    return Table(columns, tuple(rows))
