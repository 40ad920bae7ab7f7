"""The first updates of a job, trained in every way that applies, and timed."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

import torch

from surefoot._engine.backends._backend import Job, Report, UnfitError, cut, shards
from surefoot._engine.backends.agreement import (
    Sample,
    check_agreement,
    refuse_leftovers,
    sample,
)
from surefoot._engine.backends.experience import Experience
from surefoot._engine.backends.fused import Fused, Shard, Shards, finish
from surefoot._engine.backends.loop import Loop
from surefoot._engine.backends.parcel import Way
from surefoot._engine.backends.processes import Processes, parts, ready, worker_count
from surefoot._engine.backends.room import fitted
from surefoot._engine.halving import halve, rungs
from surefoot._engine.training import Training
from surefoot.records import Engine, Member

__all__ = ["PILOT", "Pilot"]

PILOT = 4
"""Updates of the loop that are timed, and of a stack in each of its ways."""

LONG = 0.05
"""Seconds of an update that is timed alone, for it is timed well enough."""

STARTING = 4.0
"""Seconds until new worker processes are up and hold the trial."""

SENDING = 0.3
"""Seconds until workers that are up hold the trial."""

QUICKER = 2.0
"""So many times as quick a stack is expected to be when compiled, if nothing is known."""

QUICKER_ALONE = 1.2
"""So many times as quick as in the loop a member is expected to be in a compiled stack of one."""

WORTH_STACKING = 1.5
"""A stack that takes longer than this many times the loop is not worth compiling."""

CLEAR = 2.0
"""Where a stack is this many times as quick as the loop, no stack of one will be quicker."""

UNEVEN = 1.2
"""A part of a stack costs so many times its share of the whole."""


class Choice(NamedTuple):
    """A way to train, in this process (``workers`` = 1) or spread over several."""

    way: Way
    workers: int = 1


class Pilot:
    """Times each way to train a job on its first updates, and goes on with the quickest.

    What the stack was trained counts. How long each way took is remembered for trials of the same
    kind on this machine, so that the next sweep knows what compiling costs and is worth.

    Args:
        job: what to train; more than :data:`PILOT` updates each.
        workers: how many processes there may be; None is one for each core.
        report: told of the progress.
    """

    def __init__(self, job: Job, workers: int | None, report: Report) -> None:
        self._job = job
        self._report = _Count(report)
        self._updates = job.trial.steps * len(job.members)
        on_cpu = torch.device(job.trial.device or "cpu").type == "cpu"
        most = (workers or worker_count()) if on_cpu else 1
        self._workers = min(most, len(job.members))
        self._up = ready() >= self._workers
        self._shards: dict[Way, Shard] = {}
        self._seconds: dict[Choice, float] = {}
        """Of each way what an update of a member takes, other members included."""
        self._costs: dict[Choice, float] = {Choice("loop"): math.inf}
        """Of each way the seconds for the whole job."""
        self._waiting: dict[Choice, Experience] = {}
        """Of ways in workers that compile, what is known of that."""
        self._refusals: list[str] = []

    def run(self) -> tuple[list[Member], Engine]:
        """Train all members in the quickest way, and say which that is.

        Raises:
            InputError: the trial itself is wrong.
        """
        if not self._up:
            Experience.end_of_workers()
        self._measure()
        while True:
            choice = min(self._costs, key=self._costs.__getitem__)
            try:
                members = self._go_on(choice)
            except UnfitError as error:
                self._give_up(choice, error)
                continue
            self._note_missed(choice)
            return members, self._engine(choice)

    def _measure(self) -> None:
        try:
            alone = sample(self._job)
        except UnfitError as error:
            self._refusals.append(f"it cannot be fused: {error}")
            return
        self._note(Choice("loop"), alone.seconds)
        if self._workers > 1:
            self._note(Choice("loop", self._workers), self._with_one_thread(alone))
        try:
            self._job, said = fitted(self._job, alone.seconds, compiled=self._job.keep is None)
            self._refusals += said
            try:
                self._time_stack(_Check(alone))
            finally:
                refuse_leftovers(alone)
        except UnfitError as error:
            self._refusals.append(f"it cannot be fused: {error}")
            self._keep_to_the_loop()

    def _with_one_thread(self, alone: Sample) -> float:
        """Return what an update of a member takes in the loop of a worker process."""
        if torch.get_num_threads() == 1:
            return alone.seconds
        job, seed = self._job, alone.seed
        with suppress(Exception):  # what its own code raises is told of each member
            training = Training(job.trial, alone.job.members[0][0], seed, job.batches[seed])
            factors = job.trial.factors(training.optimizer)
            training.advance(1, factors)
            with _one_thread():
                return _clock(job, lambda updates: training.advance(updates, factors), 2)
        return alone.seconds

    def _time_stack(self, check: "_Check") -> None:
        seed, lrs = shards(self._job.members)[0]
        if len(lrs) == 1:
            raise UnfitError("each seed has one member")
        part = cut(lrs, self._job.together)[0]
        shard = Shard(self._job, part, seed, to_compile=True)
        shard.advance(1)  # which sets things up
        self._time_shard("fused", shard)
        fused, loop = (self._seconds[Choice(way)] for way in ("fused", "loop"))
        is_worth_it = fused < WORTH_STACKING * loop
        if is_worth_it:
            check()
        else:  # unchecked
            self._costs = {each: cost for each, cost in self._costs.items() if each.way != "fused"}
        if self._job.keep is not None:  # each rung has another number of members to compile for
            return
        if is_worth_it:
            self._compile("compiled", shard, fused / QUICKER, check)
        if min(s for each, s in self._seconds.items() if each.workers == 1) > loop / CLEAR:
            alone = Shard(self._job, lrs[:1], seed, to_compile=True)
            self._compile("compiled alone", alone, loop / QUICKER_ALONE, check)

    def _compile(self, way: Way, shard: Shard, expected: float, check: "_Check") -> None:
        """Compile a stack and time it, if what that wins will probably be more than it takes.

        What workers once needed for their part of it is believed without trying.
        """
        here = shard.experience()
        spread, there = Choice(way, self._workers), self._there(way, shard)
        if self._left(shard) < 4 * PILOT or here.seconds is None:
            return
        if self._workers > 1:
            self._waiting[spread] = there
            if there.seconds:
                if self._cost(spread, there.seconds) < min(self._costs.values()):
                    check()
                self._note(spread, there.seconds)
        guess = here.seconds or expected
        predicted = [self._cost(Choice(way), guess)]
        if self._workers > 1 and there.seconds == 0.0:
            predicted.append(self._cost(spread, guess))
        won = min(self._costs.values()) - min(predicted)
        if here.waiting > won:
            here.missed(won)
            return
        check()
        shard.compile()
        shard.advance(2)
        if shard.refusal:
            self._refusals.append(f"it is not compiled: {shard.refusal}")
        else:
            self._time_shard(way, shard, spread=there.seconds == 0.0)
        here.remember(shard.compiling, None if shard.refusal else self._seconds[Choice(way)])

    def _note_missed(self, taken: Choice) -> None:
        """Note what was lost because workers would first have had to compile."""
        for choice, known in self._waiting.items():
            if choice != taken and choice in self._costs:
                known.missed(self._costs[taken] - (self._costs[choice] - known.waiting))

    def _there(self, way: Way, shard: Shard) -> Experience:
        """Return what is known of the part that a worker trains of a stack."""
        own = len(shards(self._job.members)[0][1])
        part = 1 if way == "compiled alone" else -(-own // parts(self._job, own, self._workers))
        return shard.experience(part, workers=True)

    def _left(self, shard: Shard) -> int:
        return self._job.trial.steps - shard.updates

    def _time_shard(self, way: Way, shard: Shard, *, spread: bool = True) -> None:
        """Time a stack, as it is and, if asked, as it would be in a process with one thread."""
        self._shards[way] = shard
        share = 1.0 / len(shard.lrs)
        seconds = _clock(self._job, shard.advance, min(PILOT, self._left(shard)))
        self._note(Choice(way), share * seconds)
        if spread and self._workers > 1 and self._job.keep is None:
            if torch.get_num_threads() > 1:
                with _one_thread():
                    seconds = _clock(self._job, shard.advance, min(2, self._left(shard)))
            whole = way == "compiled alone" or len(shards(self._job.members)) % self._workers == 0
            self._note(Choice(way, self._workers), share * seconds * (1.0 if whole else UNEVEN))

    def _note(self, choice: Choice, seconds: float) -> None:
        """Note what an update of a member takes in one process."""
        self._seconds[choice] = seconds / choice.workers
        self._costs[choice] = self._cost(choice, seconds)

    def _cost(self, choice: Choice, seconds: float) -> float:
        """Return the seconds of the whole job."""
        training = self._updates * seconds / choice.workers
        if choice.workers == 1:
            return training
        waiting = self._waiting[choice].waiting if choice in self._waiting else 0.0
        return training + waiting + (SENDING if self._up else STARTING)

    def _go_on(self, choice: Choice) -> list[Member]:
        """Train the rest of the job."""
        way, workers = choice
        for other in self._shards.keys() - ({way} if workers == 1 else set()):
            del self._shards[other]  # frees its memory
        if workers > 1:
            spread = Processes(workers, way)
            members = spread.run(self._job, self._report)
            if spread.refusal:
                self._refusals.append(f"not compiled there: {spread.refusal}")
            return members
        if way == "loop":
            return Loop().run(self._job, self._report)
        if self._job.keep is not None:
            first = min(rungs(self._job.trial.steps))
            cohort = Shards(self._job, self._report, self._begun(way, first))
            return halve(cohort, self._job, self._report)
        members = self._finish(way)
        trained = {(member.lr, member.seed) for member in members}
        rest = [each for each in self._job.members if each not in trained]
        backend = Fused(compiled=way != "fused", alone=way == "compiled alone")
        return members + backend.run(replace(self._job, members=rest), self._report)

    def _finish(self, way: Way) -> list[Member]:
        """Train what the pilot has begun to its end."""
        shard = self._begun(way, self._job.trial.steps)
        return [] if shard is None else finish(shard, self._report)

    def _begun(self, way: Way, most: int) -> Shard | None:
        """Give away the stack of the pilot, whose updates count; None if they are too many."""
        shard = self._shards.pop(way, None)
        if shard is None or shard.updates > most:
            return None
        if way == "fused":
            shard.compiled = None
        self._report(shard.updates * len(shard.lrs), [])
        return shard

    def _give_up(self, choice: Choice, error: UnfitError) -> None:
        """Do without a way that failed after all; what it trained does not count."""
        self._report.take_back()
        del self._costs[choice]
        if choice.workers > 1:
            self._refusals.append(f"not spread over processes: {error}")
            self._costs = {each: cost for each, cost in self._costs.items() if each.workers == 1}
        else:
            self._refusals.append(f"it cannot be fused: {error}")
            self._keep_to_the_loop()

    def _keep_to_the_loop(self) -> None:
        """Take no stack any more, here or in workers."""
        self._costs = {each: cost for each, cost in self._costs.items() if each.way == "loop"}

    def _engine(self, choice: Choice) -> Engine:
        """Return the way taken, with what each was measured to take."""
        alone = choice.way == "loop"
        name = "processes" if alone and choice.workers > 1 else choice.way.split()[0]
        said = [f"{_name(each)} {_time(s)}" for each, s in self._seconds.items()]
        timed = f"an update of a member takes {', '.join(said)}" if said else ""
        return Engine(name, "; ".join([*self._refusals, *filter(None, [timed])]))


class _Count:
    """A report that remembers how many updates it passed on."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._updates = 0

    def __call__(self, updates: int, finished: Sequence[Member]) -> None:
        self._updates += updates
        self._report(updates, finished)

    def take_back(self) -> None:
        """Take back all that was reported: another backend begins again."""
        self._report(-self._updates, [])
        self._updates = 0


@contextmanager
def _one_thread() -> Generator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Check:
    """Compares stacked members with those of the loop, when it is first called."""

    def __init__(self, alone: Sample) -> None:
        self._alone = alone
        self._is_done = False

    def __call__(self) -> None:
        """Compare.

        Raises:
            UnfitError: they differ.
        """
        if not self._is_done:
            check_agreement(self._alone)
            self._is_done = True


def _clock(job: Job, advance: Callable[[int], None], updates: int) -> float:
    """Return the seconds of one update: the mean of so many, but of one alone if that is long."""
    _wait_for(job)
    started, made = time.perf_counter(), 0
    while made < updates and (made == 0 or time.perf_counter() - started < LONG):
        step = 1 if made == 0 else updates - made
        advance(step)
        _wait_for(job)
        made += step
    return (time.perf_counter() - started) / max(1, made)


def _wait_for(job: Job) -> None:
    """Wait until the device has done what it was told."""
    device = torch.device(job.trial.device or "cpu")
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(choice: Choice) -> str:
    where = f" in {choice.workers} processes" if choice.workers > 1 else ""
    return f"{choice.way.replace('alone', 'one by one')}{where}"


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"
