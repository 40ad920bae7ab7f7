"""Read a run that RunWriter wrote: finished, crashed or still being written."""

import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import LogError
from surefoot.records._lazy import LazyCurves
from surefoot.records._store import EmptyStoreError, connect, identify
from surefoot.records.curve import Curve
from surefoot.records.readers import Parts
from surefoot.records.readers._sessions import joined, limits

__all__ = ["read_surefoot"]

_TRIES = 5
_PAUSE = 0.05  # seconds between two tries
# What passes when a writer begins, ends or recovers at the same moment.
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
# What SQLite says where a WAL index is needed and must not be made: a read-only folder.
_READ_ONLY = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}

_Block = tuple[NDArray[np.int64], NDArray[np.float64]]


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
        except UnicodeDecodeError as error:
            raise _unreadable(path, error) from None
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
    except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> LogError:
    return LogError(
        f"{path} cannot be read as a Surefoot run: {error}. It is damaged or of another kind; if "
        "it was copied while it was written, copy the file ending in -wal with it."
    )


def _read(path: Path) -> Parts:
    with closing(connect(path, "ro", timeout=2.0)) as connection:
        connection.execute("BEGIN")  # one state for everything that follows
        identify(connection, path)
        tags = dict(
            _tag(path, key, text)
            for key, text in connection.execute("SELECT key, value FROM tags ORDER BY rowid")
        )
        curves: dict[str, dict[int, list[_Block]]] = {}
        rows = connection.execute(
            "SELECT session, name, count, steps, numbers FROM blocks ORDER BY session, id"
        )
        for session, name, count, steps, numbers in rows:
            block = _block(path, count, steps, numbers)
            if not isinstance(name, str):
                raise _damaged(path)
            curves.setdefault(name, {}).setdefault(session, []).append(block)
    notes: list[str] = []
    makers = {name: _maker(name, list(blocks.values()), notes) for name, blocks in curves.items()}
    return Parts(LazyCurves(makers), tags, notes)


def _damaged(path: Path) -> LogError:
    return LogError(f"{path} is damaged: a row does not hold what it should. Use a copy of it.")


def _tag(path: Path, key: object, text: object) -> tuple[str, Any]:
    if not isinstance(key, str) or not isinstance(text, str):
        raise _damaged(path)
    try:
        return key, json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path) from None


def _block(path: Path, count: object, steps: object, numbers: object) -> _Block:
    for blob in (steps, numbers):
        if not isinstance(blob, bytes) or not isinstance(count, int) or len(blob) != 8 * count:
            raise _damaged(path)
    return (
        np.frombuffer(cast("bytes", steps), dtype="<i8"),
        np.frombuffer(cast("bytes", numbers), dtype="<f8"),
    )


def _maker(name: str, blocks: list[list[_Block]], notes: list[str]) -> Callable[[], Curve]:
    """Return what joins the blocks of a curve; several sessions are joined at once."""
    if len(blocks) == 1:
        (only,) = blocks
        return lambda: Curve(*(np.concatenate(parts) for parts in zip(*only, strict=True)))
    curve = _curve(name, blocks, notes)
    return lambda: curve


def _curve(name: str, blocks: list[list[_Block]], notes: list[str]) -> Curve:
    """Join the blocks of each session, and the sessions."""
    steps = [np.concatenate([block[0] for block in session]) for session in blocks]
    values = [np.concatenate([block[1] for block in session]) for session in blocks]
    starts = [int(np.min(step, initial=np.iinfo(np.int64).max)) for step in steps]
    curve = joined([*zip(limits(starts), steps, values, strict=True)])
    replaced = sum(map(len, steps)) - len(curve)
    if replaced:
        notes.append(
            f"{name}: {replaced} values were recorded again after the run was resumed; "
            "the later ones count."
        )
    return curve
