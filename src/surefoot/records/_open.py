"""Open any log: find out by its content what it is, and read it."""

import difflib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

from surefoot.errors import InputError, LogError
from surefoot.records._lazy import LazyCurves
from surefoot.records._store import DATABASE
from surefoot.records._tags import CANONICAL, canonical_names
from surefoot.records.curve import Curve
from surefoot.records.readers import Parts
from surefoot.records.readers._csv import is_csv_log, looks_like_csv, read_csv
from surefoot.records.readers._json import (
    is_json_log,
    looks_like_json,
    read_json,
    read_trainer_state,
)
from surefoot.records.readers._mlflow import is_mlflow_run, read_mlflow
from surefoot.records.readers._surefoot import read_surefoot
from surefoot.records.readers._tensorboard import (
    event_files,
    is_event_file_name,
    looks_like_events,
    read_tensorboard,
)
from surefoot.records.readers._wandb import looks_like_wandb, read_wandb, wandb_file
from surefoot.records.run_log import RunLog

__all__ = ["find_runs", "read"]

METRICS = "metrics.csv"
TRAINER_STATE = "trainer_state.json"
ALLOWED = (
    f"a Surefoot run ({DATABASE}), a TensorBoard folder or file (events.out.tfevents.*), a W&B run "
    f"(run-*.wandb), an MLflow run (meta.yaml and metrics/), Hugging Face's {TRAINER_STATE}, a "
    "Keras History as JSON, JSON lines, or a CSV file with a header (a folder may hold it as "
    f"{METRICS})"
)
_SQLITE = b"SQLite format 3\0"
_DEPTH = 12
_FILES = {".csv": is_csv_log, ".jsonl": is_json_log, ".ndjson": is_json_log, ".json": is_json_log}
"""Files that are runs by themselves, by their ending, where they hold a log."""


def read(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    names: Mapping[str, str] | None = None,
) -> RunLog:
    r"""Read the log of one run, finished or still being written.

    Args:
        path: a run of Surefoot, TensorBoard, W&B (offline), MLflow (files), Lightning, Keras or
            Hugging Face: its folder or file; or any CSV or JSON lines.
        name: what to call the run; None takes it from the path.
        names: which recorded name is which curve, ``{"loss": "my/odd/tag"}``, where it is not
            recognised, or wrongly.

    Returns:
        The curves under canonical names where those are recognised (``train/loss`` is ``loss``);
        ``log.tags["names"]`` gives the recorded names, ``log.notes`` what was left out.

    Raises:
        LogError: there is nothing, it is of no known kind, or it is damaged.
        InputError: ``names`` holds a name that was not recorded, or misspells a canonical one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "digits.csv")
        ...     _ = path.write_text("step,train/loss,lr\n0,2.3,0.1\n1,1.9,0.1\n")
        ...     log = read(path)
        >>> log.name, log.names, log["loss"].values.tolist(), log.tags["names"]
        ('digits', ('loss', 'lr'), [2.3, 1.9], {'loss': 'train/loss'})
    """
    place = _existing(path)
    try:
        parts = _folder_reader(place) if place.is_dir() else _file_reader(place)
        curves, tags, notes = parts()
    except OSError as error:
        raise LogError(f"{place} cannot be read: {error.strerror or error}.") from None
    chosen = {**canonical_names(curves), **_mapped(names or {}, curves)}
    called = {recorded: canonical for canonical, recorded in chosen.items()}
    pairs = [(called.get(recorded, recorded), recorded) for recorded in curves]
    told = {canonical: recorded for canonical, recorded in chosen.items() if canonical != recorded}
    return RunLog(
        name=_run_name(place) if name is None else name,
        curves=curves.chosen(pairs)
        if isinstance(curves, LazyCurves)
        else {ours: curves[recorded] for ours, recorded in pairs},
        tags={**tags, "names": told} if told else tags,
        source=str(path),
        notes=tuple(notes),
    )


def find_runs(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return every run in and below a folder, sorted.

    A folder is one run if it holds a ``run.sqlite``, TensorBoard event files, a ``run-*.wandb``, a
    ``metrics.csv``, a ``trainer_state.json`` (checkpoints of one training are one run) or is a run
    of MLflow's file store. Elsewhere each CSV or JSON file is one that holds a step or a loss.
    Hidden folders and folders that cannot be read are passed over; links are followed once.

    Args:
        path: a folder; the path of one file is returned as it is.

    Raises:
        LogError: the path does not exist.
    """
    place = _existing(path)
    if not place.is_dir():
        return (place,)
    return tuple(sorted(_walk(place, set(), _DEPTH)))


def _mapped(names: Mapping[str, str], curves: Mapping[str, Curve]) -> dict[str, str]:
    """Return ``names`` if these were recorded."""
    for canonical, recorded in names.items():
        meant = difflib.get_close_matches(str(canonical), CANONICAL, n=1, cutoff=0.85)
        if meant and canonical not in CANONICAL:
            raise InputError(f"names: {canonical!r:.60} is no curve; did you mean {meant[0]!r}?")
        if recorded not in curves:
            near = difflib.get_close_matches(str(recorded), curves, n=3, cutoff=0.3)
            listed = ", ".join(repr(each)[:60] for each in (near or list(curves)[:10]))
            raise InputError(
                f"names: there is no {recorded!r:.60} to be taken as {canonical!r:.60}; there is "
                f"{listed or 'nothing'}."
            )
    return dict(names)


def _existing(path: object) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"path must be text or a Path, not {path!r:.60}.")
    place = Path(os.fspath(cast("os.PathLike[str]", path)))
    try:
        kind = place.stat().st_mode
    except (OSError, ValueError) as error:
        reason = (
            "does not exist"
            if isinstance(error, FileNotFoundError)
            else f"is out of reach ({error})"
        )
        raise LogError(f"{place} {reason}; a log is {ALLOWED}.") from None
    if not stat.S_ISDIR(kind) and not stat.S_ISREG(kind):
        raise LogError(f"{place} is neither a folder nor a file; a log is {ALLOWED}.")
    return place


def _run_name(place: Path) -> str:
    full = place.resolve()
    if place.is_dir():
        return full.name or str(full)
    return (
        full.parent.name
        if full.name in (DATABASE, METRICS, TRAINER_STATE) or is_event_file_name(full.name)
        else full.stem
    )


def _reader_in(folder: Path) -> Callable[[], Parts] | None:
    """Return what reads the folder as one run, or None if it is not one."""
    if (folder / DATABASE).exists():
        return lambda: read_surefoot(folder / DATABASE)
    if events := event_files(folder):
        return lambda: read_tensorboard(events)
    if (offline := wandb_file(folder)) is not None:
        return lambda: read_wandb(offline)
    if (folder / METRICS).is_file():
        return lambda: read_csv(folder / METRICS)
    if (state := _trainer_state(folder)) is not None:
        return lambda: read_trainer_state(state)
    if is_mlflow_run(folder):
        return lambda: read_mlflow(folder)
    return None


def _folder_reader(folder: Path) -> Callable[[], Parts]:
    reader = _reader_in(folder)
    if reader is not None:
        return reader
    below = find_runs(folder)
    hint = (
        f"It holds {len(below)} below: read one of them, such as {below[0]}"
        if below
        else f"Looked for {ALLOWED}"
    )
    raise LogError(f"{folder} is not the folder of one run. {hint}.")


def _file_reader(file: Path) -> Callable[[], Parts]:
    if file.name == DATABASE:  # not opened here: closing it would drop the locks of our own writer
        return lambda: read_surefoot(file)
    if not file.stat().st_size:
        raise LogError(f"{file} is empty; a log is {ALLOWED}.")
    with file.open("rb") as stream:
        head = stream.read(4096)
    if head.startswith(_SQLITE):
        return lambda: read_surefoot(file)
    if is_event_file_name(file.name) or looks_like_events(head):
        return lambda: read_tensorboard([file])
    if looks_like_wandb(head):
        return lambda: read_wandb(file)
    if looks_like_json(head) and file.suffix.lower() not in (".csv", ".tsv"):
        return lambda: read_json(file)
    if looks_like_csv(file, head):
        return lambda: read_csv(file)
    raise LogError(f"{file} is of no kind that Surefoot reads; a log is {ALLOWED}.")


def _trainer_state(folder: Path) -> Path | None:
    """Return the state of Hugging Face's Trainer with the longest history, or None."""
    own = folder / TRAINER_STATE
    if own.is_file():
        return own
    kept = [
        (int(number), state)
        for state in folder.glob(f"checkpoint-*/{TRAINER_STATE}")
        if (number := state.parent.name.rpartition("-")[2]).isdecimal() and len(number) < 19
    ]
    return max(kept)[1] if kept else None


def _walk(folder: Path, seen: set[tuple[int, int]], depth: int) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_symlink(), entry.name))
        key = (status.st_dev, status.st_ino)
        if key in seen or not depth:
            return
        seen.add(key)
        is_run = _reader_in(folder) is not None
    except OSError:
        return
    if is_run:
        yield folder
    else:
        for entry in entries:
            holds_log = _FILES.get(entry.suffix.lower())
            if holds_log is not None and entry.is_file() and holds_log(entry):
                yield entry
    inside = _trainer_state(folder) is not None or is_mlflow_run(folder)
    for entry in entries:
        own = is_run and inside and (entry.name.startswith("checkpoint-") or is_mlflow_run(folder))
        if not entry.name.startswith(".") and entry.is_dir() and not own:
            yield from _walk(entry, seen, depth - 1)
