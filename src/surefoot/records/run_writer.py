"""Write the curves of one run while it trains, such that a crash loses one flush at most."""

import atexit
import os
import sqlite3
import sys
import warnings
from array import array
from collections.abc import Mapping
from contextlib import suppress
from operator import index
from pathlib import Path
from threading import RLock
from time import monotonic
from typing import Any, Self, SupportsFloat, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot._base.checks import count, number
from surefoot._base.codec import dump_json
from surefoot.errors import InputError, StateError
from surefoot.records._snapshots import Snapshots, on_network
from surefoot.records._store import begin, claim, reopen

__all__ = ["RunWriter"]

_EXACT = 2**53  # whole floats below are exact
_NAME_LIMIT = 500


class RunWriter:
    """Records curves into the folder of one run; another process may read it all the while.

    Values go into memory and, every ``flush_values`` values or ``flush_seconds`` seconds, into
    the database in one transaction. A process that is killed loses what came after the last
    flush and nothing else. When the database fails (a full disk), one RuntimeWarning is given,
    further values are dropped and the training goes on. Two writers must not share one run. Where
    the folder is on a network file system the database is on a local disk, and every ten seconds,
    with :meth:`flush` and at the end a whole copy is put into the folder, for other hosts to read.

    Args:
        path: the folder of the run. When it holds a run already, a numbered sibling is made:
            ``runs/digits``, ``runs/digits-2``, …; see :attr:`path`.
        tags: what is known about the run, in JSON types.
        resume: continue the run in ``path``. Of each curve, what it recorded at or after the
            least step that is added now is replaced.
        flush_values: values to gather, ≥ 1.
        flush_seconds: seconds to gather for, ≥ 0.

    Raises:
        InputError: an argument is not allowed, or the folder cannot be made.
        LogError: there is nothing to resume, or the file there is not a Surefoot run.

    Example:
        >>> import tempfile
        >>> from surefoot.records import read
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with RunWriter(f"{folder}/digits", tags={"optimizer": "SGD"}) as writer:
        ...         for step in range(3):
        ...             writer.add("loss", step, 2.0**-step)
        ...     log = read(writer.path)
        >>> log["loss"].values.tolist(), log.tags["optimizer"]
        ([1.0, 0.5, 0.25], 'SGD')
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        tags: Mapping[str, Any] | None = None,
        resume: bool = False,
        flush_values: int = 1000,
        flush_seconds: float = 2.0,
    ) -> None:
        self._flush_values = count("flush_values", flush_values, least=1)
        self._flush_seconds = number("flush_seconds", flush_seconds)
        if self._flush_seconds < 0:
            raise InputError(f"flush_seconds must be at least 0, not {flush_seconds}.")
        self._tags = dict(_tag(key, value) for key, value in (tags or {}).items())
        self._columns: dict[str, tuple[array[int], array[float]]] = {}
        self._pending = 0
        self._failed: str | None = None
        self._unpublished: str | None = None  # why the newest copy is not in the folder
        self._closed = False
        self._lock = RLock()  # a signal handler may close us in the middle of an add
        self._process = os.getpid()
        wanted = Path(path)
        self.path = wanted if resume else claim(wanted)
        self._snapshots = Snapshots(self.path) if on_network(self.path) else None
        place = self.path if self._snapshots is None else self._snapshots.local
        try:
            self._connection = reopen(place) if resume else begin(place)
        except BaseException:
            if self._snapshots is not None:
                self._snapshots.close()
            raise
        (self._session,) = self._connection.execute(
            "SELECT 1 + coalesce(max(session), -1) FROM blocks"
        ).fetchone()
        atexit.register(self.close)  # for those who never close
        self._write()

    @property
    def failed(self) -> str | None:
        """Why recording ended early, or None while all is well."""
        return self._failed

    def add(self, name: str, step: int, value: float) -> None:
        """Record one value.

        Args:
            name: of the curve; canonical are loss, validation_loss, lr, grad_norm, update_ratio.
            step: the update, counted from 0.
            value: any number; NaN and ±inf are kept.

        Raises:
            InputError: an argument is of another type.
            StateError: the writer is closed.
        """
        try:
            # Before the buffers are touched: this may run Python code, even wait for a GPU.
            if type(step) is not int:
                step = index(step)
            if type(value) is not float:
                value = _number(value)
        except (TypeError, ValueError, RuntimeError):
            raise _refused(name, step, value) from None
        with self._lock:
            try:
                steps, values = self._columns[name]
            except (KeyError, TypeError):
                steps, values = self._column(name)
            try:
                steps.append(step)
            except OverflowError:
                raise _refused(name, step, value) from None
            values.append(value)
            self._pending += 1
            if self._pending >= self._flush_values or monotonic() >= self._flush_at:
                self._write()

    def add_row(self, step: int, values: Mapping[str, float]) -> None:
        """Record values of several curves at one step; as :meth:`add` does, and quicker.

        Args:
            step: the update, counted from 0.
            values: floats by the name of their curve.

        Raises:
            InputError: an argument is of another type.
            StateError: the writer is closed.
        """
        with self._lock:
            columns = self._columns
            for name, value in values.items():
                column = columns.get(name) or self._column(name)
                number = value if type(value) is float else _checked(name, step, value)
                try:
                    column[0].append(step)
                except (OverflowError, TypeError):
                    raise _refused(name, step, value) from None
                column[1].append(number)
            self._gathered(len(values))

    def add_many(self, name: str, steps: ArrayLike, values: ArrayLike) -> None:
        """Record n values at once.

        Args:
            name: of the curve.
            steps: n updates, whole numbers.
            values: n numbers.

        Raises:
            InputError: the two differ in length, or an argument is of another type.
            StateError: the writer is closed.
        """
        whole = _whole_numbers(steps)
        try:
            numbers = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"values must be numbers, not {values!r:.60}.") from None
        if whole.ndim != 1 or whole.shape != numbers.shape:
            raise InputError(
                f"steps and values must have one dimension and one length, not the shapes "
                f"{whole.shape} and {numbers.shape}."
            )
        with self._lock:
            column = self._column(name)
            column[0].frombytes(whole.tobytes())
            column[1].frombytes(numbers.tobytes())
            self._gathered(len(whole))

    def tag(self, key: str, value: Any) -> None:
        """Record a fact about the run, in JSON types; a later value replaces an earlier one.

        Raises:
            InputError: the key is no text or reserved, or the value cannot be written as JSON.
            StateError: the writer is closed.
        """
        with self._lock:
            self._check_open()
            self._tags.update([_tag(key, value)])
            self._gathered(1)

    def flush(self) -> None:
        """Write what was gathered; after this a reader, and a crash, finds it there.

        Raises:
            StateError: the writer is closed, or belongs to the process that forked this one.
        """
        with self._lock:
            self._check_open()
            self._write(publish=True)

    def close(self) -> None:
        """Flush and close; the run is then one plain file. Closing twice does nothing."""
        with self._lock:
            if self._closed or self._process != os.getpid():
                return
            self._closed = True
            atexit.unregister(self.close)
            try:
                self._write(publish=True)
            finally:
                self._columns = {}
                with suppress(sqlite3.Error):  # a reader has it open: it stays in WAL mode
                    self._connection.execute("PRAGMA busy_timeout = 500")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    self._connection.execute("PRAGMA journal_mode = DELETE")
                self._connection.close()
                if self._snapshots is not None and not self._unpublished:
                    self._snapshots.close()

    def forget(self, first: int) -> None:
        """Drop what was recorded at or after the step ``first``, of every curve.

        For a training that goes on from a checkpoint older than its record.

        Args:
            first: ≥ 0.
        """
        count("first", first)
        with self._lock:
            self._check_open()
            self._write()
            with self._connection as connection:
                rows = connection.execute("SELECT id, steps, numbers FROM blocks").fetchall()
                for row, steps, numbers in rows:
                    keep = np.frombuffer(steps, "<i8") < first
                    kept = np.frombuffer(steps, "<i8")[keep], np.frombuffer(numbers, "<f8")[keep]
                    connection.execute(
                        "UPDATE blocks SET count = ?, steps = ?, numbers = ? WHERE id = ?",
                        (len(kept[0]), kept[0].tobytes(), kept[1].tobytes(), row),
                    )
                connection.execute("DELETE FROM blocks WHERE count = 0")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "failed" if self._failed else "open"
        return f"RunWriter({str(self.path)!r}, {state})"

    def _check_open(self) -> None:
        if self._closed:
            raise StateError(
                f"The writer of {self.path} is closed; open it again with resume=True."
            )

    def _gathered(self, number: int) -> None:
        """Count what was gathered and write it when that is due; :meth:`add` has this inline."""
        self._pending += number
        if self._pending >= self._flush_values or monotonic() >= self._flush_at:
            self._write()

    def _column(self, name: object) -> "tuple[array[int], array[float]]":
        """Return the buffers of a curve; adding to a closed writer ends here too."""
        self._check_open()
        return self._columns.setdefault(
            _text("The name of a curve", name), (array("q"), array("d"))
        )

    def _write(self, *, publish: bool = False) -> None:
        """Write and forget what was gathered. The lock is held, or nobody else is there yet."""
        if self._process != os.getpid():
            raise StateError(
                f"The writer of {self.path} belongs to the process that forked this one; "
                "open a RunWriter in each process."
            )
        self._flush_at = monotonic() + self._flush_seconds
        failure = None if self._failed else self._commit()
        self._tags.clear()
        for steps, values in self._columns.values():
            written = len(values)  # a step whose value is just coming stays
            del steps[:written], values[:written]
        self._pending = 0
        if self._snapshots is not None and not self._failed:
            self._publish(self._snapshots, now=publish)
        if failure:
            self._failed = failure
            warnings.warn(
                f"Recording to {self.path} ended: {failure}. The training goes on; what comes "
                "from here on is not recorded. Make room or choose another folder.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _publish(self, snapshots: Snapshots, *, now: bool) -> None:
        """Put a copy into the folder; where that fails, warn once and try again the next time."""
        before = self._unpublished
        wrong = snapshots.publish(self._connection, now=now or before is not None)
        self._unpublished = wrong
        if wrong and not before:
            warnings.warn(
                f"{self.path} is out of reach: {wrong}. Recording goes on in {snapshots.local}, "
                "which is kept if it stays so.",
                RuntimeWarning,
                stacklevel=4,
            )

    def _commit(self) -> str | None:
        """Write what was gathered in one transaction; return what went wrong."""
        rows = [
            (self._session, name, len(values), _packed(steps[: len(values)]), _packed(values))
            for name, (steps, values) in self._columns.items()
            if values
        ]
        if not rows and not self._tags:
            return None
        try:
            with self._connection as connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO tags VALUES (?, ?)", self._tags.items()
                )
                connection.executemany(
                    "INSERT INTO blocks (session, name, count, steps, numbers) "
                    "VALUES (?, ?, ?, ?, ?)",
                    rows,
                )
        except sqlite3.Error as error:
            return str(error)
        return None


def _checked(name: object, step: object, value: object) -> float:
    try:
        return _number(value)
    except (TypeError, ValueError, RuntimeError):
        raise _refused(name, step, value) from None


def _number(value: object) -> float:
    """Return any number as a float; text is refused, even if it spells one."""
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError
    return float(cast("SupportsFloat", value))


def _refused(name: object, step: object, value: object) -> InputError:
    return InputError(
        f"{name!r:.60} needs a whole number of 64 bits as step and one number as value, not "
        f"{step!r:.60} and {value!r:.60}."
    )


def _packed(column: "array[int] | array[float]") -> bytes:
    """Return the column as little-endian bytes."""
    if sys.byteorder == "big":  # pragma: no cover
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _text(what: str, text: object) -> str:
    """Return ``text`` if the database can hold it as a name."""
    if not isinstance(text, str) or not 0 < len(text) <= _NAME_LIMIT:
        raise InputError(f"{what} must be 1 to {_NAME_LIMIT} characters of text, not {text!r:.60}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} must be valid Unicode, not {text!r:.60}.") from None
    return text


def _tag(key: object, value: object) -> tuple[str, str]:
    """Return the tag as it is stored."""
    name = _text("The key of a tag", key)
    if name == "names":
        raise InputError("The tag 'names' is kept for the names of curves; choose another key.")
    return name, dump_json(value)


def _whole_numbers(steps: ArrayLike) -> NDArray[np.int64]:
    """Return the steps as int64; floats are fine when they are whole, as those of a Curve are."""
    given = np.asarray(steps)
    if given.dtype.kind in "iu" and not np.any(given > np.iinfo(np.int64).max):
        return given.astype(np.int64)
    if (
        given.dtype.kind == "f"
        and np.all(np.abs(given) < _EXACT)
        and np.all(given == given.round())
    ):
        return given.astype(np.int64)
    raise InputError(f"steps must be whole numbers of 64 bits, not {steps!r:.60}.")
