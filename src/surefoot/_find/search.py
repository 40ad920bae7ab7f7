"""The search: a range test says where to look, real trainings decide, short ones first."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot._base.progress import Advance
from surefoot._curves.forecast import Forecast, Known, Seen, forecast
from surefoot._curves.range_reading import Blast, RangeReading, read_range
from surefoot._engine import ranks
from surefoot._engine.probe import Probe, ProbeRun, window
from surefoot.records import Attempt, Curve

__all__ = ["EFFORTS", "Effort", "Evidence", "RangeTest", "range_test", "search", "trial_updates"]

LOWEST, HIGHEST = 1e-6, 10.0
"""Ends of the range test."""

TEST = 0.12
"""Share of a training for the range test and its reference."""

FEWEST = 12
"""Updates of the range test, at least."""

LEAST = 4
"""Updates of a training, at least."""

JUDGED = 0.2
"""Judging on the way may cost this share of what is trained."""

USUALLY = 2
"""So often a short training is judged where the cost of judging is not known."""

MOST = 7
"""So often it is judged at the most, each time after √2 times as many updates."""

HALF = math.sqrt(0.5)

ALIKE = 0.12
"""Decades: where a training of before is so near to the rate that is wanted, it goes on."""

LOWER = 10**0.5
"""Where every training diverged, the next is tried this factor below."""

LOWER_AT_MOST = 6

UNSEEN = {1: (0.5,), 2: (0.25, 0.75), 3: (0.1, 0.5, 0.9)}
"""Of the best rate's distribution, the quantiles that a round of so many trainings tries."""


@dataclass(frozen=True)
class Effort:
    """How much to spend; chosen on the tuning workloads of ``benchmarks/find``.

    Args:
        rounds: (how many trainings, share of the budget that each goes to).
        spacing: factor between neighbouring rates of the first round.
    """

    rounds: tuple[tuple[int, float], ...]
    spacing: float

    def most_updates(self, steps: int, reference_cost: float) -> int:
        """Return the most updates that it is expected to cost for a budget of ``steps``."""
        test = test_updates(steps, reference_cost) * (1 + reference_cost)
        return round(test) + sum(
            count * trial_updates(share, steps) for count, share in self.rounds
        )


EFFORTS = {
    "quick": Effort(((3, 1 / 8),), spacing=10**0.4),
    "thorough": Effort(((5, 1 / 8), (2, 1.0)), spacing=10**0.4),
}


@dataclass(frozen=True)
class RangeTest:
    """What the range test saw.

    Args:
        sweep: its loss against lr.
        reference: the losses of the same batches without training.
        paired: whether they were the same batches.
        reading: what it says; None where its first loss was not finite or it blew up at once.
    """

    sweep: Curve
    reference: tuple[float, ...]
    paired: bool
    reading: RangeReading | None


@dataclass(frozen=True)
class Evidence:
    """All that the search saw.

    Args:
        test: the range test.
        untrained: what the model is judged by at the start.
        attempts: the trainings, in the order in which they ended.
        forecast: what they say of the whole training; None if none of them was finite.
    """

    test: RangeTest
    untrained: float
    attempts: tuple[Attempt, ...]
    forecast: Forecast | None


def test_updates(steps: int, reference_cost: float) -> int:
    """Return the length of the range test for a budget of ``steps`` updates."""
    return max(FEWEST, round(TEST * steps / (1 + reference_cost)))


def trial_updates(share: float, steps: int) -> int:
    """Return the length of a training of a share of the budget."""
    return max(LEAST, round(share * steps))


def range_test(probe: Probe, advance: Advance) -> RangeTest:
    """Train once while the rate grows, and compare with the same batches at the first weights."""
    count = test_updates(probe.steps, probe.reference_cost)
    reference = probe.reference(count)
    advance(math.ceil(count * probe.reference_cost), "range test")
    lrs = np.geomspace(LOWEST, HIGHEST, count).tolist()
    if not all(map(math.isfinite, reference)):
        return RangeTest(Curve([], []), tuple(reference), True, None)
    shared: list[Sequence[float] | None] = [reference]

    def stop(losses: Sequence[float]) -> bool:
        if len(losses) == 1 and not math.isclose(losses[0], reference[0], rel_tol=1e-5):
            shared[0] = None  # other batches
        return Blast(shared[0], count)(losses)

    losses = probe.range_test(lrs, stop)
    advance(len(losses), "range test")
    readable = len(losses) >= 5
    reading = read_range(lrs, losses, shared[0]) if readable else None
    sweep = Curve(lrs[: len(losses)], losses)
    return RangeTest(sweep, tuple(reference), shared[0] is not None, reading)


class Rounds:
    """The trainings of a search, round after round.

    Args:
        probe: what is trained.
        rates: (peak rate, updates) → the rate of each update.
        known: what trainings like it did.
        centre: the constant rate that is expected to be best.
        lift: the first trainings lie around so many times that rate.
        untrained: what the model is judged by at the start.
        advance: told the updates made.
    """

    def __init__(
        self,
        probe: Probe,
        rates: Callable[[float, int], list[float]],
        known: Known,
        centre: float,
        lift: float,
        untrained: float,
        advance: Advance,
    ) -> None:
        self._probe = probe
        self._rates = rates
        self._known = known
        self._centre = centre
        self._lift = lift
        self._untrained = untrained
        self._advance = advance
        self._constant = len(set(rates(1.0, 8))) == 1
        self._attempts: dict[float, Attempt] = {}
        self._ended: list[Attempt] = []

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """All trainings; one that went on is told as it ended."""
        return tuple(self._ended)

    def forecast(self) -> Forecast | None:
        """Return what the trainings so far say of the whole one; None if none was finite."""
        seen = [
            Seen(attempt.lr, update / self._probe.steps, loss)
            for attempt in self._ended
            for update, loss in zip(*attempt.judged, strict=True)
        ]
        if not any(math.isfinite(each.loss) for each in seen):
            return None
        return forecast(self._known, seen, self._untrained, self._centre)

    def first(self, effort: Effort) -> None:
        """Train around the centre, and lower where all diverge."""
        count, share = effort.rounds[0]
        powers = np.arange(count) - (count - 1) / 2
        for power in powers.tolist():
            self.train(self._centre * self._lift * effort.spacing**power, share)
        for _ in range(LOWER_AT_MOST):
            if any(math.isfinite(each.loss) for each in self._ended):
                return
            self.train(min(each.lr for each in self._ended) / LOWER, share)

    def further(self, count: int, share: float) -> None:
        """Train where the best rate is expected to lie."""
        told = self.forecast()
        if told is None:
            return
        for lr in ranks.first([told.quantile(quantile) for quantile in UNSEEN[count]]):
            self.train(self._near(lr), share)

    def train(self, lr: float, share: float) -> None:
        """Train up to a share of the budget."""
        updates = trial_updates(share, self._probe.steps)
        lr = float(f"{lr:.4g}")
        marks = [updates]
        if self._constant:
            marks = _marks(updates, self._probe.pass_cost)
        before = self._attempts.get(lr) if self._probe.goes_on and self._constant else None
        if before is not None:
            marks = [mark for mark in marks if mark > before.updates]
        run = self._probe.train(self._rates(lr, updates), marks)
        self._advance(run.updates, f"trial at lr {lr:.3g}")
        self._note(lr, run, before if run.updates < updates else None)

    def _near(self, lr: float) -> float:
        """Return the rate of a training that can go on, if there is one near."""
        if not (self._probe.goes_on and self._constant):
            return lr
        able = [each.lr for each in self._ended if math.isfinite(each.loss)]
        nearest = min(able, key=lambda rate: abs(math.log(rate / lr)), default=lr)
        return nearest if abs(math.log10(nearest / lr)) < ALIKE else lr

    def _note(self, lr: float, run: ProbeRun, before: Attempt | None) -> None:
        judged = run.judged
        if before is not None:
            judged = (*zip(*before.judged, strict=True), *judged)
            self._ended.remove(before)
        updates, losses = zip(*judged, strict=True)
        attempt = Attempt(lr, int(updates[-1]), float(losses[-1]), Curve(updates, losses))
        self._attempts[lr] = attempt
        self._ended.append(attempt)


def _marks(updates: int, pass_cost: float | None) -> list[int]:
    """Return after how many updates to judge: the last, and a few before it in even ratios.

    Example:
        >>> _marks(40, 0.0), _marks(40, 2.0), _marks(40, 100.0)
        ([5, 7, 10, 14, 20, 28, 40], [5, 10, 20, 40], [40])
    """
    if pass_cost is None:
        count = USUALLY
    else:
        count = MOST if pass_cost == 0 else int(JUDGED * updates / pass_cost)
    count = min(max(count, 1), MOST)
    every = (MOST - 1) // max(count - 1, 1) if count > 1 else MOST
    found = {round(updates * HALF**power) for power in range(0, MOST, every)}
    return sorted(mark for mark in found if mark >= LEAST or mark == updates)


def search(
    probe: Probe,
    effort: Effort,
    rates: Callable[[float, int], list[float]],
    known: Known,
    centre: Callable[[RangeReading], float],
    advance: Advance,
    lift: float = 1.0,
) -> Evidence:
    """Run the range test and the trainings.

    Args:
        probe: what can be trained.
        effort: how much to spend.
        rates: (peak rate, updates) → the rate of each update of a training through the schedule.
        known: what trainings like it did.
        centre: the constant rate that a range test's reading expects to be best.
        advance: told the updates made.
        lift: the first trainings lie around so many times that rate.
    """
    test = range_test(probe, advance)
    if test.reading is None or not any(_changes(test)):
        return Evidence(test, math.nan, (), None)
    judged = probe.untrained()
    untrained = window(test.reference) if judged is None else judged
    if not math.isfinite(untrained):
        return Evidence(test, untrained, (), None)
    rounds = Rounds(probe, rates, known, centre(test.reading), lift, untrained, advance)
    rounds.first(effort)
    for count, share in effort.rounds[1:]:
        rounds.further(count, share)
    return Evidence(test, untrained, rounds.attempts, rounds.forecast())


def _changes(test: RangeTest) -> list[bool]:
    """Return at which updates the loss differs from the one without training."""
    pairs = zip(test.sweep.values.tolist(), test.reference, strict=False)
    return [loss != base for loss, base in pairs]
