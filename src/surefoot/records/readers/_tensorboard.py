"""Read the scalars of TensorBoard event files, without TensorBoard or protobuf.

A file is a sequence of records: length (uint64), masked CRC of the length, data, masked CRC of
the data. The data is an ``Event`` message: wall_time = 1, step = 2, summary = 5, session_log = 7.
"""

import os
import re
import struct
from array import array
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import cast

import numpy as np

from surefoot.errors import LogError
from surefoot.records.curve import Curve
from surefoot.records.readers import Parts
from surefoot.records.readers._crc import masked_crc, masked_crcs
from surefoot.records.readers._protobuf import BYTES, FIXED32, VARINT, fields, signed, varint
from surefoot.records.readers._sessions import Session, joined, limits
from surefoot.records.readers._tensor import tensor_scalar

__all__ = ["event_files", "is_event_file_name", "looks_like_events", "read_tensorboard"]

_CHUNK = 1 << 22  # bytes read at once
_HEADER = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_FRAME = _HEADER.size + _TAIL.size
_FLOAT = struct.Struct("<f")
_FLOAT_KEY = b"\x15"  # Value.simple_value: field 2, four bytes
_START = 1  # SessionLog.status


def is_event_file_name(name: str) -> bool:
    """Tell whether a file of this name is one of TensorBoard's."""
    return "tfevents" in name


def event_files(folder: Path) -> list[Path]:
    """Return the event files in the folder, the oldest first."""

    def age(path: Path) -> tuple[int, str]:
        found = re.search(r"tfevents\.(\d{1,18})", path.name)
        return (int(found[1]) if found else 0, path.name)

    files = [path for path in folder.iterdir() if is_event_file_name(path.name) and path.is_file()]
    return sorted(files, key=age)


def looks_like_events(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is made of records."""
    if len(head) < _HEADER.size:
        return False
    return _HEADER.unpack_from(head)[1] == masked_crc(head[:8])


def read_tensorboard(files: list[Path]) -> Parts:
    """Read the scalars of event files as one run; everything else in them is passed over.

    Raises:
        LogError: no file holds a record.
    """
    scalars = _Scalars()
    notes: list[str] = []
    records = 0
    for file in files:
        damaged = 0
        with file.open("rb") as stream:
            for record in _records(stream, file.name, notes):
                records += 1
                if record is None or not scalars.take(record):
                    damaged += 1
        if damaged:
            notes.append(
                f"{file.name}: skipped {damaged} damaged record{'s' if damaged > 1 else ''}."
            )
    if not records:
        reason = notes[0] if notes else "It is empty, or was cut off in its first record."
        raise LogError(
            f"{files[0]} holds no TensorBoard record. {reason} Give a file that a SummaryWriter "
            "wrote and flushed."
        )
    return Parts(scalars.curves(), {}, notes)


def _records(stream: BufferedReader, name: str, notes: list[str]) -> Iterator[bytes | None]:
    """Yield the data of each record, None for a damaged one; stop where no record can be found.

    A record that is cut off by the end of the file is normal: somebody is writing it.
    """
    left = os.fstat(stream.fileno()).st_size
    lengths: dict[int, int] = {}  # length → its masked CRC; there are few different ones
    data = b""
    missing = 0  # bytes of the record that the last chunk cut off
    while left and missing <= left:
        more = stream.read(min(left, max(_CHUNK, missing)))
        if not more:
            return
        data += more
        left -= len(more)
        ranges: list[tuple[int, int]] = []
        position = missing = 0
        while len(data) - position >= _HEADER.size:
            length, check = _HEADER.unpack_from(data, position)
            if length not in lengths:
                lengths[length] = masked_crc(data[position : position + 8])
            if lengths[length] != check:
                yield from _checked(data, ranges)
                rest = left + len(data) - position
                notes.append(f"{name}: stopped at a damaged record, {rest} bytes before its end.")
                return
            missing = length + _FRAME - (len(data) - position)
            if missing > 0:
                break
            start = position + _HEADER.size
            ranges.append((start, start + length))
            position += length + _FRAME
        yield from _checked(data, ranges)
        data = data[position:]


def _checked(data: bytes, ranges: list[tuple[int, int]]) -> Iterator[bytes | None]:
    ranges = [(start, stop) for start, stop in ranges if stop > start]
    if not ranges:
        return
    for (start, stop), crc in zip(ranges, masked_crcs(data, ranges), strict=True):
        yield data[start:stop] if _TAIL.unpack_from(data, stop)[0] == crc else None


_Column = tuple["array[int]", "array[float]"]
_Columns = dict[str, _Column]


class _Scalars:
    """Gathers (step, value) by tag from event messages."""

    def __init__(self) -> None:
        self._columns: _Columns = {}
        # Summaries of one plain scalar differ in their last four bytes only: what stands before
        # those → the columns of the tag.
        self._known: dict[bytes, _Column] = {}
        self._plugins: dict[bytes, bytes] = {}
        # The step at which each session started, and what it recorded; the last one is going on.
        self._sessions: list[tuple[int, _Columns]] = [(0, self._columns)]

    def take(self, event: bytes) -> bool:
        """Take the scalars of one event; False if it is no message."""
        try:
            if event[:1] == b"\x09" and event[9:10] == b"\x10":  # wall_time, step, then the summary
                step, position = varint(event, 10)
                column = self._known.get(event[position:-4]) or self._learn(event[position:])
                if column is not None:
                    column[0].append(signed(step))
                    column[1].append(_FLOAT.unpack_from(event, len(event) - 4)[0])
                    return True
            self._take_event(event)
        except (ValueError, IndexError):
            return False
        return True

    def curves(self) -> dict[str, Curve]:
        """Return what was gathered; a restart at step s replaces what stood at s and later."""
        sessions: dict[str, list[Session]] = {}
        starts = [start for start, _ in self._sessions]
        for limit, (_, columns) in zip(limits(starts), self._sessions, strict=True):
            for tag, (steps, values) in columns.items():
                session = (limit, np.array(steps, np.int64), np.array(values, np.float64))
                sessions.setdefault(tag, []).append(session)
        return {tag: joined(parts) for tag, parts in sessions.items()}

    def _column(self, tag: bytes) -> _Column:
        name = tag.decode("utf-8", "replace")
        return self._columns.setdefault(name, (array("q"), array("d")))

    def _learn(self, rest: bytes) -> _Column | None:
        """Return the columns if ``rest`` is one summary of one plain scalar, and remember it."""
        if rest[-5:-4] != _FLOAT_KEY:
            return None
        layout = [(5, BYTES), (1, BYTES)]
        message: int | bytes = rest
        for expected in layout:
            found = list(fields(cast("bytes", message)))
            if [field[:2] for field in found] != [expected]:
                return None
            message = found[0][2]
        found = list(fields(cast("bytes", message)))
        if [field[:2] for field in found] != [(1, BYTES), (2, FIXED32)]:
            return None
        column = self._column(cast("bytes", found[0][2]))
        self._known[rest[:-4]] = column
        return column

    def _take_event(self, event: bytes) -> None:
        step = 0
        summaries: list[bytes] = []
        restart = False
        for number, wire, value in fields(event):
            if (number, wire) == (2, VARINT):
                step = signed(cast("int", value))
            elif (number, wire) == (5, BYTES):
                summaries.append(cast("bytes", value))
            elif (number, wire) == (7, BYTES):
                restart = (1, VARINT, _START) in fields(cast("bytes", value))
        if restart:
            self._restart(step)
        for summary in summaries:
            for number, wire, value in fields(summary):
                if (number, wire) == (1, BYTES):
                    self._take_value(step, cast("bytes", value))

    def _restart(self, step: int) -> None:
        """Begin a session: what earlier ones recorded at ``step`` and later is void."""
        start, columns = self._sessions[-1]
        if columns:
            self._columns, self._known = {}, {}
            self._sessions.append((step, self._columns))
        else:
            self._sessions[-1] = min(start, step), columns

    def _take_value(self, step: int, message: bytes) -> None:
        tag = b""
        scalar: float | None = None
        for number, wire, value in fields(message):
            if wire == BYTES and number == 1:
                tag = cast("bytes", value)
            elif wire == FIXED32 and number == 2:
                (scalar,) = _FLOAT.unpack(cast("bytes", value))
            elif wire == BYTES and number == 8:
                scalar = tensor_scalar(cast("bytes", value))
            elif wire == BYTES and number == 9:
                self._plugins[tag] = _plugin(cast("bytes", value))
        if scalar is not None and self._plugins.get(tag, b"scalars") == b"scalars":
            steps, values = self._column(tag)
            steps.append(step)
            values.append(scalar)


def _plugin(metadata: bytes) -> bytes:
    """Return the name of the plugin that a value is meant for."""
    for number, wire, value in fields(metadata):
        if (number, wire) == (1, BYTES):
            for inner, inner_wire, name in fields(cast("bytes", value)):
                if (inner, inner_wire) == (1, BYTES):
                    return cast("bytes", name)
    return b"scalars"
