"""The loss of one run with the onset of what is wrong."""

import math

from surefoot.plots._figure import Axis, FigureData, Mark, Panel
from surefoot.plots._scale import short
from surefoot.plots._smooth import loss_axis, loss_series, sorted_curve
from surefoot.records import Diagnosis

__all__ = ["diagnosis_figure", "verdict_marks", "verdict_role", "verdict_sentence"]

_MOST = 3  # onsets that are marked; the worst come first


def diagnosis_figure(diagnosis: Diagnosis) -> FigureData:
    """Return the loss over updates, with the update since which each verdict holds.

    Args:
        diagnosis: what ``diagnose`` returned for one run.
    """
    curve = sorted_curve(diagnosis.loss)
    y = loss_axis([curve])
    role = verdict_role(diagnosis)
    series = loss_series(curve, "loss", role, y, emphasis="strong", legend=False)
    panel = Panel(
        Axis(f"{diagnosis.unit}s"), y, series if len(curve) else (), verdict_marks(diagnosis)
    )
    title = f"{diagnosis.run}: {diagnosis.label}"
    return FigureData(title, (panel,), verdict_sentence(diagnosis))


def verdict_role(diagnosis: Diagnosis) -> str:
    """Return what the colour of the run means: good, low, high, very_high muted or main."""
    if not diagnosis.verdicts:
        return "good" if diagnosis.healthy else "muted"
    worst = diagnosis.verdicts[0]
    if worst.direction == "raise":
        return "low"
    if worst.direction == "lower":
        return "very_high" if worst.severity == "error" else "high"
    return "main"


def verdict_marks(diagnosis: Diagnosis) -> tuple[Mark, ...]:
    """Return a mark at the onset of each of the first verdicts."""
    marks: list[Mark] = []
    for verdict in diagnosis.verdicts:
        taken = {mark.at for mark in marks}
        if verdict.since is not None and verdict.since not in taken and len(marks) < _MOST:
            role = "very_high" if verdict.severity == "error" else "high"
            label = f"{verdict.title}, since {diagnosis.unit} {verdict.since}"
            marks.append(Mark("vertical", float(verdict.since), label, role))
    return tuple(marks)


def verdict_sentence(diagnosis: Diagnosis) -> str:
    """Return the verdicts and the estimate of lr ÷ best lr in words."""
    found = " ".join(verdict.sentence(diagnosis.unit) for verdict in diagnosis.verdicts)
    text = found or diagnosis.reason or "Healthy: no rule found a fault."
    ratio = diagnosis.lr_over_best_log10
    if math.isfinite(ratio):
        low, high = diagnosis.lr_over_best_log10_low, diagnosis.lr_over_best_log10_high
        text += f" The rate is about {short(10.0**ratio, 2)} × the best one"
        if math.isfinite(low) and math.isfinite(high):
            text += f" ({short(10.0**low, 2)} … {short(10.0**high, 2)})"
        text += "."
    return text
