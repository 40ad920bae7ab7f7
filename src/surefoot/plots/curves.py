"""Several runs in one figure."""

from collections.abc import Mapping, Sequence

from surefoot.errors import InputError
from surefoot.plots._figure import Axis, FigureData, Panel, Series
from surefoot.plots._palette import CYCLE
from surefoot.plots._smooth import loss_axis, loss_series, sorted_curve
from surefoot.plots.run_log import lr_panel, step_axis
from surefoot.records import Curve, RunLog

__all__ = ["compare_runs", "learning_curves"]

_WITH_RAW = 6  # runs; of more than these only the smooth lines are drawn


def learning_curves(
    runs: Mapping[str, RunLog | Curve | tuple[RunLog | Curve, str]],
    *,
    title: str = "Loss over updates",
    caption: str = "",
) -> FigureData:
    """Return the losses of several runs in one panel, each with its label beside it.

    Args:
        runs: by label a run or its loss; with a role of the palette (``"low"``, ``"good"``,
            ``"high"``, ``"very_high"``) as ``(run, role)``.
        title: of the figure.
        caption: one sentence.

    Raises:
        InputError: there is no run, or one without a loss.

    Example:
        >>> runs = {"lr 0.1": (Curve([0, 1], [2, 1]), "good"), "lr 9": (Curve([0], [2]), "high")}
        >>> [series.label for series in learning_curves(runs).panels[0].series]
        ['lr 0.1', 'lr 9']
    """
    pairs = {
        label: entry if isinstance(entry, tuple) else (entry, "") for label, entry in runs.items()
    }
    curves = {label: _loss_of(label, run) for label, (run, _) in pairs.items()}
    roles = _roles({label: role for label, (_, role) in pairs.items()})
    logs = [run for run, _ in pairs.values() if isinstance(run, RunLog)]
    return FigureData(title, (_loss_panel(curves, roles, logs),), caption)


def compare_runs(
    runs: Mapping[str, RunLog], *, title: str = "Runs compared", caption: str = ""
) -> FigureData:
    """Return the losses of several runs, and their learning rates in a panel beneath.

    Args:
        runs: by label; the labels stand beside the lines.
        title: of the figure.
        caption: one sentence.

    Raises:
        InputError: there is no run, or one without a loss.
    """
    curves = {label: _loss_of(label, log) for label, log in runs.items()}
    roles = _roles(dict.fromkeys(runs, ""))
    panels = [_loss_panel(curves, roles, list(runs.values()))]
    below = lr_panel(dict(runs), roles)
    panels += [] if below is None else [below]
    return FigureData(title, tuple(panels), caption)


def _loss_panel(
    curves: Mapping[str, Curve], roles: Mapping[str, str], logs: Sequence[RunLog]
) -> Panel:
    if not curves:
        raise InputError("runs must hold at least one run, by label.")
    y = loss_axis(list(curves.values()))
    series: list[Series] = []
    shared = _shared_folder(list(curves))
    for label, curve in curves.items():
        beside = label[len(shared) :]
        lines = loss_series(curve, label, roles[label], y, label=beside)
        raw = len(curves) <= _WITH_RAW
        series += [line for line in lines if raw or line.emphasis != "faint"]
    return Panel(step_axis(logs) if logs else Axis("updates"), y, tuple(series))


def _shared_folder(labels: list[str]) -> str:
    """Return the folders with which all labels begin, which need not stand at each line."""
    if len(labels) < 2:
        return ""
    least, most = min(labels), max(labels)  # what these two share, all share
    pairs = enumerate(zip(least, most, strict=False))
    length = next((index for index, (one, other) in pairs if one != other), len(least))
    return least[: least[:length].rfind("/") + 1]


def _roles(wanted: Mapping[str, str]) -> dict[str, str]:
    return {
        label: role or CYCLE[index % len(CYCLE)]
        for index, (label, role) in enumerate(wanted.items())
    }


def _loss_of(label: str, run: object) -> Curve:
    if isinstance(run, Curve):
        return sorted_curve(run)
    if not isinstance(run, RunLog):
        raise InputError(f"runs[{label!r}] must be a RunLog or a Curve, not {run!r:.60}.")
    curve = run.get("loss")
    if curve is None:
        raise InputError(
            f"The run {run.name!r} has no loss to draw; it has {', '.join(run.names) or 'nothing'}."
        )
    return sorted_curve(curve)
