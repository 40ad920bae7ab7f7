"""Loss curves as series: a smooth line over the faint raw values, and the y axis they need."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from surefoot.plots._figure import Axis, Emphasis, Series
from surefoot.plots._scale import fit, is_wide
from surefoot.records import Curve

__all__ = ["loss_axis", "loss_series", "sorted_curve"]

_RAW, _SMOOTH = 600, 300  # points that are kept of each
_SHORTEST = 60  # a curve with fewer points is drawn as it is
_FEW = 20  # up to here each value is shown as a point
_HUGE = 1e150
_START = 5  # values that tell where a run starts


def sorted_curve(curve: Curve) -> Curve:
    """Return the curve with ascending positions, without those that are not finite.

    Values at the end of what a float can hold become infinite: no axis can hold them.
    """
    keep = np.flatnonzero(np.isfinite(curve.steps))
    keep = keep[np.argsort(curve.steps[keep], kind="stable")]
    values = curve.values[keep]
    huge = np.abs(values) > _HUGE
    return Curve(curve.steps[keep], np.where(huge, np.copysign(np.inf, values), values))


def loss_axis(
    curves: Sequence[Curve],
    label: str = "loss",
    *,
    also: Sequence[float] = (),
    explosion: float = 3.0,
) -> Axis:
    """Return a y axis on which the learning of these runs can be seen.

    A loss that exploded leaves the axis at its top, and one stray value does not stretch it at
    its bottom.

    Args:
        curves: losses over updates, ascending.
        label: of the axis.
        also: values that must be on the axis.
        explosion: how far above its start, in units of what was learned, a loss must rise to be
            cut off.
    """
    finite = [values for values in (curve.finite().values for curve in curves) if values.size]
    extra = [value for value in also if np.isfinite(value)]
    if not finite:
        return Axis(label, range=fit(extra))
    bottom = float(min([*(np.quantile(values, 0.005) for values in finite), *extra]))
    top = float(max([*(values.max() for values in finite), *extra]))
    start = max([*(float(np.median(values[:_START])) for values in finite), *extra])
    span = max(start - bottom, 0.5 * abs(start))
    stays = explosion > 1 and bottom > 0 and top < 300 * start
    if top > start + explosion * span and not stays:
        top = 3 * start if is_wide([bottom, start]) else start + 0.6 * span
    top = max(top, bottom)
    log = is_wide([bottom, top])
    return Axis(label, log=log, range=fit([bottom, top], log=log, pad=0.06))


def loss_series(
    curve: Curve,
    name: str,
    role: str,
    axis: Axis,
    *,
    label: str = "",
    emphasis: Emphasis = "normal",
    legend: bool = True,
) -> tuple[Series, ...]:
    """Return the raw values (faint), the smooth line, and a sign where the loss was lost.

    Args:
        curve: ascending.
        name: of the smooth line.
        role: what the colour means.
        axis: where the loss is drawn; on a logarithmic one the logarithm is smoothed.
        label: beside the line; empty puts the name into the legend.
        emphasis: of the smooth line.
        legend: False keeps the line out of the legend.
    """
    size = len(curve)
    parts: list[Series] = []
    line = curve
    if size >= _SHORTEST:
        raw = curve.thin(_RAW)
        named = f"{name}, raw"
        faint = Series(named, raw.steps, raw.values, role=role, emphasis="faint", legend=False)
        parts.append(faint)
        line = _smoothed(curve, axis)
    thin = line.thin(_SMOOTH)
    kind = "linked" if size <= _FEW else "line"
    options: dict[str, Any] = {"label": label, "emphasis": emphasis, "legend": legend}
    shown = Series(name, thin.steps, thin.values, kind, role, **options)
    lost = _lost(curve, axis)
    if lost is None:
        return (*parts, shown)
    said = f"{name}: above this axis or not finite from {lost:g} on"
    return (*parts, shown, Series(said, [lost], [np.nan], "lost", role, legend=False))


def _lost(curve: Curve, axis: Axis) -> float | None:
    """Return from where on the values have no place on the axis; None if the last one has."""
    top = np.inf if axis.range is None else axis.range[1]
    inside = np.flatnonzero(np.isfinite(curve.values) & (curve.values <= top))
    last = -1 if not inside.size else int(inside[-1])
    if last + 1 < len(curve):
        return float(curve.steps[last + 1])
    broken = np.flatnonzero(~np.isfinite(curve.values))
    return float(curve.steps[broken[0]]) if broken.size else None


def _smoothed(curve: Curve, axis: Axis) -> Curve:
    """Return the local mean under a bell of a few percent of the run.

    The bell is centred, so that the line does not lag behind, and ends, so that what happens
    later is not seen much before it happens. Values beyond the axis count as if just outside.
    """
    low, high = axis.range or (-np.inf, np.inf)
    known = np.isfinite(curve.values)
    values = np.where(known, curve.values, 0.0)
    if axis.log:
        values = np.log10(np.clip(values, low / 3, high * 3))
    else:
        values = np.clip(values, low - (high - low) / 2, high + (high - low) / 2)
    half = int(min(max(len(curve) / 50, 2), 300))
    bell = np.hanning(2 * half + 3)[1:-1]
    total = np.convolve(np.where(known, values, 0.0), bell, mode="full")[half : half + len(curve)]
    weight = np.convolve(known.astype(np.float64), bell, mode="full")[half : half + len(curve)]
    line = np.where(known, total / np.maximum(weight, 1e-12), np.nan)
    return Curve(curve.steps, 10.0**line if axis.log else line)
