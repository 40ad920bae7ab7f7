"""Name what is wrong with the learning rate of a run, from its record alone."""

import math
from pathlib import Path

from surefoot.errors import LogError
from surefoot.records import Curve, Diagnosis, RunLog, find_runs, read
from surefoot.rules import ALL, Signs
from surefoot.rules._signs import ESTIMATE_SPREAD, LEAST_POINTS

__all__ = ["diagnose", "diagnose_log"]

THIN = 500
"""A diagnosis keeps the loss for drawing, thinned to this many points."""


def diagnose(run: str | Path | RunLog) -> Diagnosis | list[Diagnosis]:
    """Name what is wrong with the learning rate of a run, or of each run in a folder.

    Looks at the loss and, where it was recorded, at the update/weight ratio. The verdicts of this
    version: diverged, too high, too low; none of them means healthy.

    Args:
        run: a run folder, a TensorBoard folder or event file, a CSV file, a :class:`RunLog`, or a
            folder that holds many of these.

    Returns:
        One diagnosis; of a folder of many runs a list, one each.

    Raises:
        LogError: there is no log, it cannot be read, or it has no training loss.

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
    path = Path(run)
    runs = find_runs(path) if path.is_dir() else (path,)
    if len(runs) <= 1:
        return diagnose_log(read(path))
    return [diagnose_log(read(each, name=str(each.relative_to(path)))) for each in runs]


def diagnose_log(log: RunLog) -> Diagnosis:
    """Return the diagnosis of one run.

    Raises:
        LogError: it has no training loss.
    """
    if "loss" not in log:
        listed = ", ".join(log.names) or "nothing"
        raise LogError(
            f"{log.name} has no training loss: it records {listed}. A column called 'loss', "
            "'train/loss' or alike is needed."
        )
    signs = Signs(log)
    verdict = next(filter(None, (rule.check(signs) for rule in ALL)), None)
    estimate = signs.estimate if signs.enough else math.nan
    return Diagnosis(
        run=log.name,
        verdicts=() if verdict is None else (verdict,),
        lr_over_best_log10=estimate,
        lr_over_best_log10_low=estimate - ESTIMATE_SPREAD,
        lr_over_best_log10_high=estimate + ESTIMATE_SPREAD,
        reason=_reason(signs, str(verdict) if verdict else None),
        loss=_thinned(log),
    )


def _reason(signs: Signs, verdict: str | None) -> str:
    if verdict is not None:
        return verdict
    count = len(signs.loss)
    if not signs.enough:
        lost = len(signs.log["loss"]) - count
        besides = f" ({lost} more were not finite)" if lost else ""
        return (
            f"Only {count} finite losses were recorded{besides}; a judgement needs at least "
            f"{LEAST_POINTS}."
        )
    return (
        f"Healthy: the loss fell from {signs.start:.3g} to {signs.final:.3g} and had flattened "
        "without climbing back."
    )


def _thinned(log: RunLog) -> Curve:
    return log["loss"].thin(THIN)
