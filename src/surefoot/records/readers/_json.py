"""Read JSON: lines of objects, Keras' History, the trainer state of Hugging Face."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from surefoot.errors import LogError
from surefoot.records.readers import Parts
from surefoot.records.readers._columns import Columns
from surefoot.records.readers._steps import plain

__all__ = ["is_json_log", "looks_like_json", "read_json", "read_trainer_state"]

_LINE = 1 << 24
"""Characters that a line may have."""

_DOCUMENT = 1 << 28
"""Bytes that a file may have that is one document."""

_LINES = (".jsonl", ".ndjson")
_FACTS = (
    "best_metric", "epoch", "eval_steps", "global_step", "logging_steps", "max_steps",
    "num_train_epochs", "save_steps", "train_batch_size",
)  # fmt: skip
_TOTALS = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos",
           "eval_runtime", "eval_samples_per_second"}  # fmt: skip
_ALLOWED = (
    'one object per line, a Keras History such as {"loss": [2.3, 1.9]}, or a trainer_state.json'
)


def looks_like_json(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is meant as JSON."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def is_json_log(file: Path) -> bool:
    """Tell whether a JSON file holds a log: by its first line, or all of it if it is small."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            first = stream.readline(_LINE)
        row = _object(first)
        if row is not None and file.suffix.lower() in _LINES:
            return True
        if file.stat().st_size > 1 << 24:
            return row is not None
        document = _document(file)
    except (OSError, LogError):
        return False
    return _history(document) is not None or isinstance(_field(document, "log_history"), list)


def read_json(file: Path) -> Parts:
    """Read a JSON file of any of these kinds.

    Raises:
        LogError: it is none.
    """
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        first = stream.readline(_LINE)
        second = stream.readline(_LINE)
    if _object(first) is not None and (second.strip() or file.suffix.lower() in _LINES):
        return _read_rows(file, _lines(file))
    document = _document(file)
    if isinstance(_field(document, "log_history"), list):
        return _trainer_state(file, document)
    history = _history(document)
    if history is not None:
        return _read_history(file, history)
    if isinstance(document, list):
        return _read_rows(file, iter(cast("list[Any]", document)))
    if any(plain(name) in _TOTALS for name in cast("dict[str, Any]", document)):
        raise LogError(
            f"{file} is a summary of a whole training, not its course. Give the trainer_state.json "
            "of the same run, or the folder."
        )
    if any(map(_is_number, cast("dict[str, Any]", document).values())):
        return _read_rows(file, iter([document]))
    raise LogError(f"{file} is JSON, but no log: give {_ALLOWED}.")


def read_trainer_state(file: Path) -> Parts:
    """Read the ``trainer_state.json`` of Hugging Face's Trainer.

    Raises:
        LogError: it is none.
    """
    document = _document(file)
    if not isinstance(_field(document, "log_history"), list):
        raise LogError(f"{file} has no list called log_history: it is no trainer state.")
    return _trainer_state(file, document)


def _trainer_state(file: Path, document: Any) -> Parts:
    tags = {
        name: value
        for name in _FACTS
        if isinstance(value := _field(document, name), (int, float)) and not isinstance(value, bool)
    }
    return _read_rows(file, iter(document["log_history"]), tags)


def _lines(file: Path) -> Iterator[Any]:
    """Yield the object of each line, None where there is none; not one that is cut off."""
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        while line := stream.readline(_LINE):
            if len(line) == _LINE:
                raise LogError(
                    f"{file} has a line of more than {_LINE:,} characters: it is no log."
                )
            if line.isspace():
                continue
            row = _object(line)
            if row is None and not line.endswith("\n"):
                return  # somebody is writing it
            yield row


def _read_rows(file: Path, rows: Iterator[Any], tags: Mapping[str, Any] | None = None) -> Parts:
    columns, notes, other, count = Columns(file), list[str](), 0, 0
    for row in rows:
        if isinstance(row, dict):
            columns.add(cast("dict[str, Any]", row))
            count += 1
        else:
            other += 1
    if not count:
        raise LogError(f"{file} is no log: give {_ALLOWED}.")
    if other:
        notes.append(f"Left out what is no JSON object: {other} of {count + other} lines.")
    return columns.parts(tags or {}, notes)


def _read_history(file: Path, history: Mapping[str, list[Any]]) -> Parts:
    columns = Columns(file)
    longest = max(map(len, history.values()))
    for epoch in range(longest):
        there = {name: values[epoch] for name, values in history.items() if epoch < len(values)}
        columns.add({"epoch": epoch, **there})
    return columns.parts({}, [])


def _history(document: Any) -> dict[str, list[Any]] | None:
    """Return the lists of a Keras History by name, or None if this is none."""
    inner = _field(document, "history")
    held = cast("Any", inner if isinstance(inner, dict) else document)
    if not isinstance(held, dict):
        return None
    lists: dict[str, list[Any]] = {}
    for name, values in cast("dict[str, Any]", held).items():
        if isinstance(values, list) and name != "epoch":
            numbers = cast("list[Any]", values)
            if any(map(_is_number, numbers)):
                lists[name] = numbers
    return lists or None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _field(document: Any, name: str) -> Any:
    return cast("dict[str, Any]", document).get(name) if isinstance(document, dict) else None


def _document(file: Path) -> Any:
    if file.stat().st_size > _DOCUMENT:
        raise LogError(
            f"{file} is one JSON document of more than {_DOCUMENT >> 20} MiB; write one object a "
            "line."
        )
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else error
        raise LogError(f"{file} is no JSON: {reason}.") from None


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
