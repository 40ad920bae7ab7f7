"""The answer of ``find``."""

from dataclasses import dataclass, field
from typing import Literal

from surefoot._base.codec import Record
from surefoot.records.cost import Cost
from surefoot.records.curve import Curve

__all__ = ["Attempt", "Finding"]


@dataclass(frozen=True)
class Attempt(Record):
    """One short real trial that ``find`` made.

    Args:
        lr: learning rate that the optimizer was given, > 0 (in a loop: the first group's).
        updates: length of the trial in updates.
        loss: what it was judged by in the end: the validation loss where there is one, else the
            mean training loss of its last 30 %; inf if it diverged.
        judged: the same after fewer updates, and in the end.
    """

    lr: float
    updates: int
    loss: float
    judged: Curve = field(default_factory=lambda: Curve([], []))


@dataclass(frozen=True)
class Finding(Record):
    """The learning rate that was found, how sure it is, why, and what it cost.

    Args:
        lr: the recommended learning rate: what to give to the trial's optimizer function; in a
            loop, the first parameter group's, to which the others keep their ratio.
        low, high: an interval meant to hold the best rate in 90 % of searches; on workloads that
            chose nothing it did in 81 % (quick) and 88 % (thorough).
        source: ``"measured"``, or ``"default"`` when the evidence was too thin to recommend
            anything but the usual rate of this optimizer.
        reason: one sentence.
        cost: what it cost.
        diverges_at: the lowest rate at which the range test or a training diverged; None if none
            did. A range test is quick, so constant rates well below its own may diverge, too.
        metric: what the trials were judged by: "validation loss" or "training loss".
        sweep: the range test's loss against lr.
        attempts: the short trials, in the order in which they ran.
        default_lr: the usual rate of this optimizer, for the group that has the highest.
        name: the trial's name.
        forecast: the loss expected after the whole budget against lr; empty if unmeasured.
        forecast_low, forecast_high: between these it lies with a probability of 90 %.
        gain: by what share of it the loss is expected to be lower than at ``default_lr``; NaN if
            unmeasured.
        agreement: the factor between the lowest and the highest of what the best training, the
            most probable best rate and the least expected regret say by themselves; 1 is full
            agreement, NaN unmeasured.
        lrs: in a loop, the rate of each parameter group; empty for a trial.
        notes: what else one should know, a sentence each.
        applied: the whole training at ``lr``, if it was made; see ``surefoot find --apply``.
    """

    lr: float
    low: float
    high: float
    source: Literal["measured", "default"]
    reason: str
    cost: Cost
    diverges_at: float | None = None
    metric: str = "training loss"
    sweep: Curve = field(default_factory=lambda: Curve([], []))
    attempts: tuple[Attempt, ...] = ()
    default_lr: float = float("nan")
    name: str = ""
    forecast: Curve = field(default_factory=lambda: Curve([], []))
    forecast_low: Curve = field(default_factory=lambda: Curve([], []))
    forecast_high: Curve = field(default_factory=lambda: Curve([], []))
    gain: float = float("nan")
    agreement: float = float("nan")
    lrs: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    applied: Attempt | None = None

    def __str__(self) -> str:
        return f"lr {self.lr:.3g} ({self.source}, {self.low:.2g} … {self.high:.2g}): {self.reason}"
