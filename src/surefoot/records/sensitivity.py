"""The U curve: loss as a function of the learning rate at a fixed budget."""

import math
from dataclasses import dataclass, field
from typing import Any

from surefoot._base.codec import Record
from surefoot._curves.u_curve import loss_unit
from surefoot.records.cost import Cost
from surefoot.records.curve import Curve
from surefoot.records.table import Table

__all__ = ["Basin", "Engine", "Member", "Optimum", "Point", "Sensitivity"]


@dataclass(frozen=True)
class Member(Record):
    """One training of a sweep.

    Args:
        lr: learning rate that the optimizer was given, > 0 (in a loop: the first group's).
        seed: seed of the weights and of the batches.
        loss: final loss; inf if the training stopped being finite.
        diverged: it ended not finite, or its rate lies above the best and learned less than a
            tenth of what the best learned.
        curve: training loss before each update.
        updates: how many updates it made.
        error: what its training raised, such as ``"ValueError: …"``; empty if nothing. Its loss is
            inf then, and it takes no part in the statistics.
        stopped: the update at which halving stopped it, ``loss`` being that there; None if it was
            trained until it ended.
    """

    lr: float
    seed: int
    loss: float
    diverged: bool
    curve: Curve = field(default_factory=lambda: Curve([], []))
    updates: int = 0
    error: str = ""
    stopped: int | None = None


@dataclass(frozen=True)
class Point(Record):
    """The members of one learning rate together.

    Args:
        lr: learning rate, > 0.
        loss: mean final loss over the seeds; inf if any of them stopped being finite. Where
            halving stopped the rate, that at the update ``stopped``.
        low, high: 90 % interval of the mean, Student's, of the logs where all losses are positive;
            equal to ``loss`` with one seed, which says nothing of the noise; NaN where halving
            stopped the rate.
        seeds: how many members.
        diverged: how many of them diverged.
        failed: how many more raised an exception, and are not counted otherwise.
        stopped: the update at which halving stopped this rate; None if it was trained to the end.
    """

    lr: float
    loss: float
    low: float
    high: float
    seeds: int
    diverged: int
    failed: int = 0
    stopped: int | None = None


@dataclass(frozen=True)
class Basin(Record):
    """The range of learning rates that are good enough.

    Args:
        low, high: its ends.
        tolerance: how much worse than the best counts as good enough: 0.1 is 10 % of the
            distance between the best loss and the floor.
        open_low, open_high: the basin reaches the end of the grid, so it may be wider than seen.
    """

    low: float
    high: float
    tolerance: float
    open_low: bool = False
    open_high: bool = False

    @property
    def decades(self) -> float:
        """Its width in decades of lr."""
        return math.log10(self.high / self.low)


@dataclass(frozen=True)
class Optimum(Record):
    """The best learning rate as a fit through the whole curve has it, with its interval.

    Args:
        lr: the best rate, > 0; it need not be one of the grid.
        low, high: the interval in which the best rate lies with probability ``level``.
        loss: the fitted loss there.
        level: probability of the interval, in (0, 1).
        open_low, open_high: the best rate may lie beyond the end of the grid on that side, and
            that end of the interval is only that of the grid.
    """

    lr: float
    low: float
    high: float
    loss: float
    level: float = 0.9
    open_low: bool = False
    open_high: bool = False


@dataclass(frozen=True)
class Engine(Record):
    """What ran the members of a sweep.

    Args:
        backend: ``"loop"``, ``"processes"``, ``"fused"`` or ``"compiled"``.
        reason: why that, what each way took for an update of a member, and why not a quicker one.
    """

    backend: str
    reason: str


@dataclass(frozen=True)
class Sensitivity(Record):
    """The U curve of one trial, its basin and the rate where training diverges.

    Args:
        points: one per learning rate, ascending.
        best: the point of the smallest mean loss, of those that were trained to the end.
        basin: the range of rates within ``basin.tolerance`` of it.
        diverges_at: the smallest rate above the best from which on every rate diverges; None if
            the grid does not reach so far, or halving stopped a rate that may be it.
        untrained: loss of the untrained model.
        metric: what ``loss`` is: "validation loss" or "training loss".
        reason: one sentence.
        cost: what it cost.
        members: every training.
        steps: the budget in updates.
        name: the trial's name.
        optimum: the best rate read from a fit, with its interval; None with too few rates, or if
            halving stopped any.
        decade_below, decade_above: how much is lost at a rate ten times smaller and ten times
            greater than the best, in units of best − floor, as the tolerance of the basin: 0.1 is
            10 %; inf where training fails, NaN where the grid does not reach or halving stopped.
        order: the power of ten that is safe to use, in the basin; None if there is none.
        extend_to: the power of ten to which the grid should be extended, for its end cut the curve
            off; None if it did not.
        engine: what ran the members.
    """

    points: tuple[Point, ...]
    best: Point
    basin: Basin
    diverges_at: float | None
    untrained: float
    metric: str
    reason: str
    cost: Cost
    members: tuple[Member, ...] = ()
    steps: int = 0
    name: str = ""
    optimum: Optimum | None = None
    decade_below: float = math.nan
    decade_above: float = math.nan
    order: float | None = None
    extend_to: float | None = None
    engine: Engine | None = None

    @property
    def unit(self) -> float:
        """Best − floor, in which the tolerance of the basin and losses beside the best are told.

        That is the best loss, but at least 0.1 % of what was learned; where losses may be negative,
        what was learned.
        """
        return loss_unit(self.best.loss, self.untrained)

    @property
    def was_halved(self) -> bool:
        """Whether halving stopped any rate before the end of the budget."""
        return any(point.stopped is not None for point in self.points)

    def table(self) -> Table:
        """Return the points as a table, with what went wrong where something did.

        Where halving stopped rates, the column ``stopped`` has the update, which their loss is of.
        """
        columns = ["lr", "loss", "low", "high", "seeds", "diverged", "failed"]
        if self.was_halved:
            columns.append("stopped")
        rows: list[list[Any]] = [
            [getattr(point, name) for name in columns] for point in self.points
        ]
        errors = [self._errors(point.lr) for point in self.points]
        if any(errors):
            columns.append("error")
            rows = [[*row, said] for row, said in zip(rows, errors, strict=True)]
        bad = [i for i, point in enumerate(self.points) if point.diverged or point.failed]
        title = f"{self.name}: {self.metric}" if self.name else self.metric
        return Table(columns, rows, title, best=self.points.index(self.best), bad=bad)

    def _errors(self, lr: float) -> str:
        """Return what trainings at this rate raised, each once."""
        return "; ".join(dict.fromkeys(m.error for m in self.members if m.lr == lr and m.error))

    def __str__(self) -> str:
        return self.reason
