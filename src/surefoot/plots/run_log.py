"""One run as it was recorded: loss over updates and the learning rate beneath."""

from collections.abc import Iterable

import numpy as np

from surefoot.errors import InputError
from surefoot.plots._figure import Axis, FigureData, Mark, Panel, Series
from surefoot.plots._scale import fit, is_wide
from surefoot.plots._smooth import loss_axis, loss_series, sorted_curve
from surefoot.plots.diagnosis import verdict_marks, verdict_role, verdict_sentence
from surefoot.records import Curve, Diagnosis, RunLog

__all__ = ["curve_figure", "lr_panel", "run_figure", "step_axis"]

_LR_POINTS = 300


def run_figure(log: RunLog, *, diagnosis: Diagnosis | None = None) -> FigureData:
    """Return the loss of a run, its validation loss, and its learning rate where recorded.

    Args:
        log: the run.
        diagnosis: of the same run; its onsets are marked and its verdicts are the caption.

    Raises:
        InputError: the run holds no curve.
    """
    name, curve = _main_curve(log)
    validation = log.get("validation_loss") if name == "loss" else None
    checked = None if validation is None else sorted_curve(validation)
    y = loss_axis([curve] if checked is None else [curve, checked], name.replace("_", " "))
    role = "main" if diagnosis is None else verdict_role(diagnosis)
    named = "training loss" if name == "loss" else name
    both = checked is not None and len(checked) > 0
    series = list(loss_series(curve, named, role, y, emphasis="strong", legend=both))
    if checked is not None and both:
        thin = checked.thin(150)
        kind = "linked" if len(thin) <= 60 else "line"
        series.append(Series("validation loss", thin.steps, thin.values, kind, "second"))
    marks: tuple[Mark, ...] = () if diagnosis is None else verdict_marks(diagnosis)
    panels = [Panel(step_axis([log]), y, tuple(series), marks)]
    below = lr_panel({"": log}, {"": "muted"})
    panels += [] if below is None else [below]
    title = log.name if diagnosis is None else f"{log.name}: {diagnosis.label}"
    caption = "" if diagnosis is None else verdict_sentence(diagnosis)
    return FigureData(title, tuple(panels), caption)


def curve_figure(curve: Curve, *, name: str = "value", role: str = "main") -> FigureData:
    """Return one curve over updates.

    Args:
        curve: what was measured.
        name: of what was measured.
        role: what the colour means.
    """
    curve = sorted_curve(curve)
    y = loss_axis([curve], name)
    series = loss_series(curve, name, role, y, emphasis="strong", legend=False)
    return FigureData(name, (Panel(Axis("updates"), y, series),))


def lr_panel(logs: dict[str, RunLog], roles: dict[str, str]) -> Panel | None:
    """Return the panel of the learning rates of the runs that recorded one, or None."""
    series: list[Series] = []
    for label, log in logs.items():
        curve = log.get("lr")
        if curve is not None and len(curve):
            thin = sorted_curve(curve).thin(_LR_POINTS)
            kind = "step" if len(curve) <= _LR_POINTS else "line"
            name = f"{label} lr".strip()
            series.append(Series(name, thin.steps, thin.values, kind, roles[label], legend=False))
    if not series:
        return None
    return Panel(step_axis(logs.values()), _lr_axis(series), tuple(series))


def step_axis(logs: Iterable[RunLog]) -> Axis:
    """Return the axis of the steps: updates, or what all the runs count instead."""
    units = {log.unit for log in logs}
    return Axis(f"{units.pop()}s" if len(units) == 1 else "steps")


def _lr_axis(series: list[Series]) -> Axis:
    """Return an axis from 0 up, or a logarithmic one where the peaks are decades apart."""
    peaks = [float(np.nanmax(part.y, initial=0.0)) for part in series]
    peaks = [peak for peak in peaks if 0 < peak < np.inf]
    if not is_wide(peaks):
        return Axis("lr", range=(0.0, 1.1 * max(peaks, default=1.0)))
    least = min(float(part.y[part.y > 0].min(initial=np.inf)) for part in series)
    return Axis("lr", log=True, range=fit([max(least, min(peaks) / 30), *peaks], log=True))


def _main_curve(log: RunLog) -> tuple[str, Curve]:
    name = "loss" if log.get("loss") is not None else next(iter(log.names), None)
    if name is None:
        raise InputError(f"The run {log.name!r} is empty: there is no curve to draw.")
    return name, sorted_curve(log[name])
