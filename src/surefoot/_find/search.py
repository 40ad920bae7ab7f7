"""The search: a range test says where to look, real trainings decide, short ones first."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot._base.progress import Advance
from surefoot._curves.forecast import Forecast, Known, Seen, forecast
from surefoot._curves.range_reading import Blast, RangeReading, read_range
from surefoot._engine import ranks
from surefoot._engine.probe import Probe, window
from surefoot.records import Attempt, Curve

__all__ = [
    "EFFORTS",
    "SHORTEST",
    "Attempts",
    "Effort",
    "Evidence",
    "RangeTest",
    "Start",
    "best_training",
    "failed",
    "range_test",
    "recommended",
    "search",
    "trial_updates",
]

LOWEST, HIGHEST = 1e-6, 10.0
"""Ends of the range test."""

TEST = 0.12
"""Share of a training for the range test and its reference."""

SHORTEST = 10
"""Updates of a budget that can be searched, at least."""

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
"""Decades: two rates that are nearer to each other tell the same."""

AROUND = 0.5
"""Decades: so far from the rate that is wanted a training may lie to go on in its stead, where a
new one would cost too much."""

FURTHER = 10**0.5
"""Where no training learned anything, the next is tried this factor beyond."""

FURTHER_AT_MOST = 6

ROSE = 4
"""A training failed if it ended so many times the batch noise above the untrained loss."""

NEARLY = 0.9
"""A training that had this part of a share counts as one of that share."""

ELSE = (0.75, 0.25)
"""The quantiles that are tried where the one that is wanted is known already."""

FIRST = 1 / 8
"""Share of the budget of the first trainings."""

SPACING = 10**0.4
"""Factor between their rates."""

UP = 10**0.35
"""They lie around so many times the rate that is expected to be best: whether a rate fails is the
dearest question."""

TRUSTED = 0.2
"""Decades: so far from the best training the answer may lie. Further away the forecast of one
training is too often wrong (on the tuning workloads a worst regret of 158 % becomes 76 %)."""

USUAL, ALIKE_REGRET = 0.3, 0.1
"""Where the usual rate of the optimizer is within so many decades of the answer and its expected
regret is not larger by more than this, it is the answer: what works on other tasks will rather work
on the next seed (on the tuning workloads thorough is worse than it in 3 instead of 11 %)."""

Step = tuple[float, float]
"""A training at this quantile of where the best rate may lie, to this share of the budget."""


@dataclass(frozen=True)
class Effort:
    """How much to spend; chosen on the tuning workloads of ``benchmarks/find``.

    Args:
        first: so many trainings around the rate that is expected to be best.
        further: then these, one after another, each where the best rate is expected by then; where
            a training of before lies near, that one goes on.
        anew: in the stead of these where no training can go on, as the rate decays.
    """

    first: int
    further: tuple[Step, ...]
    anew: tuple[Step, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the budget, the parts that are trained."""
        return FIRST, *(share for _, share in self.anew)

    def most_trained(self, steps: int) -> int:
        """Return the most updates of trainings for a budget of ``steps``."""
        return (self.first - 1) * trial_updates(FIRST, steps) + sum(
            trial_updates(share, steps) for share in self.shares
        )

    def most_updates(self, steps: int, reference_cost: float) -> int:
        """Return the most that it is expected to cost for a budget of ``steps``."""
        test = test_updates(steps, reference_cost) * (1 + reference_cost)
        return round(test) + self.most_trained(steps)


EFFORTS = {
    "quick": Effort(2, further=((0.5, 1 / 8),), anew=((0.5, 1 / 8),)),
    "thorough": Effort(
        3,
        further=((0.25, 1 / 4), (0.75, 1 / 4), (0.35, 1.0), (0.65, 1.0)),
        anew=((0.5, 1 / 2), (0.25, 1.0), (0.75, 1.0)),
    ),
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
        forecast: what they say of the whole training; None if none of them learned anything.
    """

    test: RangeTest
    untrained: float
    attempts: tuple[Attempt, ...]
    forecast: Forecast | None


def test_updates(steps: int, reference_cost: float) -> int:
    """Return the length of the range test for a budget of ``steps`` updates."""
    return max(FEWEST, math.floor(TEST * steps / (1 + reference_cost) + 1e-9))


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


@dataclass(frozen=True)
class Start:
    """What is known before the first training.

    Args:
        guess: the constant rate that is expected to be best.
        untrained: what the model is judged by.
        noise: standard deviation of the loss from batch to batch.
        lowest_at: the rate at which the range test's loss was least; no higher one is tried where
            nothing was learned.
    """

    guess: float
    untrained: float
    noise: float = 0.0
    lowest_at: float = 0.0


class Attempts:
    """The trainings of a search, one after another.

    Args:
        probe: what is trained.
        rates: (peak rate, updates) → the rate of each update.
        known: what trainings like it did.
        start: what is known before them.
        advance: told the updates made.
    """

    def __init__(
        self,
        probe: Probe,
        rates: Callable[[float, int], list[float]],
        known: Known,
        start: Start,
        advance: Advance,
    ) -> None:
        self._probe = probe
        self._rates = rates
        self._known = known
        self._start = start
        self._advance = advance
        self._constant = len(set(rates(1.0, 8))) == 1
        self._made = 0
        self._ended: list[Attempt] = []

    @property
    def all(self) -> tuple[Attempt, ...]:
        """All trainings; one that went on is told as it ended."""
        return tuple(self._ended)

    def forecast(self) -> Forecast | None:
        """Return what the trainings so far say of the whole one; None if none learned anything."""
        seen = [
            Seen(attempt.lr, update / self._probe.steps, loss)
            for attempt in self._ended
            for update, loss in zip(*attempt.judged, strict=True)
        ]
        if not any(each.loss < self._start.untrained for each in seen):
            return None
        return forecast(self._known, seen, self._start.untrained, self._start.guess)

    def run(self, effort: Effort) -> None:
        """Train around the guess, further off where nothing is learned, then at the best."""
        for power in (np.arange(effort.first) - (effort.first - 1) / 2).tolist():
            self._train(self._start.guess * UP * SPACING**power, FIRST)
        steps = self._probe.steps
        most, short = effort.most_trained(steps), trial_updates(FIRST, steps)
        for _ in range(FURTHER_AT_MOST):
            learned = any(each.loss < self._start.untrained for each in self._ended)
            if learned or self._made + short > most:
                break
            self._train(self._further(), FIRST)
        for quantile, share in effort.further if self._constant else effort.anew:
            told = self.forecast()
            if told is None:
                return
            choices = self._on if self._constant else self._anew
            for lr, reach in choices(told, quantile, share):
                left = trial_updates(reach, steps) - self._probe.updates_of(lr)
                if left > 0 and self._made + left <= most:
                    self._train(lr, reach)
                    break

    def _further(self) -> float:
        """Return a rate beyond those that learned nothing: above them, if that may be too little.

        It may where the highest did not fail and the range test's loss was least further up.
        """
        lrs = [each.lr for each in self._ended]
        above = max(lrs) * FURTHER
        low = above <= self._start.lowest_at and not failed(
            self._ended, self._start.untrained, self._start.noise
        )
        return above if low else min(lrs) / FURTHER

    def _on(self, told: Forecast, quantile: float, share: float) -> Iterator[tuple[float, float]]:
        """Yield what to train in order of preference: the rate, or what is near and can go on."""
        (wanted,) = ranks.first([told.quantile(quantile)])
        able = [each.lr for each in self._ended if self._probe.updates_of(each.lr)]
        able.sort(key=lambda lr: abs(math.log10(lr / wanted)))
        if not able or abs(math.log10(able[0] / wanted)) >= ALIKE:
            yield wanted, share
        for lr in able:
            had = self._probe.updates_of(lr) / self._probe.steps
            if had < 1 and abs(math.log10(lr / wanted)) < AROUND:
                yield lr, share if had < NEARLY * share else min(1.0, 2 * had)

    def _anew(self, told: Forecast, quantile: float, share: float) -> Iterator[tuple[float, float]]:
        """Yield the rate, or another where one so near was trained as long."""
        updates = trial_updates(share, self._probe.steps)
        same = [each.lr for each in self._ended if each.updates >= updates]
        for wanted in ranks.first([told.quantile(each) for each in (quantile, *ELSE)]):
            if all(abs(math.log10(lr / wanted)) >= ALIKE for lr in same):
                yield wanted, share

    def _train(self, lr: float, share: float) -> None:
        """Train up to a share of the budget, from where a training at this rate was."""
        updates, lr = trial_updates(share, self._probe.steps), float(f"{lr:.4g}")
        marks = [updates]
        if self._constant:
            marks = _marks(updates, self._probe.pass_cost)
        had = self._probe.updates_of(lr) if self._constant else 0
        run = self._probe.train(self._rates(lr, updates), [mark for mark in marks if mark > had])
        self._made += run.updates
        self._advance(run.updates, f"trial at lr {lr:.3g}")
        judged = run.judged
        if had:
            before = next(each for each in self._ended if each.lr == lr)
            self._ended.remove(before)
            earlier = zip(*before.judged, strict=True)
            judged = (*((int(update), float(loss)) for update, loss in earlier), *judged)
        course = Curve(*zip(*judged, strict=True))
        self._ended.append(Attempt(lr, judged[-1][0], judged[-1][1], course))


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


def best_training(attempts: Sequence[Attempt]) -> Attempt:
    """Return the one with the least loss among the longest, of which one is finite."""
    longest = max(each.updates for each in attempts if math.isfinite(each.loss))
    return min((each for each in attempts if each.updates == longest), key=lambda each: each.loss)


def failed(attempts: Sequence[Attempt], untrained: float, noise: float) -> list[float]:
    """Return the rates of those whose loss rose clearly, or is not finite."""
    return [each.lr for each in attempts if not each.loss <= untrained + ROSE * noise]


def recommended(told: Forecast, attempts: Sequence[Attempt], usual: float) -> float:
    """Return the rate of least expected regret near the best training, or the usual one nearby."""
    lr = told.best(best_training(attempts).lr, TRUSTED)
    near = abs(math.log10(usual / lr)) < USUAL
    as_good = told.regret_at(usual) <= told.regret_at(lr) + ALIKE_REGRET
    return usual if near and as_good else lr


def search(
    probe: Probe,
    effort: Effort,
    rates: Callable[[float, int], list[float]],
    known: Known,
    guess: Callable[[RangeReading], float],
    advance: Advance,
) -> Evidence:
    """Run the range test and the trainings.

    Args:
        probe: what can be trained.
        effort: how much to spend.
        rates: (peak rate, updates) → the rate of each update of a training through the schedule.
        known: what trainings like it did.
        guess: the constant rate that a range test's reading expects to be best.
        advance: told the updates made.
    """
    test = range_test(probe, advance)
    if test.reading is None or not any(_changes(test)):
        return Evidence(test, math.nan, (), None)
    judged = probe.untrained()
    untrained = window(test.reference) if judged is None else judged
    if not math.isfinite(untrained):
        return Evidence(test, untrained, (), None)
    reading = test.reading
    start = Start(guess(reading), untrained, reading.noise, reading.lowest_at)
    attempts = Attempts(probe, rates, known, start, advance)
    attempts.run(effort)
    return Evidence(test, untrained, attempts.all, attempts.forecast())


def _changes(test: RangeTest) -> list[bool]:
    """Return at which updates the loss differs from the one without training."""
    pairs = zip(test.sweep.values.tolist(), test.reference, strict=False)
    return [loss != base for loss, base in pairs]
