"""LR101, never finite: no recorded loss was a number.

**Why it is bad.** Nothing can be learned from it, and no learning rate had a part in it yet.

**Evidence.** Every recorded loss is NaN or infinite, that before the first update among them.

**Known false alarms.** A record that begins in the middle of a run that had diverged before.

**Remedy.** Look for NaN in the inputs and targets, for log(0) or division by 0 in the loss, and for
overflow in half precision.
"""

import numpy as np

from surefoot.records import Verdict
from surefoot.rules._rule import Rule
from surefoot.rules._signs import Signs

__all__ = ["NotFinite"]


class NotFinite(Rule):
    """No recorded loss was finite."""

    code = "LR101"
    title = "loss never finite"
    severity = "error"
    direction = "none"
    is_lr_fault = False

    def check(self, signs: Signs) -> Verdict | None:
        """Return the verdict, or None if the rule does not hold."""
        steps, values = signs.log["loss"]
        if not len(values) or np.isfinite(values).any():
            return None
        return self.verdict(
            signs,
            factor=1.0,
            spread=1.0,
            since=int(steps[0]),
            confidence=0.95,
            advice="Look for NaN in the data, log(0) in the loss, or overflow; not at the rate.",
        )
