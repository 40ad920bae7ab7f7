"""From the evidence of a search to a finding with its interval and its reason."""

import math
from collections.abc import Sequence

from surefoot._curves.smoothing import smooth
from surefoot._engine.probe import Probe
from surefoot._find.search import Effort, Evidence
from surefoot.records import Attempt, Cost, Finding
from surefoot.schedules import Schedule

__all__ = ["answer"]

HORIZON_EXPONENT = 0.3
"""At a constant rate the best rate falls with the budget like T^-0.3: between the T^-0.5 of the
convex bound (Defazio et al. 2023) and the T^-0.19 … T^-0.32 measured on language models."""

ALIKE = 0.02
"""Trials that are worse than the best by less than this share of what it learned are as good as
equal, and the middle of them is the answer (four tuning tasks × 6 seeds, thorough: p90 of the
regret 37 % instead of 76 % for the best alone)."""

PLAUSIBLE = 0.05
"""The interval spans the trials within this share, and one spacing beyond on either side."""

DECAYS_BELOW = 0.2
"""A schedule that ends below this factor makes the best peak rate independent of the budget."""


def answer(
    probe: Probe, effort: Effort, schedule: Schedule | None, evidence: Evidence, cost: Cost
) -> Finding:
    """Return the finding that the evidence supports, or the default with the reason why not."""
    refusal, reading = _refusal(evidence), evidence.reading
    if refusal is not None or reading is None:
        return _default(probe, evidence, cost, refusal or "")
    last = evidence.rounds[-1]
    best = min(last, key=lambda attempt: attempt.loss)
    shrink = _horizon(schedule, best.updates / probe.steps)
    alike = _within(ALIKE, best, last, evidence)
    lr = shrink * math.sqrt(alike[0] * alike[-1])
    plausible, spacing = _within(PLAUSIBLE, best, last, evidence), effort.spacing
    low, high = plausible[0] * shrink / spacing, plausible[-1] * spacing
    if reading.diverges_at is not None:
        high = max(min(high, reading.diverges_at), lr)
    return Finding(
        lr=float(f"{lr:.3g}"),
        low=float(f"{low:.3g}"),
        high=float(f"{high:.3g}"),
        source="measured",
        reason=_reason(best, alike, evidence.attempts, shrink, probe),
        cost=cost,
        diverges_at=reading.diverges_at,
        metric=probe.metric,
        sweep=evidence.sweep,
        attempts=evidence.attempts,
        default_lr=probe.default_lr,
        name=probe.name,
    )


def _refusal(evidence: Evidence) -> str | None:
    """Return why nothing can be recommended, or None."""
    first = evidence.sweep.values[:3]
    if any(not math.isfinite(value) for value in first):
        return (
            "The loss was not finite at a learning rate of 1e-6 already: look for the fault in the "
            "data or the model, not in the rate."
        )
    reading = evidence.reading
    if reading is None:
        return "The loss blew up within the first updates of the range test."
    if not reading.clear:
        return (
            f"The range test's loss fell by {max(reading.drop, 0):.2g}, which is not clearly more "
            f"than its noise of {reading.noise:.2g}: no rate stands out in so short a test."
        )
    best = min(evidence.rounds[-1], key=lambda attempt: attempt.loss)
    if not math.isfinite(best.loss):
        return "Every short trial diverged."
    losses = [attempt.loss for attempt in evidence.rounds[0]]
    if len(losses) > 1 and min(losses) == max(losses):
        return "All short trials ended at the very same loss: the rate changes nothing."
    return None


def _default(probe: Probe, evidence: Evidence, cost: Cost, refusal: str) -> Finding:
    lr = probe.default_lr
    reading = evidence.reading
    return Finding(
        lr=lr,
        low=lr / 10,
        high=lr * 10,
        source="default",
        reason=f"{refusal} This is the usual rate of the optimizer, unmeasured.",
        cost=cost,
        diverges_at=None if reading is None else reading.diverges_at,
        metric=probe.metric,
        sweep=evidence.sweep,
        attempts=evidence.attempts,
        default_lr=lr,
        name=probe.name,
    )


def _horizon(schedule: Schedule | None, share: float) -> float:
    """Return what to multiply the best rate of a short trial by for the whole budget."""
    if schedule is not None and float(schedule(10**12)) < DECAYS_BELOW:
        return 1.0
    return min(share, 1.0) ** HORIZON_EXPONENT


def _within(
    share: float, best: Attempt, attempts: Sequence[Attempt], evidence: Evidence
) -> list[float]:
    """Return the rates around the best at most a share of what it learned worse."""
    start = float(smooth(evidence.sweep.values[:3], span=3)[-1])
    level = best.loss + share * abs(start - best.loss)
    row = sorted(attempts, key=lambda attempt: attempt.lr)
    first = last = row.index(best)
    while first > 0 and row[first - 1].loss <= level:
        first -= 1
    while last + 1 < len(row) and row[last + 1].loss <= level:
        last += 1
    return [attempt.lr for attempt in row[first : last + 1]]


def _reason(
    best: Attempt, alike: Sequence[float], attempts: Sequence[Attempt], shrink: float, probe: Probe
) -> str:
    lrs = [attempt.lr for attempt in attempts]
    tried = f"Of {len(attempts)} short trials between lr {min(lrs):.2g} and {max(lrs):.2g}, "
    least = f"the least {probe.metric} ({best.loss:.3g} after {best.updates} updates)"
    if len(alike) > 1:
        sentence = (
            f"{tried}those from {alike[0]:.3g} to {alike[-1]:.3g} are as good as equal, with "
            f"{least}; this is their middle"
        )
    else:
        sentence = f"{tried}the one at {best.lr:.3g} has {least}"
    if shrink < 1:
        sentence += f", lowered × {shrink:.2g} for the budget of {probe.steps} updates"
    return sentence + "."
