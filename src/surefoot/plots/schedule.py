"""Schedules over the updates of a run."""

from collections.abc import Mapping

import numpy as np

from surefoot.errors import InputError
from surefoot.plots._figure import Axis, FigureData, Panel, Series
from surefoot.plots._palette import CYCLE
from surefoot.plots._scale import fit
from surefoot.schedules import Schedule

__all__ = ["schedule_figure"]

_POINTS = 800
_LONGEST = 22  # characters of a label beside its line; longer ones go into the legend


def schedule_figure(
    schedules: Schedule | Mapping[str, Schedule],
    *,
    total: int | None = None,
    lr: float | None = None,
) -> FigureData:
    """Return the factor, or the learning rate, over the updates of a run.

    Args:
        schedules: one, or several by label.
        total: updates of the run; needed for schedules that are not resolved.
        lr: base learning rate; the figure then shows lr = base lr × factor.

    Raises:
        InputError: a schedule is not resolved and ``total`` is missing, or there is none.

    Example:
        >>> from surefoot.schedules import cosine, warmup
        >>> data = schedule_figure(warmup("10%") >> cosine(), total=100)
        >>> data.title, data.panels[0].series[0].y.size
        ('warmup("10%") >> cosine()', 100)
    """
    single = isinstance(schedules, Schedule)
    plans = {str(schedules): schedules} if single else dict(schedules)
    if not plans:
        raise InputError("schedules must hold at least one schedule, by label.")
    label = "factor (lr ÷ base lr)" if lr is None else "learning rate"
    beside = not single and all(len(name) <= _LONGEST for name in plans)
    series: list[Series] = []
    for index, (name, plan) in enumerate(plans.items()):
        x, y = _values(plan, total)
        role = CYCLE[index % len(CYCLE)]
        scaled = y if lr is None else lr * y
        text = name if beside else ""
        line = Series(name, x, scaled, role=role, label=text, legend=not single)
        series.append(line)
    top = max(float(part.y.max()) for part in series)
    low = min(0.0, *(float(part.y.min()) for part in series))
    y_axis = Axis(label, range=(low, fit([0.0, top])[1]))
    title = next(iter(plans)) if single else "Schedules"
    return FigureData(title, (Panel(Axis("updates"), y_axis, tuple(series)),))


def _values(plan: Schedule, total: int | None) -> "tuple[np.ndarray, np.ndarray]":
    if not plan.is_resolved:
        if total is None:
            raise InputError(
                f"total must be given for the schedule {plan}: it depends on the updates of the "
                "run. Give total=…, or a schedule that was resolved."
            )
        plan = plan.resolve(total)
    updates = plan.total if total is None else total
    x = np.unique(np.linspace(0, max(updates - 1, 0), min(updates, _POINTS)).round())
    return x, np.asarray(plan(x), dtype=np.float64)
