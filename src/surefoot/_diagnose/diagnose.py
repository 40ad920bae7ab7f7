"""Name what is wrong with the learning rate of a run, from its record alone."""

import math
from collections.abc import Mapping
from pathlib import Path

from surefoot.errors import InputError, LogError
from surefoot.records import Diagnosis, RunLog, find_runs, read
from surefoot.rules import ALL, ESTIMATE_SPREAD, LEAST_POINTS, Signs

__all__ = ["diagnose", "diagnose_log"]

THIN = 500
"""A diagnosis keeps the loss for drawing, thinned to this many points."""


def diagnose(
    run: str | Path | RunLog, *, names: Mapping[str, str] | None = None
) -> Diagnosis | list[Diagnosis]:
    """Name what is wrong with the learning rate of a run, or of each run in a folder.

    Looks at the loss and, where they were recorded, at the update/weight ratio and the lr. The
    verdicts of this version: diverged, too high, too low, never finite; none of them means healthy.
    On 206 runs of five tasks that chose no threshold, 92 % of the faults were named with the right
    direction, and 10 of 36 healthy runs were called faulty: a verdict is a reason to look, not a
    proof.

    Args:
        run: a run folder or any log that :func:`surefoot.read` reads, a :class:`RunLog`, or a
            folder that holds one or many of these.
        names: which recorded name is which curve, where that is not recognised; see
            :func:`surefoot.read`.

    Returns:
        One diagnosis; of a folder of many runs a list, one each. A run without a training loss, or
        with too few, is not judged, and its reason says so.

    Raises:
        LogError: there is no log, it cannot be read, or no run has a training loss.

    Example:
        >>> from surefoot.records import Curve, RunLog
        >>> loss = Curve(range(100), [2 - 0.005 * t for t in range(100)])
        >>> creeping = RunLog("slow", {"loss": loss})
        >>> diagnosis = diagnose(creeping)
        >>> diagnosis.healthy, diagnosis.verdicts[0].code, diagnosis.verdicts[0].direction
        (False, 'LR203', 'raise')
    """
    if isinstance(run, RunLog):
        return diagnose_log(run)
    if not isinstance(run, (str, Path)):
        raise InputError(f"run must be a path or a RunLog, not {run!r:.60}.")
    path = Path(run)
    runs = find_runs(path) if path.is_dir() else ()
    if len(runs) <= 1:
        return diagnose_log(read(runs[0] if runs else path, names=names))
    called = [path.name if each == path else str(each.relative_to(path)) for each in runs]
    logs = [read(each, name=name, names=names) for each, name in zip(runs, called, strict=True)]
    if not any("loss" in log for log in logs):
        raise LogError(f"None of the {len(logs)} runs in {str(path)!r} has a training loss.")
    return [diagnose_log(log) if "loss" in log else _not_judged(log) for log in logs]


def diagnose_log(log: RunLog) -> Diagnosis:
    """Return the diagnosis of one run.

    Raises:
        LogError: it has no training loss.
    """
    if "loss" not in log:
        raise LogError(f"{log.name}: {_lacks_loss(log)}")
    signs = Signs(log)
    verdict = next(filter(None, (rule.check(signs) for rule in ALL)), None)
    estimate = signs.estimate if signs.enough else math.nan
    return Diagnosis(
        run=log.name,
        verdicts=() if verdict is None else (verdict,),
        lr_over_best_log10=estimate,
        lr_over_best_log10_low=estimate - ESTIMATE_SPREAD,
        lr_over_best_log10_high=estimate + ESTIMATE_SPREAD,
        reason=_reason(signs, verdict.sentence(log.unit) if verdict else None),
        judged=signs.enough or verdict is not None,
        unit=log.unit,
        loss=log["loss"].thin(THIN),
    )


def _not_judged(log: RunLog) -> Diagnosis:
    return Diagnosis(log.name, (), reason=_lacks_loss(log), judged=False, unit=log.unit)


def _lacks_loss(log: RunLog) -> str:
    listed = ", ".join(log.names) or "nothing"
    return (
        f"it records {listed}, and no training loss; a column called 'loss', 'train/loss' or alike "
        "is needed."
    )


def _reason(signs: Signs, verdict: str | None) -> str:
    if verdict is not None:
        return verdict
    if not signs.enough:
        finite, broken = len(signs.loss), len(signs.log["loss"]) - len(signs.loss)
        more = f" ({broken} more were not finite)" if broken else ""
        return (
            f"Not judged: only {finite} finite losses were recorded{more}; a judgement needs at "
            f"least {LEAST_POINTS}."
        )
    return (
        f"Healthy: the loss fell from {signs.start:.3g} to {signs.final:.3g} and had flattened "
        "without climbing back."
    )
