"""LR203, too low: the loss creeps, and is still falling as it was at the start.

**Why it is bad.** The budget ends before the training does.

**Evidence.** Either of

* *creeping*: the second half of the run made more than 15 % of the progress of the first half; a
  run at a good rate has flattened by then (not where the update/weight ratio says that the first
  updates were as large as good ones);
* *flat*: the loss changed by less than the noise of single losses, it never rose, and, where the
  update/weight ratio was recorded, the first updates moved the weights at most a fifth as far as
  good ones do.

Tiny first steps alone, as in fine-tuning, are no fault: they only make the verdict surer.

**Known false alarms.** A budget that is simply too short at any rate; training that was resumed
from a good point (nothing left to learn looks flat).

**Remedy.** Raise the rate, by the estimate from the early update/weight ratio where it was
recorded.
"""

import math

from surefoot.records import Verdict
from surefoot.rules._rule import Rule, times
from surefoot.rules._signs import Signs

__all__ = ["TooLow"]

CREEPING = 0.15
"""Share of late progress (four tuning tasks: at most 0.07 at the best rate, 0.13 and more from 20 ×
below it)."""

LARGE_STEPS = -0.7
"""Estimate of log10(lr ÷ best lr) above which a slow run is not the fault of a low rate."""

TINY_STEPS = -2.0
"""Estimate that makes a verdict surer: twice its uncertainty below a good rate."""


class TooLow(Rule):
    """The loss creeps, and is still falling as it was at the start."""

    code = "LR203"
    title = "learning rate too low"
    severity = "warning"
    direction = "raise"

    def check(self, signs: Signs) -> Verdict | None:
        """Return the verdict, or None if the rule does not hold."""
        if not signs.enough:
            return None
        measured = not math.isnan(signs.estimate)
        large_steps = signs.estimate > LARGE_STEPS
        creeping = signs.late_share > CREEPING and not large_steps
        flat = signs.is_flat and signs.climbed == 0 and not large_steps
        if not (creeping or flat):
            return None
        tiny = signs.estimate < TINY_STEPS
        decades = 2.0 if flat else 1.0
        if measured:
            decades = min(max(-signs.estimate, 0.5), 6.0)
        factor = 10.0**decades
        return self.verdict(
            signs,
            factor=factor,
            spread=5.0 if measured else 10.0,
            since=int(signs.loss.steps[0]),
            confidence=_confidence(measured=measured, agreeing=creeping + flat + tiny),
            advice=f"Raise the rate about {times(factor)}, or give the run more updates.",
        )


def _confidence(*, measured: bool, agreeing: int) -> float:
    if not measured:
        return 0.6
    return 0.7 if agreeing == 1 else 0.9
