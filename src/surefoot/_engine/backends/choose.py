"""Which backend runs a job, and why."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from surefoot._engine.backends._backend import Job, Report, UnfitError, shards
from surefoot._engine.backends.agreement import check_agreement, sample
from surefoot._engine.backends.fused import Fused, Shard, Shards, finish
from surefoot._engine.backends.loop import Loop
from surefoot._engine.backends.processes import Processes, worker_count
from surefoot._engine.halving import halve, rungs
from surefoot.records import Engine, Member

__all__ = ["BACKENDS", "run_job"]

BACKENDS = ("auto", "loop", "processes", "fused")

PILOT = 4
"""Fused updates that are timed before the choice; if it falls on fused, they count."""

WORTH_STARTING = 20.0
"""Seconds of a loop that are worth starting worker processes."""


def run_job(
    job: Job, backend: str, workers: int | None, report: Report
) -> tuple[list[Member], Engine]:
    """Train the members of a job, and say what trained them.

    Args:
        job: what to train.
        backend: one of :data:`BACKENDS`.
        workers: how many processes; None is one for each core.
        report: told of the progress.

    Raises:
        InputError: the trial itself is wrong, or cannot be trained by the backend asked for.
    """
    if backend == "auto":
        members, engine = _choose(job, workers, report)
    else:
        members, engine = _run(job, backend, workers, report), Engine(backend, "asked for")
    found = {(member.lr, member.seed): member for member in members}
    return [found[each] for each in job.members], engine


def _run(job: Job, backend: str, workers: int | None, report: Report) -> list[Member]:
    if backend == "loop":
        return Loop().run(job, report)
    if backend == "processes":
        return Processes(workers).run(job, report)
    try:
        check_agreement(sample(job))
        return Fused().run(job, report)
    except UnfitError as error:
        raise UnfitError(f"This trial cannot be fused: {error}. backend='auto' runs it.") from error


def _choose(job: Job, workers: int | None, report: Report) -> tuple[list[Member], Engine]:
    """Fuse where that is right and quicker; else start processes if it takes long."""
    if len(job.members) == 1:
        return Loop().run(job, report), Engine("loop", "one member alone")
    if job.trial.steps <= PILOT:
        return Loop().run(job, report), Engine("loop", f"no more than {PILOT} updates each")
    count = _Count(report)
    seconds = 0.0
    try:
        alone = sample(job)
        seconds = alone.seconds
        seed, lrs = shards(job.members)[0]
        _refuse_one(lrs)
        check_agreement(alone)
        shard = Shard(job, lrs, seed)
        together = _time(shard)
        said = (
            f"{len(lrs)} members at once take {1e3 * together:.3g} ms for an update, one by one "
            f"{1e3 * seconds * len(lrs):.3g} ms"
        )
        if together < seconds * len(lrs):
            if job.keep is not None:
                return _halve(job, shard, count), Engine("fused", said)
            count(shard.updates * len(lrs), [])
            members = finish(shard, count)
            rest = replace(job, members=[each for each in job.members if each[1] != seed])
            return members + Fused().run(rest, count), Engine("fused", said)
        why = f"fusing is no quicker: {said}"
    except UnfitError as error:
        report(-count.updates, [])
        why = f"it cannot be fused: {error}"
    return _run_apart(job, workers, seconds, why, report)


def _halve(job: Job, shard: Shard, report: Report) -> list[Member]:
    """Halve a job of which one shard has begun, unless it is beyond the first rung."""
    first = min(rungs(job.trial.steps))
    begun = shard if shard.updates <= first else None
    if begun is not None:
        report(shard.updates * len(shard.lrs), [])
    return halve(Shards(job, report, begun), job, report)


def _refuse_one(lrs: Sequence[float]) -> None:
    if len(lrs) == 1:
        raise UnfitError("each seed has one member")


def _run_apart(
    job: Job, workers: int | None, seconds: float, why: str, report: Report
) -> tuple[list[Member], Engine]:
    """Train each member by itself: in processes if the loop would take long, else in the loop."""
    expected = seconds * job.trial.steps * len(job.members)
    on_cpu = torch.device(job.trial.device or "cpu").type == "cpu"
    if on_cpu and expected > WORTH_STARTING and (workers or worker_count()) > 1:
        try:
            found = Processes(workers).run(job, report)
            return found, Engine("processes", f"one by one it would take {expected:.0f} s; {why}")
        except UnfitError as error:
            why = f"{why}; nor spread over processes: {error}"
    return Loop().run(job, report), Engine("loop", why)


def _time(shard: Shard) -> float:
    """Return the seconds of one fused update; the first, which sets things up, does not count."""
    shard.advance(1)
    started = time.perf_counter()
    shard.advance(PILOT - 1)
    return (time.perf_counter() - started) / (PILOT - 1)


class _Count:
    """A report that remembers how many updates it passed on."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.updates = 0

    def __call__(self, updates: int, finished: Sequence[Member]) -> None:
        self.updates += updates
        self._report(updates, finished)
