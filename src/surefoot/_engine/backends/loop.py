"""The reference: one member after another, in this process."""

import math
import time
from collections.abc import Sequence

from surefoot._engine.backends._backend import (
    DIED,
    Job,
    Report,
    check_start,
    noise_seed,
    shards,
)
from surefoot._engine.batches import Batches, usual_window
from surefoot._engine.halving import Reached, halve
from surefoot._engine.said import one_line
from surefoot._engine.training import Training
from surefoot.errors import InputError
from surefoot.records import Curve, Member

__all__ = ["Alone", "Loop", "Pace", "as_member", "raise_again", "release", "train"]


class Loop:
    """One training after another. It works always, and the others are checked against it."""

    name = "loop"

    def run(self, job: Job, report: Report) -> list[Member]:
        """Train every member; see :class:`~surefoot._engine.backends._backend.Backend`."""
        if job.keep is not None:
            return halve(_Trainings(job, report), job, report)
        members: list[Member] = []
        for seed, lrs in shards(job.members):
            members += [train(job, lr, seed, job.batches[seed], report) for lr in lrs]
            job.batches[seed].forget()
        return members


def train(job: Job, lr: float, seed: int, batches: Batches, report: Report) -> Member:
    """Train one member for the whole budget and return it.

    Raises:
        InputError: the trial itself is wrong.
    """
    pace = Pace(job.trial.steps, report)
    member = Alone(job, lr, seed, batches).advance(job.trial.steps, pace)
    pace.finish([member])
    return member


class Alone:
    """One member of a job in training, from rung to rung.

    Args:
        job: what to train.
        lr, seed: of the member.
        batches: those of its seed.
        training: as far as it came in another process; None begins.
    """

    def __init__(
        self, job: Job, lr: float, seed: int, batches: Batches, training: Training | None = None
    ) -> None:
        self.job = job
        self.lr = lr
        self.seed = seed
        self.training = training
        self._batches = batches

    def advance(self, update: int, pace: "Pace") -> Member:
        """Train up to that update and return the member as it is then.

        Raises:
            InputError: the trial itself is wrong.
        """
        trial = self.job.trial
        try:
            training = self.training or self._begin()
            factors = trial.factors(training.optimizer)
            training.advance(update - len(training.losses), factors, stop=pace.update)
            is_last = update == trial.steps
            loss = training.judge() if is_last else training.judge_on_the_way()
            return as_member(self.lr, self.seed, training.losses, loss)
        except InputError:
            raise
        except Exception as error:
            losses = [] if self.training is None else self.training.losses
            return as_member(self.lr, self.seed, losses, math.inf, error)

    def _begin(self) -> Training:
        noise = noise_seed(self.job, self.lr, self.seed)
        training = Training(self.job.trial, self.lr, self.seed, self._batches, noise=noise)
        check_start(self.job, self.seed, training.model)
        self.training = training
        return training


class _Trainings:
    """A :class:`~surefoot._engine.halving.Cohort` of members that are all in memory at once."""

    def __init__(self, job: Job, report: Report) -> None:
        self._job = job
        self._report = report
        self._from = 0
        self._members = {
            (lr, seed): Alone(job, lr, seed, job.batches[seed]) for lr, seed in job.members
        }

    def advance(self, update: int, reached: Reached) -> None:
        for seed, lrs in shards(list(self._members)):
            for lr in lrs:
                pace = Pace(update - self._from, self._report)
                member = self._members[lr, seed].advance(update, pace)
                pace.finish([])
                reached(member)
            release(self._job, seed)
        self._from = update

    def keep(self, members: Sequence[tuple[float, int]]) -> None:
        self._members = {each: self._members[each] for each in members}


def release(job: Job, seed: int) -> None:
    """Free the batches of a seed at a rung, if those of all seeds are too many to stay."""
    if sum(batches.size for batches in job.batches.values()) > usual_window():
        job.batches[seed].release()


def raise_again(job: Job, members: Sequence[Member]) -> None:
    """Train one of the members, which all failed, once more, so that its exception is seen.

    Raises:
        Exception: what its training raises.
        InputError: it raises nothing now, or kills the process that it is trained in.
    """
    failed = next((each for each in members if not each.error.startswith(DIED)), None)
    if failed is not None:
        lr, seed = failed.lr, failed.seed
        noise = noise_seed(job, lr, seed)
        training = Training(job.trial, lr, seed, job.batches[seed], noise=noise)
        training.advance(job.trial.steps, job.trial.factors(training.optimizer))
        training.judge()
    error = (failed or members[0]).error
    raise InputError(f"every member of the sweep failed; one of them: {error}.")


def as_member(
    lr: float, seed: int, losses: Sequence[float], loss: float, error: Exception | None = None
) -> Member:
    """Return the noun of a training that is over."""
    made = len(losses) - (bool(losses) and not math.isfinite(losses[-1]))
    said = "" if error is None else one_line(error)
    diverged = error is None and not math.isfinite(loss)
    return Member(lr, seed, loss, diverged, Curve(range(len(losses)), losses), made, said)


class Pace:
    """Passes updates on to a report, a few times a second.

    Args:
        total: updates that are to be made; what is missing when it ends counts as made.
        report: what is told.
    """

    EVERY = 0.2
    """Seconds between two reports."""

    def __init__(self, total: int, report: Report) -> None:
        self._left = total
        self._report = report
        self._new = 0
        self._told = time.perf_counter()

    def update(self, _: object = None, count: int = 1) -> bool:
        """Count updates; the answer, False, lets a training go on."""
        self._new += count
        if time.perf_counter() - self._told > self.EVERY:
            self._tell(self._new, [])
        return False

    def finish(self, members: Sequence[Member]) -> None:
        """Count what is missing and say which members finished."""
        self._tell(self._left, members)

    def _tell(self, count: int, members: Sequence[Member]) -> None:
        self._report(count, members)
        self._left -= count
        self._new = 0
        self._told = time.perf_counter()
