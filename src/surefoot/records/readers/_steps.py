"""Steps, epochs and times: which numbers of a log say when, and what began again."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from surefoot.records.curve import Curve
from surefoot.records.readers._sessions import joined, limits

__all__ = ["EPOCH", "TIME", "Column", "curves_of", "plain", "restarted", "step_name", "told_apart"]

EPOCH, TIME = "epoch", "wall_time"

# What a step may be called, best first.
_STEPS = ("global_step", "step", "update", "updates", "iteration", "iter", "batch")
# What a time may be called, best first: of the day, then since the start.
_TIMES = ("wall_time", "wall time", "walltime", "timestamp", "time", "runtime",
          "elapsed", "elapsed_time", "time_elapsed", "relative_time", "relative time")  # fmt: skip
_SORTED = 0.9
"""Share of steps that must go forward for one that goes back to be a restart."""


Column = tuple[NDArray[np.int64], NDArray[np.float64]]
"""The rows in which a quantity has a number, and the numbers."""


def plain(name: str) -> str:
    """Return the last word of a name: ``trainer/global_step`` is ``global_step``."""
    return name.rpartition("/")[2].strip().lower().strip("_")


def step_name(names: Iterable[str]) -> str | None:
    """Return which of the names is the step; an epoch only where there is nothing better.

    W&B's ``_step`` counts calls of ``log``, so a step that the training itself logged is better.
    """
    several = list(names)
    own = [name for name in several if not name.startswith("_")]
    return _best(own, _STEPS) or _best(several, _STEPS) or _best(several, (EPOCH,))


def curves_of(
    columns: Mapping[str, Column],
    steps: NDArray[np.float64],
    called: str | None,
    notes: list[str],
) -> tuple[dict[str, Curve], dict[str, str]]:
    """Return the curves of a table, and as a tag what their steps count if not updates.

    Args:
        columns: without that of the step.
        steps: of each row; NaN where there is none, and what stands there is left out.
        called: name of the column that they come from; None if nothing is called step.
        notes: takes what should be known.
    """
    unit = "" if called is None else plain(called)
    epochs = next((columns[name] for name in columns if plain(name) == EPOCH), None)
    steps = _counted_on(steps, epochs, notes)
    if called is None:
        notes.append("Nothing is called step: the rows were counted from 0.")
    elif unit == EPOCH and any(_stands(steps[rows]) for rows, _ in columns.values()):
        notes.append("The only step is the epoch, with many rows in each: the rows were counted.")
        known = np.flatnonzero(np.isfinite(steps))
        columns = {**columns, called: (known, steps[known])}
        steps, unit = np.arange(len(steps), dtype=np.float64), ""
    elif unit == EPOCH:
        notes.append("The only step is the epoch.")
    curves: dict[str, Curve] = {}
    for name, (rows, numbers) in columns.items():
        there = np.isfinite(steps[rows])
        lost = len(there) - int(there.sum())
        if lost:
            notes.append(f"{name!r:.60}: {lost} values without a step were left out.")
        if lost < len(there):
            curves[name] = Curve(steps[rows][there], numbers[there])
    tags = {EPOCH: {"step_unit": EPOCH}, "": {"step_unit": "row"}}.get(unit, {})
    return told_apart(curves, notes), tags


def _stands(steps: NDArray[np.float64]) -> bool:
    """Return whether most steps are the one before."""
    same = np.count_nonzero(steps[1:] == steps[:-1])
    return bool(same > 0.5 * max(len(steps) - 1, 2))


def _counted_on(
    steps: NDArray[np.float64], epochs: Column | None, notes: list[str]
) -> NDArray[np.float64]:
    """Return the steps, counted on if they begin anew in each epoch.

    They do if they go back to where they began, and the epoch has become another there; or
    without epochs, if there are three such parts and all but the last are equally long.

    Example:
        >>> _counted_on(np.array([0.0, 1, 2, 0, 1, 2, 0, 1]), None, []).tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    starts = np.concatenate([[0], back])
    if not len(back) or not np.all(steps[back] == steps[0]):
        return steps
    lengths = np.diff(np.concatenate([starts, [len(steps)]]))
    if epochs is None:
        anew = len(starts) > 2 and bool(
            np.all(lengths[:-1] == lengths[0]) and lengths[-1] <= lengths[0]
        )
    else:
        rows, numbers = epochs
        at = np.searchsorted(rows, starts)
        anew = at[-1] < len(rows) and bool(np.all(np.diff(numbers[at]) > 0))
    if not anew:
        return steps
    notes.append(f"The steps begin anew {len(back)} times, as in each epoch: they were counted on.")
    ends = np.array([part.max() for part in np.split(steps, back)])
    offsets = np.concatenate([[0.0], np.cumsum(ends[:-1] - steps[0] + 1)])
    return steps + np.repeat(offsets, lengths)


def told_apart(curves: Mapping[str, Curve], notes: list[str]) -> dict[str, Curve]:
    """Return the curves, restarts resolved; a time is called ``wall_time``, an epoch ``epoch``."""
    named = {_best(curves, (EPOCH,)): EPOCH, _best(curves, _TIMES): TIME}
    found = {named.get(name, name): curve for name, curve in curves.items()}
    return {name: restarted(name, curve, notes) for name, curve in found.items()}


def restarted(name: str, curve: Curve, notes: list[str]) -> Curve:
    """Return the curve without what was recorded again: a step back is a training that went on.

    Example:
        >>> notes = []
        >>> restarted("loss", Curve([0, 1, 2, 3, 2, 3, 4], [9, 8, 7, 6, 5, 4, 3]), notes).to_dict()
        {'steps': [0.0, 1.0, 2.0, 3.0, 4.0], 'values': [9.0, 8.0, 5.0, 4.0, 3.0]}
        >>> notes
        ['loss: 2 recorded again after a restart; the later values count.']
    """
    steps = curve.steps
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    if not len(back) or len(back) > (1 - _SORTED) * len(steps) + 1:
        return curve
    parts = np.split(np.arange(len(steps)), back)
    starts = [float(steps[part[0]]) for part in parts]
    sessions = [
        (limit, steps[part], curve.values[part])
        for limit, part in zip(limits(starts), parts, strict=True)
    ]
    kept = joined(sessions)
    lost = len(curve) - len(kept)
    if lost:
        notes.append(f"{name}: {lost} recorded again after a restart; the later values count.")
    return kept


def _best(names: Iterable[str], wanted: tuple[str, ...]) -> str | None:
    plains: dict[str, str] = {}
    for name in names:
        plains.setdefault(plain(name), name)
    return next((plains[each] for each in wanted if each in plains), None)
