"""LR201, diverged: the loss is no longer finite, or ended well above where it began.

**Why it is bad.** The weights were thrown out of the region where the loss is smooth; nothing
that follows repairs them.

**Evidence.** The last recorded loss is NaN or infinite; or the mean of the last twentieth lies
above the first loss by more than three standard deviations of their difference and half the
distance that the loss had ever fallen.

**Known false alarms.** A loss that is NaN for another reason (bad data, log of zero, overflow in
half precision). A loss that never was finite is the matter of LR101.

**Remedy.** Start again with a rate ten times smaller, or with a warm-up.
"""

import math

from surefoot.records import Verdict
from surefoot.rules._rule import Rule
from surefoot.rules._signs import Signs

__all__ = ["Diverged"]


class Diverged(Rule):
    """The loss is no longer finite, or ended well above where it began."""

    code = "LR201"
    title = "diverged"
    severity = "error"
    direction = "lower"

    def check(self, signs: Signs) -> Verdict | None:
        """Return the verdict, or None if the rule does not hold."""
        steps, values = signs.log["loss"]
        if len(signs.loss) and not math.isfinite(values[-1]):
            broken = len(values) - 1
            while broken > 0 and not math.isfinite(values[broken - 1]):
                broken -= 1
            return self._lower(signs, since=int(steps[broken]), confidence=0.95)
        if not signs.enough:
            return None
        above = signs.final - signs.start
        if above > signs.margin and above > 0.5 * signs.learned:
            since = self._left_for_good(signs)
            return self._lower(signs, since=since, confidence=0.9)
        return None

    def _lower(self, signs: Signs, *, since: int, confidence: float) -> Verdict:
        return self.verdict(
            signs,
            factor=0.1,
            spread=5.0,
            since=since,
            confidence=confidence,
            advice="Start again with a tenth of the rate, or warm up to it.",
        )

    def _left_for_good(self, signs: Signs) -> int:
        """Return the update from which on every stretch lies above the start."""
        index = len(signs.blocks) - 1
        while index > 0 and signs.blocks[index - 1] > signs.start:
            index -= 1
        return signs.step_of_block(index)
