"""A run as one table, for other programs: CSV, Parquet."""

import csv
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surefoot._base.lazy import need
from surefoot.errors import InputError
from surefoot.records.run_log import RunLog

__all__ = ["save_log"]

Column = tuple[NDArray[np.float64], NDArray[np.bool_]]


def save_log(log: RunLog, path: str | os.PathLike[str]) -> Path:
    """Save the curves of a run as a table: a row for each step, a column for each curve.

    Where a curve has no value at a step the cell is empty, in Parquet null; where it has several
    the last one is saved. What was saved as CSV can be read again.

    Args:
        log: the run.
        path: ends in ``.csv`` or ``.parquet``.

    Raises:
        InputError: it ends in something else, the run is empty, or the file cannot be written.
        MissingExtraError: pyarrow is not installed, which Parquet needs.

    Example:
        >>> import tempfile
        >>> from surefoot.records import Curve, read
        >>> curves = {"loss": Curve([0, 1], [2, 1]), "validation_loss": Curve([1], [3])}
        >>> log = RunLog("digits", curves)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved = save_log(log, f"{folder}/digits.csv")
        ...     print(saved.read_text(), end="")
        ...     read(saved)["validation_loss"].to_dict()
        step,loss,validation_loss
        0,2.0,
        1,1.0,3.0
        {'steps': [1.0], 'values': [3.0]}
    """
    place = Path(path)
    writers = {".csv": _write_csv, ".parquet": _write_parquet}
    write = writers.get(place.suffix.lower())
    if write is None:
        raise InputError(f"path must end in .csv or .parquet, not {str(path)!r:.60}.")
    if not any(map(len, log.curves.values())):
        raise InputError(f"The run {log.name!r:.60} is empty: there is nothing to save.")
    steps, columns = _table(log)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write(place, steps, columns)
    except OSError as error:
        raise InputError(f"{place} cannot be written: {error.strerror or error}.") from None
    return place


def _table(log: RunLog) -> tuple[NDArray[np.float64], dict[str, Column]]:
    """Return all steps, sorted, and of each curve its value and whether there is one at each."""
    steps = np.unique(np.concatenate([curve.steps for curve in log.curves.values()]))
    columns: dict[str, Column] = {}
    for name, curve in log.curves.items():
        values, there = np.zeros(len(steps)), np.zeros(len(steps), dtype=bool)
        at = np.searchsorted(steps, curve.steps)
        values[at], there[at] = curve.values, True
        columns[name] = values, there
    return steps, columns


def _write_csv(path: Path, steps: NDArray[np.float64], columns: dict[str, Column]) -> None:
    texts: list[list[str]] = []
    for values, there in columns.values():
        pairs = zip(values.tolist(), there.tolist(), strict=True)
        texts.append([repr(value) if is_there else "" for value, is_there in pairs])
    whole = bool(np.all(steps == np.round(steps)))
    rows = [str(int(step)) if whole else repr(step) for step in steps.tolist()]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["step", *columns])
        writer.writerows(zip(rows, *texts, strict=True))


def _write_parquet(path: Path, steps: NDArray[np.float64], columns: dict[str, Column]) -> None:
    arrow = need("pyarrow", "to save Parquet")
    parquet = need("pyarrow.parquet", "to save Parquet")
    whole = bool(np.all(steps == np.round(steps)))
    arrays = {"step": arrow.array(steps.astype(np.int64) if whole else steps)}
    for name, (values, there) in columns.items():
        arrays[name if name != "step" else "step-2"] = arrow.array(values, mask=~there)
    parquet.write_table(arrow.table(arrays), path)
