"""Where on the loss along its direction a step ends: before the least, on it, or beyond."""

import math
from collections.abc import Mapping

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["Alpha"]

KEPT = 0.9
"""Of the sums of the pairs before, at each pair: a window of about ten."""


class Alpha(Quantity):
    r"""The slope of the loss at the end of a step over that at its beginning, with the sign turned.

    .. math:: \hat\alpha = -\frac{\sum_t g_{t+1} \cdot d_t}{\sum_t g_t \cdot d_t},
        \qquad d_t = w_{t+1} - w_t

    On a parabola −1 is a step of no length, 0 one to the least loss, +1 one as far up the other
    side, more than 1 climbs. Measured over runs of four small tasks: about −0.8 where the learning
    rate is far too low or decayed too early, 0.1 where training is healthy, 0.5 and more where it
    is too high and stuck. The two gradients are of two batches, and each holds noise of its own,
    which draws the value towards 0.

    Records ``slope_before`` :math:`g_t \cdot d_t` and ``slope_after`` :math:`g_{t+1} \cdot d_t`, in
    the unit of the loss, and ``alpha``, dimensionless, over the last ten pairs or so; all at update
    t + 1, at which they are known. Costs a copy of the parameters, kept until the next update, and
    five passes.

    Reference:
        Schneider, Dangel, Hennig, *Cockpit: A Practical Debugging Tool for the Training of Deep
        Neural Networks*, 2021 (α, there with the variances of both ends).
    """

    needs = frozenset({"gradient", "step", "next_gradient"})
    passes = 5
    summed = True

    def __init__(self) -> None:
        self._slope: Tensor | None = None
        self._before = self._after = 0.0

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Take the slope at the beginning of the step."""
        self._slope = update.slope()
        return {}

    def follow(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return the slopes at both ends."""
        before, self._slope = self._slope, None
        return {} if before is None else {"before": before, "after": update.slope(following=True)}

    def values(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Return the slopes, and the ratio of their sums."""
        if not numbers:
            return {}
        before, after = numbers["before"], numbers["after"]
        found = {"slope_before": before, "slope_after": after}
        if not math.isfinite(before + after):
            return found
        self._before = KEPT * self._before + before
        self._after = KEPT * self._after + after
        return {**found, "alpha": -self._after / self._before if self._before else math.nan}
