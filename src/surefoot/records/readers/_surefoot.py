"""Read a run that RunWriter wrote: finished, crashed or still being written."""

import json
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import LogError
from surefoot.records._store import EmptyStoreError, connect, identify
from surefoot.records.curve import Curve
from surefoot.records.readers import Parts

__all__ = ["read_surefoot"]

_TRIES = 5
_PAUSE = 0.05  # seconds between two tries
# What passes when a writer begins, ends or recovers at the same moment.
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
# What SQLite says where a WAL index is needed and must not be made: a read-only folder.
_READ_ONLY = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}

_Block = tuple[int, NDArray[np.int64], NDArray[np.float64]]


def read_surefoot(path: Path) -> Parts:
    """Read the database ``path`` in one consistent state.

    Raises:
        LogError: it is damaged, foreign, of a newer format, or locked for a long time.
    """
    for left in reversed(range(_TRIES)):
        try:
            return _read(path)
        except EmptyStoreError:
            if not left:
                raise
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _READ_ONLY:
                return _read_copy(path)
            if code not in _PASSING or not left:
                raise _unreadable(path, error) from None
        time.sleep(_PAUSE)
    raise AssertionError  # pragma: no cover


def _read_copy(path: Path) -> Parts:
    """Read a copy: the folder cannot be written to and the run was not closed cleanly."""
    try:
        with tempfile.TemporaryDirectory(prefix="surefoot-") as folder:
            copy = Path(folder, path.name)
            shutil.copyfile(path, copy)
            log = path.with_name(f"{path.name}-wal")
            if log.exists():
                shutil.copyfile(log, copy.with_name(log.name))
            return _read(copy)
    except (OSError, sqlite3.Error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> LogError:
    return LogError(
        f"{path} cannot be read as a Surefoot run: {error}. If it was copied while it was "
        "written, copy the files ending in -wal with it."
    )


def _read(path: Path) -> Parts:
    with closing(connect(path, "ro", timeout=2.0)) as connection:
        connection.execute("BEGIN")  # one state for everything that follows
        identify(connection, path)
        tags = {
            key: _json(path, key, text)
            for key, text in connection.execute("SELECT key, value FROM tags ORDER BY rowid")
        }
        blocks: dict[str, list[_Block]] = {}
        rows = connection.execute(
            "SELECT session, name, count, steps, numbers FROM blocks ORDER BY id"
        )
        for session, name, count, steps, numbers in rows:
            block = (
                session,
                _unpacked(path, count, steps, "<i8"),
                _unpacked(path, count, numbers, "<f8"),
            )
            blocks.setdefault(name, []).append(block)
    notes: list[str] = []
    curves = {name: _curve(name, parts, notes) for name, parts in blocks.items()}
    return Parts(curves, tags, notes)


def _json(path: Path, key: str, text: object) -> Any:
    try:
        return json.loads(cast("str", text))
    except (TypeError, ValueError, RecursionError):
        raise LogError(f"{path} is damaged: its tag {key!r} is no JSON.") from None


def _unpacked(path: Path, count: object, blob: object, kind: str) -> NDArray[Any]:
    if not isinstance(blob, bytes) or len(blob) != 8 * cast("int", count):
        raise LogError(f"{path} is damaged: a block of values has not the size it should have.")
    return np.frombuffer(blob, dtype=kind)


def _curve(name: str, blocks: list[_Block], notes: list[str]) -> Curve:
    """Join the blocks; a session that resumed at step s replaces what stood at s and later."""
    steps = np.zeros(0, dtype=np.int64)
    values = np.zeros(0)
    for session in sorted({block[0] for block in blocks}):
        new_steps = np.concatenate([block[1] for block in blocks if block[0] == session])
        new_values = np.concatenate([block[2] for block in blocks if block[0] == session])
        keep = steps < np.min(new_steps, initial=np.iinfo(np.int64).max)
        if not np.all(keep):
            notes.append(
                f"{name}: {np.sum(~keep)} values from update {np.min(new_steps)} on were recorded "
                "again when the run was resumed; the later ones count."
            )
        steps = np.concatenate([steps[keep], new_steps])
        values = np.concatenate([values[keep], new_values])
    return Curve(steps, values)
