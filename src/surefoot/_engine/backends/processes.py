"""Members spread over worker processes, one for each core."""

import multiprocessing
import os
import queue
import re
import signal
import sys
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from surefoot._base import checks
from surefoot._engine.backends._backend import DIED, Job, Report, UnfitError, shards
from surefoot._engine.backends.experience import Experience
from surefoot._engine.backends.loop import Pace
from surefoot._engine.backends.parcel import STOP, WAITING, Way, open_board, send, unfit
from surefoot._engine.backends.worker import THREADS, Outcome, Unit, prepare, work
from surefoot._engine.halving import Reached, halve
from surefoot._engine.source import modules
from surefoot.errors import InputError
from surefoot.records import Curve, Member

__all__ = ["Processes", "parts", "ready", "worker_count"]

IDLE = 60
"""Seconds without work after which a worker ends; until then the next sweep finds it ready."""

_last: list[Any] = []
"""The pool of the sweep before, at most one."""


class Processes:
    """Members spread over several processes, with one thread each: one by one, or fused shards.

    Workers are Python processes of their own, kept for the next sweep; no
    ``if __name__ == "__main__"`` is needed. A trial that came from ``file.py:name`` is loaded there
    again; one built in memory is sent once, with its data, and each worker holds a copy. Every
    worker draws the batches of its seeds itself, and checks that they, the first weights and the
    validation set are those of this process.

    Trials on CUDA go to the same device from all workers: each has a CUDA context of its own, some
    hundred MiB, and they take turns on the device. It helps small models that leave it idle.

    Args:
        workers: how many processes, ≥ 1; None is :func:`worker_count`.
        way: how a worker trains: ``"loop"`` one member after another; ``"fused"``, ``"compiled"``
            those of a seed, or a part of them, at once; ``"compiled alone"`` in stacks of one.
    """

    name = "processes"

    def __init__(self, workers: int | None = None, way: Way = "loop") -> None:
        self.refusal = ""
        """Why stacks were not compiled, or not to the end; empty if they were, or should not be."""
        self.workers = worker_count() if workers is None else workers
        self.way: Way = way
        checks.count("workers", self.workers, least=1)

    def run(self, job: Job, report: Report) -> list[Member]:
        """Train every member; see :class:`~surefoot._engine.backends._backend.Backend`.

        A member whose worker process dies is tried once more, alone; if that one dies too, it is
        returned with this as its ``error``.

        Raises:
            UnfitError: workers cannot train it as this process would.
            InputError: the trial itself is wrong.
        """
        workers = max(1, min(self.workers, max(len(job.members), ready())))
        with TemporaryDirectory(prefix="surefoot-", ignore_cleanup_errors=True) as folder:
            send(job, folder, workers, self.way)
            stacked = self.way in ("fused", "compiled") and job.keep is None
            units = _units(job, workers if stacked else None)
            run = _Run(job, report, workers, folder)
            members = run.members(units)
        self.refusal = run.uncompiled
        for batches in job.batches.values():
            batches.forget()
        return members


def worker_count() -> int:
    """Return how many cores this process may use: physical ones, where that can be told."""
    from loky import cpu_count

    with warnings.catch_warnings(action="ignore"):  # that it cannot be told
        return cpu_count(only_physical_cores=True)


class _Run:
    """The members of one job on their way through the workers."""

    def __init__(self, job: Job, report: Report, workers: int, folder: str) -> None:
        self._job = job
        self._report = report
        self._workers = workers
        self._folder = folder
        self._board = open_board(folder)
        self._told = np.zeros_like(self._board)
        self._done: dict[int, Member] = {}
        self._warned: dict[Any, Any] = {}
        self._going = set(job.members)
        self._from, self._goal = 0, job.trial.steps
        self._reached: Reached | None = None
        self.uncompiled = ""
        """Why a stack was not compiled that should be."""

    def members(self, units: Sequence[Unit]) -> list[Member]:
        """Train all and return them, each to its end in the order of the job, or halved."""
        self._units = units
        if self._job.keep is not None:
            return halve(self, self._job, self._report)
        self._train(units)
        return [self._done[index] for index in range(len(self._job.members))]

    def advance(self, update: int, reached: Reached) -> None:
        """See :class:`~surefoot._engine.halving.Cohort`: what they are then is in the folder."""
        self._board[:-1] = WAITING
        self._told[:] = 0
        self._done.clear()
        self._from = 0 if self._reached is None else self._goal
        self._goal, self._reached = update, reached
        self._train([unit for unit in self._units if self._job.members[unit[0]] in self._going])

    def keep(self, members: Sequence[tuple[float, int]]) -> None:
        """See :class:`~surefoot._engine.halving.Cohort`."""
        self._going = set(members)

    def _train(self, units: Sequence[Unit]) -> None:
        waiting = list(units)
        while waiting:
            death = self._attempt(waiting)
            begun = [unit for unit in self._left(waiting) if self._board[unit[0]] != WAITING]
            if death and not begun:
                raise unfit(f"they die as they start ({death})")
            waiting = [unit for unit in self._left(waiting) if unit not in begun]
            for unit in begun:  # alone, so that it is plain which of them kills its worker
                death = self._attempt([unit])
                if not death or unit[0] in self._done:
                    continue
                if len(unit) > 1:
                    waiting += [(index,) for index in unit]
                else:
                    self._finish(unit, [_dead(*self._job.members[unit[0]], death)])

    def _left(self, units: Sequence[Unit]) -> list[Unit]:
        return [unit for unit in units if unit[0] not in self._done]

    def _attempt(self, units: Sequence[Unit]) -> str:
        """Train some members; return how a worker died, "" if none did."""
        self._board[[unit[0] for unit in units]] = WAITING
        pool = _pool(self._workers)
        try:
            with _deaf():
                goal = None if self._reached is None else self._goal
                futures = {pool.submit(work, self._folder, unit, goal): unit for unit in units}
            return self._collect(pool, futures)
        except BrokenProcessPool as error:
            return _exit_codes(error)
        except InputError:
            raise
        except BaseException:
            pool.shutdown(wait=True, kill_workers=True)
            raise

    def _collect(self, pool: Any, futures: Mapping[Any, Unit]) -> str:
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for future in futures:
            future.add_done_callback(ended.put)
        death = ""
        for _ in range(len(futures)):
            future = self._next(ended)
            try:
                self._accept(futures[future], future.result())
            except BrokenProcessPool as error:
                death = _exit_codes(error)
            except InputError:
                self._stop(pool, futures)
                raise
        return death

    def _stop(self, pool: Any, futures: Iterable[Any]) -> None:
        """End what is under way; workers that answer in time stay for the next sweep."""
        self._board[-1] = STOP
        for future in futures:
            future.cancel()
        if wait(futures, timeout=5 * Pace.EVERY).not_done:
            pool.shutdown(wait=True, kill_workers=True)

    def _next(self, ended: queue.SimpleQueue[Any]) -> Any:
        """Return the next future that ended; tell of the progress meanwhile."""
        while True:
            try:
                return ended.get(timeout=Pace.EVERY)
            except queue.Empty:
                new = np.maximum(self._board - self._told, 0)
                self._told += new
                self._report(int(new.sum()), [])

    def _accept(self, unit: Unit, outcome: Outcome) -> None:
        for text, category, file, line in outcome.warned:
            warnings.warn_explicit(text, category, file, line, registry=self._warned)
        if not outcome.members:
            raise UnfitError(outcome.refusal) if outcome.unfit else InputError(outcome.refusal)
        if outcome.compiled:
            Experience.compiled_there(outcome.compiled)
        self.uncompiled = self.uncompiled or outcome.uncompiled
        self._finish(unit, outcome.members)

    def _finish(self, unit: Unit, members: Sequence[Member]) -> None:
        self._done.update(zip(unit, members, strict=True))
        made = (self._goal - self._from) * len(unit)
        self._report(made - int(self._told[unit[0]]), members if self._reached is None else [])
        self._told[unit[0]] = made
        if self._reached is not None:
            for member in members:
                self._reached(member)


def parts(job: Job, size: int, workers: int) -> int:
    """Return into how many parts a seed's members are cut, to be stacked in worker processes.

    Args:
        job: what is trained.
        size: how many members the seed has.
        workers: how many processes train at once.
    """
    most = size if job.together is None else max(1, job.together // workers)
    return max(-(-workers // len(shards(job.members))), -(-size // most))


def _units(job: Job, workers: int | None) -> list[Unit]:
    """Return the numbers of the members that a worker stacks; each alone if ``workers`` is None.

    They come seed by seed, so that a worker draws few batches. High rates, which may end early,
    come last: no worker has a long one left when others are done. Where a seed has several
    units, each has rates from everywhere.
    """
    seeds: dict[int, list[int]] = {}
    for index, (_, seed) in enumerate(job.members):
        seeds.setdefault(seed, []).append(index)
    found: list[Unit] = []
    for indexes in seeds.values():
        own = sorted(indexes, key=lambda index: job.members[index][0])
        count = len(own) if workers is None else min(len(own), parts(job, len(own), workers))
        found += [(first, *rest) for first, *rest in (own[part::count] for part in range(count))]
    return found


def _dead(lr: float, seed: int, death: str) -> Member:
    said = (
        f"{DIED} ({death}): killed from outside, for want of memory, or by a fault in compiled code"
    )
    return Member(lr, seed, np.inf, diverged=False, curve=Curve([], []), error=said)


def _exit_codes(error: BrokenProcessPool) -> str:
    found = re.search(r"\{(.*)\}", str(error))
    return found[1] if found else f"{type(error).__name__}"


def ready() -> int:
    """Return how many workers are up, which a sweep of fewer members leaves to the next."""
    return len(_last[0]._processes) if _last else 0


@contextmanager
def _deaf() -> Generator[None]:
    """Let no Ctrl-C through in the block: it comes after it.

    Processes that are started there inherit that, so that none of them prints the traceback of an
    interrupt before it can ignore it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pool(workers: int) -> Any:
    """Return the pool of workers, new ones only where there are none or their code is old."""
    from loky import get_reusable_executor

    usual = multiprocessing.get_all_start_methods()[0]  # which asking for it would settle for good
    method = multiprocessing.get_start_method(allow_none=True) or usual
    with _deaf():
        _last[:] = [
            get_reusable_executor(
                max_workers=workers,
                timeout=IDLE,
                kill_workers=True,
                initializer=prepare,
                initargs=(os.getpid(), method, _written()),
                env=THREADS,
            )
        ]
    return _last[0]


def _written() -> float:
    """Return when the newest of the user's modules was written; run files are watched apart."""
    installed = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]))
    files = {getattr(module, "__file__", None) or "" for module in tuple(sys.modules.values())}
    files -= {module.__file__ or "" for module in modules()}
    own = [Path(file) for file in files if file and not file.startswith(installed)]
    return max((file.stat().st_mtime for file in own if file.is_file()), default=0.0)
