"""Open any log: find out by its content what it is, and read it."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from surefoot.errors import InputError, LogError
from surefoot.records._store import DATABASE
from surefoot.records._tags import canonical_names
from surefoot.records.readers import Parts
from surefoot.records.readers._csv import is_csv_log, looks_like_csv, read_csv
from surefoot.records.readers._surefoot import read_surefoot
from surefoot.records.readers._tensorboard import (
    event_files,
    is_event_file_name,
    looks_like_events,
    read_tensorboard,
)
from surefoot.records.run_log import RunLog

__all__ = ["find_runs", "read"]

METRICS = "metrics.csv"
ALLOWED = (
    f"a Surefoot run ({DATABASE}), a TensorBoard folder or file (events.out.tfevents.*), or a CSV "
    f"file with a header (a folder may hold it as {METRICS})"
)
_SQLITE = b"SQLite format 3\0"
_DEPTH = 12


def read(path: str | os.PathLike[str], *, name: str | None = None) -> RunLog:
    r"""Read the log of one run, finished or still being written.

    Args:
        path: the folder of a run, its ``run.sqlite``, a folder with TensorBoard event files or
            one such file, a ``.csv`` file or a folder with a ``metrics.csv``.
        name: what to call the run; None takes it from the path.

    Returns:
        The curves under canonical names where those are recognised (``train/loss`` is ``loss``);
        ``log.tags["names"]`` gives the recorded names, ``log.notes`` what was left out.

    Raises:
        LogError: there is nothing, it is of no known kind, or it is damaged.

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
    chosen = canonical_names(curves)
    renamed = {recorded: canonical for canonical, recorded in chosen.items()}
    names = {canonical: recorded for canonical, recorded in chosen.items() if canonical != recorded}
    return RunLog(
        name=_run_name(place) if name is None else name,
        curves={renamed.get(recorded, recorded): curve for recorded, curve in curves.items()},
        tags={**tags, "names": names} if names else tags,
        source=str(path),
        notes=tuple(notes),
    )


def find_runs(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return every run in and below a folder, sorted.

    A folder with a ``run.sqlite``, with TensorBoard event files or with a ``metrics.csv`` is one
    run. Elsewhere each CSV file is one whose header has a step column or a loss. Hidden folders
    and folders that cannot be read are passed over; links are followed once.

    Args:
        path: a folder; the path of one file is returned as it is.

    Raises:
        LogError: the path does not exist.
    """
    place = _existing(path)
    if not place.is_dir():
        return (place,)
    return tuple(sorted(_walk(place, set(), _DEPTH)))


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
        if full.name in (DATABASE, METRICS) or is_event_file_name(full.name)
        else full.stem
    )


def _folder_reader(folder: Path) -> Callable[[], Parts]:
    if (folder / DATABASE).exists():
        return lambda: read_surefoot(folder / DATABASE)
    events = event_files(folder)
    if events:
        return lambda: read_tensorboard(events)
    if (folder / METRICS).is_file():
        return lambda: read_csv(folder / METRICS)
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
    if looks_like_csv(file, head):
        return lambda: read_csv(file)
    raise LogError(f"{file} is of no kind that Surefoot reads; a log is {ALLOWED}.")


def _walk(folder: Path, seen: set[tuple[int, int]], depth: int) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError:
        return
    key = (status.st_dev, status.st_ino)
    if key in seen or not depth:
        return
    seen.add(key)
    names = {entry.name for entry in entries}
    if names & {DATABASE, METRICS} or any(is_event_file_name(name) for name in names):
        yield folder
    else:
        yield from (
            entry for entry in entries if entry.suffix.lower() == ".csv" and is_csv_log(entry)
        )
    for entry in entries:
        if not entry.name.startswith(".") and entry.is_dir():
            yield from _walk(entry, seen, depth - 1)
