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
from surefoot._engine.batches import Batches
from surefoot._engine.said import one_line
from surefoot._engine.training import Training
from surefoot.errors import InputError
from surefoot.records import Curve, Member

__all__ = ["Loop", "Pace", "as_member", "raise_again", "train"]


class Loop:
    """One training after another. It works always, and the others are checked against it."""

    name = "loop"

    def run(self, job: Job, report: Report) -> list[Member]:
        """Train every member; see :class:`~surefoot._engine.backends._backend.Backend`."""
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
    losses: list[float] = []
    pace = Pace(job.trial.steps, report)
    try:
        training = Training(job.trial, lr, seed, batches, noise=noise_seed(job, lr, seed))
        check_start(job, seed, training.model)
        losses = training.losses
        factors = job.trial.factors(training.optimizer)
        training.advance(job.trial.steps, factors, stop=pace.update)
        member = as_member(lr, seed, losses, training.judge())
    except InputError:
        raise
    except Exception as error:
        member = as_member(lr, seed, losses, math.inf, error)
    pace.finish([member])
    return member


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
