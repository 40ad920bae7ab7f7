"""From the evidence of a search to a finding with its interval and its reason."""

import math
from collections.abc import Sequence

import numpy as np

from surefoot._curves.forecast import Forecast
from surefoot._engine.probe import JUDGED_SHARE, Probe
from surefoot._find.search import Evidence, best_training, failed, recommended
from surefoot.records import Cost, Curve, Finding

__all__ = ["answer"]

LIKELY = 0.9
"""Probability that the best rate lies in the interval."""

LEARNED = {"validation loss": 0.2, "training loss": 4.0}
"""In units of the batch noise, what must have been learned to say anything; of the mean over the
last updates its own noise."""

NEAR = 3
"""A rate may fail, in a whole training, this factor below one that failed in a short one."""

UNMEASURED = "This is the usual rate of the optimizer, unmeasured."


def answer(probe: Probe, evidence: Evidence, cost: Cost, notes: Sequence[str] = ()) -> Finding:
    """Return the finding that the evidence supports, or the default with the reason why not.

    Args:
        probe: what was trained.
        evidence: what was seen.
        cost: what it cost.
        notes: what else the user should know.
    """
    told = evidence.forecast
    facts = {
        "cost": cost,
        "diverges_at": _diverges_at(evidence),
        "metric": probe.metric,
        "sweep": evidence.test.sweep,
        "attempts": evidence.attempts,
        "default_lr": probe.default_lr,
        "name": probe.name,
        "notes": tuple(notes),
    }
    refusal = _refusal(probe, evidence)
    if refusal is not None or told is None:
        lr, said = _fallback(probe.default_lr, evidence)
        return Finding(lr, lr / 10, lr * 10, "default", f"{refusal} {said}", **facts)
    lr = float(f"{recommended(told, evidence.attempts, probe.default_lr):.3g}")
    low, high = (told.quantile(share) for share in ((1 - LIKELY) / 2, (1 + LIKELY) / 2))
    half = math.sqrt(told.lrs[1] / told.lrs[0]) if len(told.lrs) > 1 else 10**0.5
    low, high = min(low, lr) / half, max(high, lr) * half  # what was looked at is so far apart
    return Finding(
        lr=lr,
        low=float(f"{low:.3g}"),
        high=float(f"{high:.3g}"),
        source="measured",
        reason=_reason(probe, evidence, lr),
        forecast=_curve(told, 0.5),
        forecast_low=_curve(told, (1 - LIKELY) / 2),
        forecast_high=_curve(told, (1 + LIKELY) / 2),
        gain=_gain(told, lr, probe.default_lr, evidence.untrained),
        agreement=_agreement(evidence, told, lr),
        **facts,
    )


def _fallback(default_lr: float, evidence: Evidence) -> tuple[float, str]:
    """Return the usual rate, or a lower one where trainings failed there; and which it is."""
    noise = 0.0 if evidence.test.reading is None else evidence.test.reading.noise
    lowest = min(failed(evidence.attempts, evidence.untrained, noise), default=math.inf)
    if default_lr * NEAR < lowest:
        return default_lr, UNMEASURED
    below = [each.lr for each in evidence.attempts if each.lr < lowest]
    lr = max(below, default=lowest / NEAR)
    which = "the highest below it that was tried" if below else "below all that were tried"
    return lr, (
        f"The usual rate of the optimizer is {default_lr:.3g}, but at {lowest:.3g} training "
        f"failed; {lr:.3g} is {which}."
    )


def _refusal(probe: Probe, evidence: Evidence) -> str | None:
    """Return why nothing can be recommended, or None."""
    test = evidence.test
    if not all(map(math.isfinite, test.reference)):
        return (
            "The loss was not finite at a learning rate of 0 already: look for the fault in the "
            "data or the model, not in the rate."
        )
    if test.reading is None:
        return "The loss blew up within the first updates of the range test."
    if test.paired and test.sweep.values.tolist() == list(test.reference[: len(test.sweep)]):
        return (
            "No rate changed the loss, not even in its last digit: is the model frozen, or the "
            "loss detached from it?"
        )
    if not math.isfinite(evidence.untrained):
        return f"The {probe.metric} of the untrained model is not finite."
    if evidence.forecast is None:
        if any(math.isfinite(attempt.loss) for attempt in evidence.attempts):
            return (
                f"No training ended below the untrained {probe.metric}, {evidence.untrained:.3g}."
            )
        return "Every short training diverged."
    ends = [attempt.loss for attempt in evidence.attempts]
    if len(ends) > 1 and min(ends) == max(ends):
        return "All short trainings ended at the very same loss: the rate changes nothing."
    best = min(evidence.attempts, key=lambda attempt: attempt.loss)
    learned, needed = evidence.untrained - best.loss, LEARNED[probe.metric] * test.reading.noise
    if probe.metric == "training loss":  # a mean, so less noisy the longer it trained
        needed /= math.sqrt(max(1.0, JUDGED_SHARE * best.updates))
    if not (learned > needed):
        return (
            f"The {probe.metric} fell by {max(learned, 0):.2g}, which is not clearly more than "
            f"noise (batches differ by {test.reading.noise:.2g}, so {needed:.2g} was needed): no "
            "rate stands out in so short a search."
        )
    return None


def _diverges_at(evidence: Evidence) -> float | None:
    """Return the lowest rate at which the range test or a training blew up."""
    reading = evidence.test.reading
    seen = [each.lr for each in evidence.attempts if not math.isfinite(each.loss)]
    if reading is not None and reading.diverges_at is not None:
        seen.append(reading.diverges_at)
    return min(seen, default=None)


def _curve(told: Forecast, share: float) -> Curve:
    return Curve(told.lrs, np.quantile(told.losses, share, axis=0))


def _gain(told: Forecast, lr: float, default_lr: float, untrained: float) -> float:
    """Return by what share of it the loss is expected to be less than at the usual rate."""
    usual = told.expected(default_lr)
    if not math.isfinite(usual):  # beyond what was looked at: nothing is learned, or it fails
        usual = untrained
    return float((usual - told.expected(lr)) / max(abs(usual), 1e-12))


def _agreement(evidence: Evidence, told: Forecast, lr: float) -> float:
    """Return the factor between the lowest and the highest of what each rule says by itself."""
    rules = (lr, told.quantile(0.5), best_training(evidence.attempts).lr)
    return max(rules) / min(rules)


def _reason(probe: Probe, evidence: Evidence, lr: float) -> str:
    attempts = evidence.attempts
    lrs, best = [attempt.lr for attempt in attempts], best_training(attempts)
    tried = f"Of {len(attempts)} trainings between lr {min(lrs):.2g} and {max(lrs):.2g} "
    least = f"the one at {best.lr:.3g} has the least {probe.metric} ({best.loss:.3g} after "
    said = f"{tried}{least}{best.updates} updates)"
    if math.isclose(lr, probe.default_lr, rel_tol=0.005):
        return f"{said}; the usual rate of the optimizer, {lr:.3g}, is as good as can be told."
    if best.updates < probe.steps:
        said += f"; after all {probe.steps}, {lr:.3g} is expected to be best"
    elif not math.isclose(best.lr, lr, rel_tol=0.02):
        said += f"; with all that was seen, {lr:.3g} is expected to be best"
    return said + "."
