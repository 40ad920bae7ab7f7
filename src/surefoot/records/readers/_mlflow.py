"""Read a run of MLflow's file store: a folder with a file of lines for each metric."""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import LogError
from surefoot.records.curve import Curve
from surefoot.records.readers import Parts
from surefoot.records.readers._steps import TIME, restarted

__all__ = ["is_mlflow_run", "read_mlflow"]

_META, _METRICS, _PARAMETERS = "meta.yaml", "metrics", "params"
_MOST = 20_000
"""Metrics that a run may have."""

_DEPTH = 8
"""Slashes that the name of a metric may have."""


def is_mlflow_run(folder: Path) -> bool:
    """Tell whether a folder is one run."""
    return (folder / _META).is_file() and (folder / _METRICS).is_dir()


def read_mlflow(folder: Path) -> Parts:
    """Read the metrics of a run; its parameters are tags.

    Raises:
        LogError: there is no metric, or a file holds something else.
    """
    notes: list[str] = []
    curves: dict[str, Curve] = {}
    times = Curve([], [])
    without_steps = 0
    for name, file in _files(folder / _METRICS, "", _DEPTH):
        if len(curves) >= _MOST:
            raise LogError(f"{folder} has more than {_MOST:,} metrics: it is no run of a training.")
        curve, when, bare = _metric(file, notes)
        without_steps += bare
        curves[name] = restarted(name, curve, notes)
        times = when if len(when) > len(times) else times
    every = without_steps == len(curves)
    if len(times):
        curves.setdefault(TIME, restarted(TIME, times, []))
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    if not curves:
        raise LogError(f"{folder} is an MLflow run without metrics.")
    tags: dict[str, Any] = dict(_parameters(folder / _PARAMETERS))
    name = _run_name(folder)
    if name:
        tags["run_name"] = name
    if every:
        notes.append("Every step is 0: the values were counted from 0.")
        tags["step_unit"] = "row"
    return Parts(curves, tags, notes)


def _files(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_file():
                yield prefix + entry.name, Path(entry.path)
            elif entry.is_dir(follow_symlinks=False) and depth:
                yield from _files(Path(entry.path), f"{prefix}{entry.name}/", depth - 1)


def _metric(file: Path, notes: list[str]) -> tuple[Curve, Curve, bool]:
    """Return the values of one metric, their times, s, and whether they came without steps."""
    steps, values, times, cut = array("d"), array("d"), array("d"), 0
    with file.open(encoding="utf-8", errors="replace") as stream:
        while line := stream.readline(1000):
            cells = line.split()
            try:
                value = float(cells[1])
                step = float(int(cells[2])) if len(cells) > 2 else 0.0
                time = int(cells[0]) / 1000  # they are in ms
            except (ValueError, IndexError, OverflowError):
                cut += bool(cells)
                continue
            steps.append(step)
            values.append(value)
            times.append(time)
    if cut and not values:
        raise LogError(f"{file} is no metric of MLflow: a line is a time, a value and a step.")
    if cut:
        notes.append(f"{file.name}: {cut} line{'s' if cut > 1 else ''} left out: no metric.")
    bare = len(steps) > 1 and not np.any(np.frombuffer(steps))
    at = np.arange(len(values)) if bare else steps
    return Curve(at, values), Curve(at, times), bare


def _parameters(folder: Path) -> Iterator[tuple[str, str]]:
    if folder.is_dir():
        for name, file in list(_files(folder, "", _DEPTH))[:200]:
            with file.open(encoding="utf-8", errors="replace") as stream:
                yield name, stream.read(200)


def _run_name(folder: Path) -> str | None:
    """Return the name of the run from its description, of which only plain lines are read."""
    with (folder / _META).open(encoding="utf-8", errors="replace") as stream:
        for line in stream.read(1 << 16).splitlines():
            key, _, value = line.partition(":")
            if key == "run_name":
                return value.strip().strip("'\"")[:200] or None
    return None
