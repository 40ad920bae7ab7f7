"""How many members of a sweep fit into memory at once."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import WeakSet, finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from surefoot._engine.backends._backend import Job, UnfitError, shards
from surefoot._engine.free import free_memory
from surefoot._engine.training import Training

__all__ = ["Room", "fitted", "most_at_once", "needed"]

SHARE = 0.8
"""Of the memory that is free, so much is planned for."""

FASTEST = 1e11
"""Bytes that a CPU writes in a second, at most: an update that is quick needs little memory."""

COPIES = 2
"""So many copies of its weights a member needs for a moment in a stack, beside what it needs alone:
stacked products copy weights and their gradients to another order of memory."""

CHECKING = 10
"""So many copies of its weights, and all that lasts once more, it needs while a compiled update is
checked: a twin of the stack is updated, and compared with it."""

LEAST = 8
"""Where fewer members fit, they are not stacked: the check before that holds six or seven."""


class Room(NamedTuple):
    """What a member of a stack needs, in bytes."""

    peak: int
    """At the most, in the middle of an update."""
    lasting: int
    """Between two updates: weights, gradients, what its optimizer keeps."""
    weights: int

    @property
    def checked(self) -> int:
        """At the most, where an update is made both ways, compiled and not."""
        return self.peak + self.lasting + CHECKING * self.weights


def fitted(job: Job, seconds: float, *, compiled: bool) -> tuple[Job, list[str]]:
    """Return the job with what fits into memory noted, and what to tell the user about that.

    Args:
        job: what is trained.
        seconds: what an update of a member takes.
        compiled: whether stacks may come to be compiled.

    Raises:
        UnfitError: too few members fit.
    """
    most = most_at_once(job, seconds, compiled=compiled)
    if most is None:
        return job, []
    if most < LEAST:
        raise UnfitError(f"{most} of its members fit into memory at once, which is too few")
    largest = max(len(lrs) for _, lrs in shards(job.members))
    said = [f"no more than {most} members at once, for memory"] if most < largest else []
    return replace(job, together=most if most < len(job.members) else None), said


def most_at_once(job: Job, seconds: float, *, compiled: bool) -> int | None:
    """Return how many members of a job fit into memory at once; None if that is no question.

    Args:
        job: what is trained; with ``keep`` all of its members stay in memory from rung to rung.
        seconds: what an update of a member takes.
        compiled: whether they may come to be compiled.
    """
    device = torch.device(job.trial.device or "cpu")
    free, count = SHARE * free_memory(device), len(job.members)
    if device.type == "cpu" and count * seconds * FASTEST < free:
        return None
    room = needed(job, device)
    if room is None:
        return None
    peak = room.checked if compiled else room.peak
    lasting = 0 if job.keep is None else room.lasting
    return max(1, int((free - lasting * count) / max(1, peak - lasting)))


def needed(job: Job, device: torch.device) -> Room | None:
    """Train a member for two updates and return what it needed; None if that cannot be seen.

    It is thrown away. The batches, which all members share, do not count.
    """
    lr, seed = job.members[0]
    batches = job.batches[seed]
    shared = max(map(_size, (batches[number] for number in range(2 * job.trial.accumulate))))
    with suppress(Exception), _watched(device) as seen:
        training = Training(job.trial, lr, seed, batches)
        training.advance(2, lambda _: 1.0)
        peak, lasting = seen()
        weights = sum(p.numel() * p.element_size() for p in training.model.parameters())
        return Room(max(lasting, peak - shared) + COPIES * weights, lasting, weights)
    return None


def _size(batch: Any) -> int:
    """Return the bytes of a batch's tensors."""
    tensors = (leaf for leaf in tree_iter(batch) if isinstance(leaf, Tensor))
    return sum(each.numel() * each.element_size() for each in tensors)


@contextmanager
def _watched(device: torch.device) -> Generator[Any]:
    """Yield a function that returns the most bytes that tensors made inside took, and take now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield lambda: (
            torch.cuda.max_memory_allocated(device) - before,
            torch.cuda.memory_allocated(device) - before,
        )
        return
    with _Storages() as storages:
        yield lambda: (storages.peak, storages.now)


class _Storages(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._seen: WeakSet[Any] = WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_iter(found):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self.now)
        return found

    def _count(self, storage: Any) -> None:
        if storage not in self._seen:
            self._seen.add(storage)
            size = storage.nbytes()
            self.now += size
            finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.now -= size
