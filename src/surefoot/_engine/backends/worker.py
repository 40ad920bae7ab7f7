"""What runs in a worker process: members of a job, one after another or a part of them at once."""

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from surefoot._engine.backends._backend import Report, UnfitError
from surefoot._engine.backends.fused import Shard, finish
from surefoot._engine.backends.loop import Alone, Pace, train
from surefoot._engine.backends.parcel import STOP, check_fingerprint, open_board, receive
from surefoot._engine.backends.state import check_state, load_state, save_state
from surefoot._engine.batches import Batches
from surefoot._engine.halving import has_ended
from surefoot.errors import InputError
from surefoot.records import Member

__all__ = ["THREADS", "Outcome", "Unit", "prepare", "work"]

Unit = tuple[int, *tuple[int, ...]]
"""Numbers of members of one seed that are trained at once."""

THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Environment of a worker, for what reads it as it loads."""


@dataclass(frozen=True)
class Outcome:
    """What became of a unit.

    Args:
        members: the trained members, none if they were refused.
        refusal: what the :class:`~surefoot.InputError` said.
        unfit: whether a worker cannot train it, though the trial may be right.
        warned: its warnings: text, category, file, line.
        compiled: the kind of stack that this worker compiled, as
            :class:`~surefoot._engine.backends.experience.Experience` tells them apart.
        uncompiled: why a stack was not compiled that should be, "" if it was.
    """

    members: Sequence[Member]
    refusal: str = ""
    unfit: bool = False
    warned: tuple[tuple[str, type[Warning], str, int], ...] = ()
    compiled: str = ""
    uncompiled: str = ""


def prepare(parent: int, method: str, written: float) -> None:  # noqa: ARG001
    """Set this worker up: one thread, deaf to Ctrl-C, which the parent answers; it dies with it.

    Args:
        parent: the process that it works for.
        method: how that starts processes; loky's way, set here, starts none for a DataLoader.
        written: when its code was written; where that is later, other workers are needed.
    """
    multiprocessing.set_start_method(method, force=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    _grow_freely()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def work(folder: str, unit: Unit, update: int | None) -> Outcome:
    """Train a unit of the job in the folder to its end; or a member alone to this update."""
    with warnings.catch_warnings(record=True) as caught:
        outcome = _work(folder, unit, update)
    told = tuple((str(each.message), each.category, each.filename, each.lineno) for each in caught)
    return replace(outcome, warned=told)


def _work(folder: str, unit: Unit, update: int | None) -> Outcome:
    board = open_board(folder)
    board[unit[0]] = 0

    def report(updates: int, _: object) -> None:
        board[unit[0]] += updates
        if board[-1] == STOP:
            raise InputError("the sweep was stopped.")

    try:
        held = _hold(folder)
        lr, seed = held.job.members[unit[0]]
        batches = held.batches(seed)
        warnings.resetwarnings()
        warnings.filters[:] = held.parcel.filters  # type: ignore[index]
        if update is not None:
            return Outcome([_go_on(held, unit[0], update, report)])
        way = held.parcel.way
        if way == "loop" or (way != "compiled alone" and len(unit) == 1):
            return Outcome([train(held.job, lr, seed, batches, report)])
        lrs = [held.job.members[index][0] for index in unit]
        compiled = way != "fused"
        shard = Shard(held.job, lrs, seed, to_compile=compiled)
        kind = ""
        if compiled:
            kind = shard.experience().key
            shard.compile()
        return Outcome(finish(shard, report), compiled=kind, uncompiled=shard.refusal)
    except InputError as error:
        return Outcome([], str(error), unfit=isinstance(error, UnfitError))


def _go_on(held: "_Held", index: int, update: int, report: Report) -> Member:
    """Take a member up where it was left, if it was, and leave it at that update."""
    job = held.job
    lr, seed = job.members[index]
    batches = held.batches(seed)
    path = Path(held.folder, f"member {index}")
    begun = load_state(path, job.trial, batches) if path.exists() else None
    alone = Alone(job, lr, seed, batches, begun)
    made = 0 if begun is None else begun.updates
    pace = Pace(update - made, report)
    member = alone.advance(update, pace)
    pace.finish([])
    if alone.training is not None and update < job.trial.steps and not has_ended(member):
        save_state(alone.training, path)
        if not held.checked:
            check_state(alone.training, path, batches)
            held.checked = True
    return member


class _Held:
    """A job as a worker holds it, with the batches of one seed."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.parcel = receive(folder)
        self.job = self.parcel.job
        self.checked = False
        """Whether a training that was written down was seen to go on as it would have."""

    def batches(self, seed: int) -> Batches:
        """Return the batches of a seed, checked to be those of the sender."""
        if seed not in self.job.batches:
            self.job.batches.clear()  # frees those of the seed before
            batches = Batches(self.job.trial.train, seed, window=self.parcel.window)
            check_fingerprint(self.parcel, seed, batches)
            self.job.batches[seed] = batches
        return self.job.batches[seed]


_kept: list[_Held] = []
"""The job at hand, at most one."""


def _hold(folder: str) -> _Held:
    if not _kept or _kept[0].folder != folder:
        _kept.clear()
        _kept.append(_Held(folder))
    return _kept[0]


def _die_with(parent: int) -> None:
    """End this process soon after its parent, however that ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _grow_freely() -> None:
    """Keep loky from restarting a worker that came to hold 300 MB more: that is its data."""
    from loky import process_executor

    process_executor._USE_PSUTIL = False
