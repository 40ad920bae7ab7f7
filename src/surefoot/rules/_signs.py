"""What the rules look at: a few scale-free numbers of a run, computed once."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from surefoot._curves.smoothing import RESOLUTION, noise
from surefoot.records import Curve, RunLog

__all__ = ["ESTIMATE_SPREAD", "LEAST_POINTS", "Signs"]

Array = NDArray[np.float64]

BLOCKS = 20
"""The loss is averaged over this many blocks, so that a run of any length looks alike."""

LEAST_POINTS = 20
"""Fewer losses than this say nothing."""

LEAST_INSIDE = 10
"""A stretch of fewer losses than this is too short to tell its own noise."""

TAKEN_BACK = 0.1
"""A rise of which no more than this share is left after the next stretch was one bad batch."""

GOOD_UPDATE_RATIO = 0.2
"""Early update/weight ratio × best lr ÷ lr, over all rates of four tuning tasks (median error 0.12
decades; at the best rates themselves the ratio is 0.05 to 0.25)."""

ESTIMATE_SPREAD = 1.0
"""Half width of the 80 % interval of log10(lr ÷ best lr), in decades: that quantile of the error on
five report tasks (0.3 on the tuning tasks, which is what they are for)."""


@dataclass(frozen=True)
class Signs:
    """A run seen through the eyes of the rules.

    Args:
        log: the run; it has a ``loss``.
    """

    log: RunLog

    @cached_property
    def loss(self) -> Curve:
        """The finite losses."""
        return self.log["loss"].finite()

    @property
    def enough(self) -> bool:
        """Whether there are losses enough to judge."""
        return len(self.loss) >= LEAST_POINTS

    @cached_property
    def blocks(self) -> Array:
        """Mean loss of each of 20 stretches."""
        return np.array([part.mean() for part in np.array_split(self.loss.values, BLOCKS)])

    @cached_property
    def block_errors(self) -> Array:
        """Standard error of each of these means, from the noise inside the stretch.

        A stretch too short to tell its noise has that of the whole run.
        """
        parts = np.array_split(self.loss.values, BLOCKS)
        inside = [noise(part) if len(part) >= LEAST_INSIDE else 0.0 for part in parts]
        floors = [self.resolution if len(p) >= LEAST_INSIDE else self.batch_noise for p in parts]
        sizes = np.array([len(part) for part in parts])
        return np.maximum(inside, floors) / np.sqrt(sizes)

    @cached_property
    def resolution(self) -> float:
        """The smallest difference that means anything: losses are computed in single precision."""
        return RESOLUTION * float(np.median(np.abs(self.loss.values)))

    @cached_property
    def start(self) -> float:
        """The loss before the first recorded update."""
        return float(self.loss.values[0])

    @cached_property
    def final(self) -> float:
        """The mean loss of the last twentieth."""
        return float(self.blocks[-1])

    @cached_property
    def learned(self) -> float:
        """How far the loss fell, from its start to its lowest stretch; 0 if it only rose."""
        return max(self.start - float(self.blocks.min()), 0.0)

    @cached_property
    def batch_noise(self) -> float:
        """Standard deviation of single losses around their trend."""
        return max(noise(self.loss.values), self.resolution)

    @cached_property
    def is_flat(self) -> bool:
        """Whether the change from start to end drowns in the noise."""
        return abs(self.start - self.final) <= self.margin

    @cached_property
    def margin(self) -> float:
        """How far start and end may lie apart by noise alone: three standard deviations."""
        return 3 * math.hypot(self.batch_noise, float(self.block_errors[-1]))

    @cached_property
    def rises(self) -> Array:
        """How far each stretch rose above the one before it; 0 where that may be noise.

        The largest of them is left out, with those right before it, if one of the next two
        stretches took it back: one bad batch. (Not in the first stretch: there it is the mark of a
        first step too long.)
        """
        changes = np.diff(self.blocks)
        errors = np.hypot(self.block_errors[1:], self.block_errors[:-1])
        rises = np.where(changes > 4 * errors, changes, 0.0)
        first = float(self.blocks[0]) - self.start
        beyond = first > 4 * (self.batch_noise + float(self.block_errors[0]))
        top = int(np.argmax(rises))
        foot = top
        while foot > 0 and rises[foot - 1] > 0:
            foot -= 1
        after = self.blocks[top + 2 : top + 4]
        left = self.blocks[foot] + TAKEN_BACK * (self.blocks[top + 1] - self.blocks[foot])
        if after.size and after.min() <= left:
            rises[foot : top + 1] = 0.0
        return np.concatenate([[first if beyond else 0.0], rises])

    @cached_property
    def climbed(self) -> float:
        """All rises together ÷ how far the loss fell: 0 in a steady descent."""
        total = float(self.rises.sum())
        if total == 0:
            return 0.0
        return total / self.learned if self.learned > 0 else math.inf

    @cached_property
    def relapsed(self) -> float:
        """How far the second half lies above the best stretch of the first ÷ how far the loss fell.

        0 where that may be noise; a run that still descends, however slowly, has 0.
        """
        half = BLOCKS // 2
        early = int(np.argmin(self.blocks[:half]))
        late = float(np.median(self.blocks[half:]))  # no bad batch moves it
        late_error = 1.25 * float(np.median(self.block_errors[half:])) / math.sqrt(half)
        error = math.hypot(self.block_errors[early], late_error)
        above = late - float(self.blocks[early])
        return above / self.learned if self.learned > 0 and above > 4 * error else 0.0

    @cached_property
    def unsettled(self) -> float:
        """Noise of single losses ÷ how far the loss fell, once it no longer falls; else 0.

        It no longer falls if the second half lies less than a twentieth of the way below the best
        stretch of the first quarter.
        """
        half = BLOCKS // 2
        gained = float(self.blocks[: half // 2].min()) - float(np.median(self.blocks[half:]))
        if not self.learned > 0 or gained > 0.05 * self.learned:
            return 0.0
        return noise(self.loss.values[len(self.loss) // 2 :]) / self.learned

    @cached_property
    def first_rise(self) -> int:
        """The update at which the first rise begins; 0 if there is none."""
        index = int(np.argmax(self.rises > 0))
        return self.step_of_block(index)

    @cached_property
    def late_share(self) -> float:
        """Progress of the second half ÷ progress of the first: small once a run has flattened.

        0 where the second half made no progress beyond noise; inf where only it did.
        """
        half = BLOCKS // 2
        middle = float(np.median(self.blocks[half - 2 : half + 2]))  # no bad batch moves it
        early, late = self.start - middle, middle - self.final
        error = float(np.hypot(self.block_errors[-1], self.block_errors[half]))
        if not late > 3 * error:
            return 0.0
        return late / early if early > 0 else math.inf

    @cached_property
    def early_update_ratio(self) -> float:
        """Largest of the first three update/weight ratios; NaN where none was recorded.

        Each is divided by the share that its update had of the lr at the end of the first rise, so
        that a warm-up does not look like a low rate.
        """
        ratios = self.log.get("update_ratio")
        if ratios is None:
            return math.nan
        steps, early = (part[:3] for part in ratios.finite())
        share = self._lr_share(steps)
        known = share > 0
        return float((early[known] / share[known]).max()) if known.any() else math.nan

    def _lr_share(self, steps: Array) -> Array:
        """Return lr ÷ the lr at the end of its first rise; 1 where no lr was recorded."""
        lr = self.log.get("lr")
        lr = None if lr is None else lr.finite()
        if lr is None or len(lr) < 3:
            return np.ones(len(steps))
        order = np.argsort(lr.steps, kind="stable")
        rates = lr.values[order]
        smooth = np.median([rates[:-2], rates[1:-1], rates[2:]], axis=0)  # one odd value is none
        falls = np.flatnonzero(np.diff(smooth) < 0)
        peak = float(smooth[falls[0] if falls.size else -1])
        if not peak > 0:
            return np.ones(len(steps))
        return np.minimum(np.interp(steps, lr.steps[order], rates) / peak, 1.0)

    @cached_property
    def estimate(self) -> float:
        """Estimate of log10(lr ÷ best lr) from the early update/weight ratio; NaN without it."""
        ratio = self.early_update_ratio
        return math.log10(ratio / GOOD_UPDATE_RATIO) if ratio > 0 else math.nan

    def step_of_block(self, index: int) -> int:
        """Return the update at which the stretch number ``index`` begins."""
        starts = [part[0] for part in np.array_split(self.loss.steps, BLOCKS)]
        return int(starts[index])

    def evidence(self) -> dict[str, float]:
        """Return the numbers that a verdict quotes."""
        if not self.enough:
            return {"finite_losses": float(len(self.loss))}
        return {
            "first_loss": self.start,
            "final_loss": self.final,
            "least_loss": float(self.loss.values.min()),
            "batch_noise": self.batch_noise,
            "climbed_share": self.climbed,
            "relapsed_share": self.relapsed,
            "unsettled_share": self.unsettled,
            "late_share": self.late_share,
            "early_update_ratio": self.early_update_ratio,
        }
