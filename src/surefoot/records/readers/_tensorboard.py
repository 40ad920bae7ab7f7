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
from numpy.typing import NDArray

from surefoot.errors import LogError
from surefoot.records.curve import Curve
from surefoot.records.readers import Parts
from surefoot.records.readers._alike import taken_apart
from surefoot.records.readers._crc import masked_crc, masked_crcs
from surefoot.records.readers._protobuf import BYTES, FIXED32, VARINT, fields, signed
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
_WINDOW = 1 << 12
"""Bytes that are first looked through for the next record behind a damaged one."""


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
            for data, ranges, wrong in _chunks(stream, file.name, notes):
                records += len(ranges) + wrong
                damaged += wrong + scalars.take_all(data, ranges)
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


def _chunks(
    stream: BufferedReader, name: str, notes: list[str]
) -> Iterator[tuple[bytes, list[tuple[int, int]], int]]:
    """Yield bytes, where in them the data of whole records lie, and how many more are damaged.

    A record that is cut off by the end of the file is normal: somebody is writing it. Where a
    length is damaged, the next header whose check fits is looked for.
    """
    left = os.fstat(stream.fileno()).st_size
    lengths: dict[int, int] = {}  # length → its masked CRC; there are few different ones
    data = b""
    missing = 0  # bytes of the record that the last chunk cut off
    skipped, lost = 0, False
    while left and missing <= left:
        more = stream.read(min(left, max(_CHUNK, missing)))
        if not more:
            break
        data += more
        left -= len(more)
        ranges: list[tuple[int, int]] = []
        position = missing = 0
        while len(data) - position >= _HEADER.size:
            length, check = _HEADER.unpack_from(data, position)
            if length not in lengths:
                lengths[length] = masked_crc(data[position : position + 8])
            if lengths[length] != check:
                found = _next_header(data, position + 1)
                skipped += found - position
                position = found
                lost = True
                continue
            lost = False
            missing = length + _FRAME - (len(data) - position)
            if missing > 0:
                break
            start = position + _HEADER.size
            ranges.append((start, start + length))
            position += length + _FRAME
        good = _checked(data, ranges)
        yield data, good, sum(stop > start for start, stop in ranges) - len(good)
        data = data[position:]
    skipped += len(data) if lost else 0
    if skipped:
        notes.append(f"{name}: skipped {skipped} bytes that are no record.")


def _next_header(data: bytes, position: int) -> int:
    """Return where a header with a check that fits begins, else where one cut off may begin.

    The window doubles, so that the work is in proportion to what is skipped.
    """
    end = len(data) - _HEADER.size + 1
    window = _WINDOW
    while position < end:
        size = min(window, end - position)
        found = _fitting(data[position : position + size + _HEADER.size - 1], size)
        if found is not None:
            return position + found
        position += size
        window *= 2
    return max(end, position)


def _fitting(data: bytes, size: int) -> int | None:
    """Return the first of ``size`` places at which a header begins whose check fits."""
    raw = np.frombuffer(data, np.uint8).astype(np.uint32)

    def number(first: int) -> NDArray[np.uint32]:
        found = raw[first : first + size].copy()
        for byte in range(1, 4):
            found |= raw[first + byte : first + byte + size] << (8 * byte)
        return found

    likely = np.flatnonzero(number(4) == 0)  # no record has 4 GiB
    if not len(likely):
        return None
    lengths, which = np.unique(number(0)[likely], return_inverse=True)
    heads = lengths.astype("<u8").tobytes()
    ranges = [(at, at + 8) for at in range(0, len(heads), 8)]
    checks = np.array(masked_crcs(heads, ranges), np.uint32)
    fits = np.flatnonzero(checks[which] == number(8)[likely])
    return int(likely[fits[0]]) if len(fits) else None


def _checked(data: bytes, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return those ranges whose data are what their check says; empty ones are left out."""
    ranges = [(start, stop) for start, stop in ranges if stop > start]
    if not ranges:
        return []
    found = zip(ranges, masked_crcs(data, ranges), strict=True)
    return [each for each, crc in found if _TAIL.unpack_from(data, each[1])[0] == crc]


_Column = tuple["array[int]", "array[float]"]
_Columns = dict[str, _Column]


class _Scalars:
    """Gathers (step, value) by tag from event messages."""

    def __init__(self) -> None:
        self._columns: _Columns = {}
        self._plugins: dict[bytes, bytes] = {}
        # The step at which each session started, and what it recorded; the last one is going on.
        self._sessions: list[tuple[int, _Columns]] = [(0, self._columns)]

    def take_all(self, data: bytes, ranges: list[tuple[int, int]]) -> int:
        """Take the scalars of the events in these ranges; return how many are no messages."""
        alike = taken_apart(data, ranges)
        of_kind = [_tag(summary) for summary in alike.summaries]
        tags = list(dict.fromkeys(tag for tag in of_kind if tag is not None))
        # Which tag each record has; −1 for those that are taken one by one.
        which = np.array([-1 if tag is None else tags.index(tag) for tag in of_kind] + [-1])
        which = which[alike.kind]
        wrong = begun = 0
        for at in [*np.flatnonzero(which < 0).tolist(), len(ranges)]:
            several: list[int] = np.unique(which[begun:at]).tolist() if begun < at else []
            for number in several:
                chosen = begun + np.flatnonzero(which[begun:at] == number)
                steps, values = self._column(tags[number])
                steps.frombytes(alike.step[chosen].tobytes())
                values.frombytes(alike.value[chosen].tobytes())
            begun = at + 1
            if at < len(ranges):
                wrong += not self.take(data[slice(*ranges[at])])
        return wrong

    def take(self, event: bytes) -> bool:
        """Take the scalars of one event; False if it is no message."""
        try:
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
            self._columns = {}
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


def _tag(summary: bytes) -> bytes | None:
    """Return the tag if this, with a value after it, is one summary of one plain scalar."""
    if summary[-1:] != _FLOAT_KEY:
        return None
    message: int | bytes = summary + bytes(_FLOAT.size)
    try:
        for expected in ((5, BYTES), (1, BYTES)):
            found = list(fields(cast("bytes", message)))
            if [field[:2] for field in found] != [expected]:
                return None
            message = found[0][2]
        found = list(fields(cast("bytes", message)))
    except (ValueError, IndexError):
        return None
    if [field[:2] for field in found] != [(1, BYTES), (2, FIXED32)]:
        return None
    return cast("bytes", found[0][2])


def _plugin(metadata: bytes) -> bytes:
    """Return the name of the plugin that a value is meant for."""
    for number, wire, value in fields(metadata):
        if (number, wire) == (1, BYTES):
            for inner, inner_wire, name in fields(cast("bytes", value)):
                if (inner, inner_wire) == (1, BYTES):
                    return cast("bytes", name)
    return b"scalars"
