"""The run database: one SQLite file, its tables, and how it is made, opened and recognised."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from surefoot.errors import InputError, LogError

__all__ = ["DATABASE", "EmptyStoreError", "begin", "claim", "connect", "identify", "reopen"]

DATABASE = "run.sqlite"
FORMAT = 1
_WAIT = 10.0  # seconds that a writer waits for another process before it gives up
_APPLICATION = 0x53464F54  # "SFOT", at byte 68 of the file
_TABLES = {
    "tags": "CREATE TABLE tags (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "blocks": (
        "CREATE TABLE blocks (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, "
        "name TEXT NOT NULL, count INTEGER NOT NULL, steps BLOB NOT NULL, numbers BLOB NOT NULL)"
    ),
}


class EmptyStoreError(LogError):
    """The database holds nothing yet: its writer has just begun, or died at once."""


def connect(path: Path, mode: str, *, timeout: float) -> sqlite3.Connection:
    """Open an existing database.

    Args:
        path: the file; spaces and every other character are allowed.
        mode: ``"ro"`` or ``"rw"``; neither creates a file.
        timeout: seconds to wait for another process that holds a lock.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, check_same_thread=False)


def claim(folder: Path) -> Path:
    """Take a folder for a new run, against every other process, and return it.

    The folder itself is taken where it holds no run yet, else the first of ``folder-2``,
    ``folder-3``, … that does not exist.

    Raises:
        InputError: no folder can be made there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _claim_file(folder):
            return folder
        named = folder.resolve() if folder.name in ("", "..") else folder
        for number in count(2):
            sibling = named.with_name(f"{named.name}-{number}")
            with suppress(FileExistsError):
                sibling.mkdir()
                if _claim_file(sibling):
                    return sibling
    except OSError as error:
        raise InputError(
            f"A run cannot be written to {folder}: {error.strerror}. Give another folder."
        ) from None
    raise AssertionError  # pragma: no cover


def _claim_file(folder: Path) -> bool:
    """Make the empty database file; False where somebody has made it before."""
    try:
        os.close(os.open(folder / DATABASE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    return True


def begin(folder: Path) -> sqlite3.Connection:
    """Make the tables in a claimed folder, all or nothing, and return a writer's connection.

    Raises:
        InputError: SQLite cannot write there.
    """
    path = folder / DATABASE
    try:
        return _prepared(path, _make_tables)
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be written: {error}. Give another folder.") from None


def reopen(folder: Path) -> sqlite3.Connection:
    """Return a writer's connection to the run in ``folder``.

    Raises:
        LogError: there is none, it is another program's, or it is damaged.
    """
    path = folder / DATABASE
    if not path.is_file():
        raise LogError(
            f"There is no run to resume in {folder}: it has no {DATABASE}. Give the folder of a "
            "run, or leave out resume=True to begin one."
        )
    try:
        return _prepared(path, lambda connection: identify(connection, path))
    except sqlite3.Error as error:
        raise LogError(f"{path} cannot be resumed: {error}. Begin a new run.") from None


def _prepared(path: Path, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """Return a writer's connection after ``prepare``; closed again if anything fails."""
    connection = connect(path, "rw", timeout=_WAIT)
    try:
        prepare(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"BEGIN; {';'.join(_TABLES.values())}; PRAGMA application_id = {_APPLICATION}; "
        f"PRAGMA user_version = {FORMAT}; COMMIT;"
    )


def identify(connection: sqlite3.Connection, path: Path) -> None:
    """Check that this is a run that we can read.

    Raises:
        EmptyStoreError: nothing was written yet.
        LogError: another program's database, or a newer format of ours.
    """
    # Whatever the schema of a foreign file says, none of its code runs.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not tables and not application:
        raise EmptyStoreError(
            f"{path} is an empty run: the training that began it stopped before it wrote anything. "
            "Begin a run elsewhere, or delete this folder."
        )
    if application != _APPLICATION:
        raise LogError(
            f"{path} is an SQLite database of another program, not a Surefoot run. "
            "Give the folder of a run, or export the values as CSV."
        )
    if version > FORMAT:
        raise LogError(
            f"{path} has format {version}; this Surefoot reads formats up to {FORMAT}: "
            "update Surefoot (pip install --upgrade surefoot)."
        )
    if version != FORMAT or tables != _TABLES:
        raise LogError(
            f"{path} is damaged: its tables are not those of a Surefoot run. Use a copy of it."
        )
