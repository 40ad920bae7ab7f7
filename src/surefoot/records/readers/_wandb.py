"""Read the file of an offline run of Weights & Biases, without wandb or protobuf.

After seven bytes come blocks of 32 KiB that hold records in the form of LevelDB's log: CRC-32 of
type and data, length (uint16), type (whole, first, middle, last), data. What they make up is a
``Record`` message: history = 2, config = 5, run = 17.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from surefoot.errors import LogError
from surefoot.records.readers import Parts
from surefoot.records.readers._columns import Columns
from surefoot.records.readers._protobuf import BYTES, FIXED64, VARINT, fields, signed

__all__ = ["WANDB_SUFFIX", "looks_like_wandb", "read_wandb", "wandb_file"]

WANDB_SUFFIX = ".wandb"
_MAGIC = b":W&B"
_BLOCK = 1 << 15
_HEADER = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_LONGEST = 1 << 26
"""Bytes of a message in several records; a longer one is left out."""

_HISTORY, _CONFIG, _RUN = 2, 5, 17  # of Record
_ITEM = 1  # of HistoryRecord; its items: key, nested key, value as JSON
_KEY, _NESTED_KEY, _BOOLEAN, _INTEGER, _NUMBER, _JSON = 1, 2, 4, 5, 6, 16
_UPDATE = 1  # of ConfigRecord
_RUN_CONFIG, _DISPLAY_NAME = 4, 8  # of RunRecord
_CONFIG_MOST = 200


def looks_like_wandb(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is one of these."""
    return head.startswith(_MAGIC)


def wandb_file(folder: Path) -> Path | None:
    """Return the file of the run in a folder, or None."""
    files = sorted(path for path in folder.glob(f"run-*{WANDB_SUFFIX}") if path.is_file())
    return files[0] if files else None


def read_wandb(file: Path) -> Parts:
    """Read the history of a run.

    Raises:
        LogError: it is no such file, or holds no history.
    """
    columns, tags, notes = Columns(file), dict[str, Any](), list[str]()
    rows = damaged = 0
    with file.open("rb") as stream:
        if not looks_like_wandb(stream.read(_HEADER.size)):
            raise LogError(f"{file} is no file of a W&B run.")
        for message in _messages(stream):
            if message is None:
                damaged += 1
                continue
            try:
                row = _row(message, tags)
            except (ValueError, IndexError, RecursionError):
                damaged += 1
                continue
            if row is not None:
                columns.add(row)
                rows += 1
    if damaged:
        notes.append(f"{file.name}: skipped {damaged} damaged record{'s' if damaged > 1 else ''}.")
    if not rows:
        raise LogError(f"{file} holds no history: the run ended before it logged anything.")
    return columns.parts(tags, notes)


def _messages(stream: BufferedReader) -> Iterator[bytes | None]:
    """Yield each message, None for a damaged one. One cut off at the end is normal."""
    held: bytearray | None = None
    offset = _HEADER.size  # in the block
    while True:
        if _BLOCK - offset < _HEADER.size:
            stream.read(_BLOCK - offset)
            offset = 0
        header = stream.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return
        check, length, kind = _HEADER.unpack(header)
        offset += _HEADER.size
        if length > _BLOCK - offset or kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST):
            yield None  # nothing tells where the next one is, but the next block
            stream.read(_BLOCK - offset)
            offset, held = 0, None
            continue
        data = stream.read(length)
        if len(data) < length:
            return
        offset += length
        if zlib.crc32(data, zlib.crc32(bytes([kind]))) != check:
            yield None
            held = None
            continue
        if kind == _WHOLE:
            held = None
            yield data
        elif kind == _FIRST:
            held = bytearray(data)
        elif held is not None and len(held) + length <= _LONGEST:
            held += data
            if kind == _LAST:
                yield bytes(held)
                held = None
        else:
            held = None


def _row(message: bytes, tags: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row of a history record; what is known of the run goes to the tags."""
    for number, wire, value in fields(message):
        if wire != BYTES:
            continue
        body = cast("bytes", value)
        if number == _HISTORY:
            return dict(_items(body, _ITEM))
        if number == _CONFIG:
            _take_config(body, tags)
        elif number == _RUN:
            for inner, inner_wire, part in fields(body):
                if (inner, inner_wire) == (_RUN_CONFIG, BYTES):
                    _take_config(cast("bytes", part), tags)
                elif (inner, inner_wire) == (_DISPLAY_NAME, BYTES):
                    tags["run_name"] = cast("bytes", part).decode("utf-8", "replace")[:200]
    return None


def _take_config(body: bytes, tags: dict[str, Any]) -> None:
    for key, value in _items(body, _UPDATE):
        short = isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= 200)
        if short and not key.startswith("_") and len(tags) < _CONFIG_MOST:
            tags[key] = value


def _items(body: bytes, wanted: int) -> Iterator[tuple[str, Any]]:
    for number, wire, value in fields(body):
        if (number, wire) == (wanted, BYTES):
            item = _item(cast("bytes", value))
            if item is not None:
                yield item


def _item(message: bytes) -> tuple[str, Any] | None:
    names: list[str] = []
    found: Any = None
    for number, wire, value in fields(message):
        if wire == BYTES and number in (_KEY, _NESTED_KEY):
            names.append(cast("bytes", value).decode("utf-8", "replace"))
        elif (number, wire) == (_JSON, BYTES):
            found = json.loads(cast("bytes", value))
        elif (number, wire) == (_NUMBER, FIXED64):
            (found,) = struct.unpack("<d", cast("bytes", value))
        elif (number, wire) == (_INTEGER, VARINT):
            unsigned = cast("int", value)
            found = signed(unsigned)
        elif (number, wire) == (_BOOLEAN, VARINT):
            found = bool(value)
    return ("/".join(names), found) if names else None
