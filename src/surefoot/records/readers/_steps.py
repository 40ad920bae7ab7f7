"""Steps, epochs and times: which numbers of a log say when, and what came again after a restart."""

from collections.abc import Iterable, Mapping

import numpy as np

from surefoot.records.curve import Curve
from surefoot.records.readers._sessions import joined, limits

__all__ = ["EPOCH", "TIME", "plain", "restarted", "step_name", "told_apart"]

EPOCH, TIME = "epoch", "wall_time"

# What a step may be called, best first.
_STEPS = ("global_step", "step", "update", "updates", "iteration", "iter", "batch")
# What a time may be called, best first: of the day, then since the start.
_TIMES = ("wall_time", "wall time", "walltime", "timestamp", "time", "runtime", "train_runtime",
          "elapsed", "elapsed_time", "time_elapsed", "relative_time", "relative time")  # fmt: skip
_SORTED = 0.9
"""Share of steps that must go forward for one that goes back to be a restart."""


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
