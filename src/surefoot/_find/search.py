"""The search: a range test brackets, short real trials decide."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surefoot._base.progress import Advance
from surefoot._curves.range_reading import RangeReading, blew_up, read_range
from surefoot._engine.probe import Probe, compressed
from surefoot.records import Attempt, Curve
from surefoot.schedules import Schedule

__all__ = ["EFFORTS", "Effort", "Evidence", "search"]

LOWEST, HIGHEST = 1e-6, 10.0
"""Ends of the range test."""

BELOW_LOWEST = 10.0
"""The best constant rate lies about this factor below the rate of least loss in a range test
(median over 11 small workloads: a factor 10 to 12)."""


@dataclass(frozen=True)
class Effort:
    """How much to spend, as shares of one training.

    Args:
        sweep: length of the range test.
        rounds: (share of a training for each trial, how many of the best go on to the next round).
        spacing: factor between neighbouring rates of the first round.
        below, above: how many rates below and above the centre.
        extend: how many rates may be added at the end of the row that the best lies at.
    """

    sweep: float
    rounds: tuple[tuple[float, int], ...]
    spacing: float
    below: int
    above: int
    extend: int

    def sweep_updates(self, steps: int) -> int:
        """Return the length of the range test for a budget of ``steps`` updates."""
        return max(16, round(self.sweep * steps))

    def trial_updates(self, share: float, steps: int) -> int:
        """Return the length of one trial for a budget of ``steps`` updates."""
        return max(4, round(share * steps))

    def most_updates(self, steps: int) -> int:
        """Return the most updates that it can cost for a budget of ``steps`` updates."""
        count = self.below + 1 + self.above + self.extend
        total = self.sweep_updates(steps)
        for share, kept in self.rounds:
            total += count * self.trial_updates(share, steps)
            count = kept
        return total


EFFORTS = {
    "quick": Effort(0.16, ((0.08, 1),), spacing=10**0.5, below=1, above=1, extend=1),
    "thorough": Effort(0.20, ((0.125, 3), (0.5, 1)), spacing=10**0.5, below=3, above=2, extend=2),
}


@dataclass(frozen=True)
class Evidence:
    """All that the search saw.

    Args:
        sweep: the range test's loss against lr.
        reading: what it says; None if its first loss was not finite or there was too little.
        attempts: the trials.
        rounds: the attempts of each round.
    """

    sweep: Curve
    reading: RangeReading | None
    rounds: tuple[tuple[Attempt, ...], ...]

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The trials of all rounds."""
        return tuple(attempt for attempts in self.rounds for attempt in attempts)


def search(probe: Probe, effort: Effort, schedule: Schedule | None, advance: Advance) -> Evidence:
    """Run the range test and the trials; no trial at a rate at which the range test blew up.

    Args:
        probe: what can be trained.
        effort: how much to spend.
        schedule: what the rate will be multiplied by in the real run; None is a constant rate.
        advance: told the updates made.
    """
    sweep = _range_test(probe, effort.sweep_updates(probe.steps), advance)
    if len(sweep) < 8 or not np.isfinite(sweep.values[:3]).all():
        return Evidence(sweep, None, ())
    reading = read_range(sweep.steps.tolist(), sweep.values.tolist())
    if not reading.clear:
        return Evidence(sweep, reading, ())
    centre = reading.lowest_at / BELOW_LOWEST
    ceiling = math.inf if reading.diverges_at is None else reading.diverges_at
    row = [centre * effort.spacing**k for k in range(-effort.below, effort.above + 1)]
    lrs = [lr for lr in row if lr < ceiling]
    rounds: list[tuple[Attempt, ...]] = []
    for number, (share, kept) in enumerate(effort.rounds):
        updates = effort.trial_updates(share, probe.steps)
        attempts = [_attempt(probe, lr, updates, schedule, advance) for lr in lrs]
        if number == 0:
            for _ in range(effort.extend):
                lr = _beyond(attempts, effort.spacing)
                if lr is not None and lr < ceiling:
                    attempts.append(_attempt(probe, lr, updates, schedule, advance))
        rounds.append(tuple(attempts))
        lrs = sorted(a.lr for a in sorted(attempts, key=lambda attempt: attempt.loss)[:kept])
    return Evidence(sweep, reading, tuple(rounds))


def _range_test(probe: Probe, updates: int, advance: Advance) -> Curve:
    lrs = np.geomspace(LOWEST, HIGHEST, updates).tolist()
    run = probe.run(lrs, stop=blew_up, judge=False)
    advance(len(run.losses), "range test")
    return Curve(lrs[: len(run.losses)], run.losses)


def _attempt(
    probe: Probe, lr: float, updates: int, schedule: Schedule | None, advance: Advance
) -> Attempt:
    run = probe.run(compressed(schedule, probe.steps, updates, lr), stop=blew_up)
    advance(len(run.losses), f"trial at lr {lr:.3g}")
    cut_short = len(run.losses) < updates
    return Attempt(lr, len(run.losses), math.inf if cut_short else run.loss)


def _beyond(attempts: Sequence[Attempt], spacing: float) -> float | None:
    """Return the next rate past the end of the row if the best attempt lies there."""
    row = sorted(attempts, key=lambda attempt: attempt.lr)
    best = min(row, key=lambda attempt: attempt.loss)
    if best is row[0]:
        return best.lr / spacing
    if best is row[-1]:
        return best.lr * spacing
    return None
