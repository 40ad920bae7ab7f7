"""LR202, too high: the loss keeps climbing back, or jumped and never came down.

**Why it is bad.** Steps longer than the valley is wide bounce between its walls; a jump in the
first updates can kill units for good.

**Evidence.** Any of

* *climbing*: the run is averaged over 20 stretches; all significant rises from one stretch to the
  next (beyond four standard errors) add up to more than a fifth of the distance that it fell. In
  a steady descent they add up to nothing. One rise that the next stretch took back, as after a
  bad batch, does not count;
* *relapsed*: the second half of the run lies above its best early stretch, beyond four standard
  errors and by more than 3 % of the distance that the loss fell;
* *unsettled*: after the first quarter of the run the loss no longer falls, single losses scatter
  by more than a tenth of the whole fall, and the first updates moved the weights about as far as
  good ones do, or farther;
* *stuck*: the loss changed by less than the noise of single losses although the first updates
  moved the weights about as far as good ones do, or farther;
* *violent steps*: one of the first updates moved the weights by more than twice their own size.

**Known false alarms.** Data that changed in the middle of the run; a step up at each epoch
boundary.

**What it does not see.** A rate that is a little too high but settles at a higher floor without
rising; that needs the validation loss or a second run.

**Remedy.** Lower the rate, by the estimate from the early update/weight ratio where it was
recorded, else by three.
"""

from surefoot.records import Verdict
from surefoot.rules._rule import Rule, times
from surefoot.rules._signs import Signs

__all__ = ["TooHigh"]

CLIMBED = 0.2
"""Rises that add up to this share of the fall are too many (four tuning tasks: at most 0.05 at the
best rate, at least 0.3 from three times it where it hurts)."""

RELAPSED = 0.03
"""Share of the fall that was lost again (same tasks: 0 at the best rate and below)."""

UNSETTLED = 0.1
"""Scatter ÷ fall (same tasks: at most 0.06 at the best rate)."""

LARGE_STEPS = -0.3
"""Estimate of log10(lr ÷ best lr) from which on scatter is the fault of a high rate."""

STUCK_FROM = -0.7
"""Estimate of log10(lr ÷ best lr) above which a flat loss is no matter of a low rate."""

VIOLENT = 1.0
"""Estimate that is enough by itself: an update/weight ratio above 2."""


class TooHigh(Rule):
    """The loss keeps climbing back, or jumped and never came down."""

    code = "LR202"
    title = "learning rate too high"
    severity = "warning"
    direction = "lower"

    def check(self, signs: Signs) -> Verdict | None:
        """Return the verdict, or None if the rule does not hold."""
        if not signs.enough:
            return None
        climbing = signs.climbed > CLIMBED or signs.relapsed > RELAPSED
        unsettled = signs.unsettled > UNSETTLED and signs.estimate > LARGE_STEPS
        stuck = signs.climbed > 1 or (signs.is_flat and signs.estimate > STUCK_FROM)
        violent = signs.estimate > VIOLENT
        if not (climbing or unsettled or stuck or violent):
            return None
        decades = max(signs.estimate, 0.5) if signs.estimate == signs.estimate else 0.5
        factor = 10.0 ** -min(decades + (0.5 if stuck else 0.0), 3.0)
        return self.verdict(
            signs,
            factor=factor,
            spread=5.0,
            since=signs.first_rise,
            confidence=0.75 if climbing + unsettled + stuck + violent == 1 else 0.9,
            advice=f"Lower the rate about {times(1 / factor)} (a factor 5 either way).",
        )
