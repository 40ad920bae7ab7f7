"""The batches of one seed: drawn once, under their own random generators, shared by all members."""

import copy
import itertools
import zlib
from array import array
from collections import UserDict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from surefoot._engine.free import free_memory
from surefoot._engine.random_state import RandomState
from surefoot.errors import InputError

__all__ = [
    "Batches",
    "asleep",
    "checksum",
    "copied",
    "map_leaves",
    "plain",
    "sample_count",
    "usual_window",
]

LARGEST_WINDOW = 2 * 2**30
"""Bytes of batches that are kept at most, unless one asks for more."""

AHEAD, SMALL = 16, 2**20
"""So many batches are drawn at a time, as far as they have fewer bytes than this together."""

SAMPLE = 1024
"""Elements of each tensor that a checksum looks at, spread over all of it."""


class Batches:
    """Batches by number, drawn when first asked for and kept as long as they fit.

    The source is iterated under random generators seeded with ``seed``, those of a DataLoader and
    its sampler among them, so its order depends on the seed alone; past its end it is iterated
    again, and its generators are put back. Each asking gives a copy, so that a training
    step that changes its batch in place changes it for nobody else.

    The latest batches stay in memory, up to ``window`` bytes. One that is asked for after it was
    let go is drawn again, with all before it, from the beginning: one pass over the source for
    each training, if they follow one another. A checksum sees whether the same batches come again.

    Args:
        source: batches that can be iterated again and again.
        seed: ≥ 0.
        window: bytes of tensors and arrays that are kept, ≥ 0; the latest batch always is. None is
            :func:`usual_window`.
    """

    def __init__(self, source: Iterable[Any], seed: int, *, window: int | None = None) -> None:
        self._source = source
        self._seed = seed
        self._window = usual_window() if window is None else window
        self._checksums = array("L")  # of the batches that were let go, from the first on
        self.forget()

    def __getitem__(self, number: int) -> Any:
        if number < self._first:
            self._begin_again()
        while number >= self._next:
            for batch in self._draw():
                self._keep(batch)
        return copied(self._kept[number])

    @property
    def size(self) -> int:
        """Bytes of tensors and arrays that are kept now."""
        return self._size

    def release(self) -> None:
        """Free the memory, and refuse other batches when they are asked for again."""
        self._begin_again()

    def forget(self) -> None:
        """Free the memory; the batches are drawn again, the same, if they are asked for."""
        self._loader = asleep(self._source)
        self._random = RandomState.seeded(self._seed)
        self._generators = [(each, _seeded(each, self._seed)) for each in _generators(self._source)]
        self._iterator = None
        self._kept: dict[int, Any] = {}
        self._size = 0
        self._first = self._next = 0  # number of the first that is kept, of the next to be drawn

    def _begin_again(self) -> None:
        while self._kept:
            self._let_go()
        self.forget()

    def _keep(self, batch: Any) -> None:
        number = self._next
        if number < len(self._checksums) and checksum(batch) != self._checksums[number]:
            raise InputError(
                f"train gives another batch {number} when it is iterated again under the same "
                "seed: it draws from randomness of its own, and its batches are too large for all "
                f"of them to stay in memory (that of {self._window / 2**20:.0f} MiB is used). Let "
                "it draw from the global generators of torch, NumPy or Python, which are seeded "
                "here."
            )
        self._kept[number] = batch
        self._next += 1
        self._size += _bytes(batch)
        while self._size > self._window and len(self._kept) > 1:
            self._let_go()

    def _let_go(self) -> None:
        batch = self._kept.pop(self._first)
        if self._first == len(self._checksums):
            self._checksums.append(checksum(batch))
        self._size -= _bytes(batch)
        self._first += 1

    def _draw(self) -> list[Any]:
        """Return the next batch, and a few more if they are small: changing generators is dear."""
        if isinstance(self._source, (list, tuple)):  # whose iteration runs nobody's code
            return [self._following()]
        with self._random.active(), self._own_generators():
            batch = self._following()
            room = min(SMALL, self._window - self._size)
            count = min(AHEAD, room // max(1, _bytes(batch)))
            return [batch, *itertools.islice(self._iterator or (), max(0, count - 1))]

    @contextmanager
    def _own_generators(self) -> Generator[None]:
        """Let the source draw from generators of this seed inside the block."""
        outside = [generator.get_state() for generator, _ in self._generators]
        for generator, state in self._generators:
            generator.set_state(state)
        try:
            yield
        finally:
            self._generators = [(each, each.get_state()) for each, _ in self._generators]
            for (generator, _), state in zip(self._generators, outside, strict=True):
                generator.set_state(state)

    def _following(self) -> Any:
        for _ in range(2):
            if self._iterator is None:
                self._iterator = iter(self._loader)
            try:
                return next(self._iterator)
            except StopIteration:
                self._iterator = None
        if self._next:
            raise InputError(
                "train was empty when iterated again: it must be iterable again and again. Give "
                "list(train) or a DataLoader."
            )
        if isinstance(self._source, (list, tuple)):
            raise InputError("train must hold at least one batch; it is empty.")
        raise InputError(
            "train must hold at least one batch; it is empty, or was so when iterated again. Give "
            "list(train) or a DataLoader."
        )


def asleep(source: Any) -> Any:
    """Return a twin of a DataLoader whose workers are not up; anything else as it is.

    With ``persistent_workers`` a loader draws other numbers once they are up, so that its batches
    would depend on who iterated it before.
    """
    if not isinstance(source, DataLoader):
        return source
    twin = copy.copy(source)
    twin._iterator = None
    return twin


def _generators(source: object) -> list[torch.Generator]:
    """Return the generators that a DataLoader and its samplers were given, each once."""
    batch_sampler = getattr(source, "batch_sampler", None)
    inner = getattr(batch_sampler, "sampler", None)
    samplers = (getattr(source, "sampler", None), batch_sampler, inner)
    found = [getattr(each, "generator", None) for each in (source, *samplers)]
    return list({id(each): each for each in found if isinstance(each, torch.Generator)}.values())


def _seeded(generator: torch.Generator, seed: int) -> torch.Tensor:
    """Return the state that the generator has right after seeding; it keeps its own."""
    return torch.Generator(generator.device).manual_seed(seed).get_state()


def plain(value: Any) -> Any:
    """Return a scalar tensor as a number, anything else as it is."""
    return value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value


def map_leaves(function: Callable[[Any], Any], batch: Any) -> Any:
    """Return the batch, in new containers, with the function applied to all that is in them."""
    if isinstance(batch, torch.Tensor):
        return function(batch)
    if isinstance(batch, (tuple, list)):
        mapped = [map_leaves(function, value) for value in batch]
        return type(batch)(*mapped) if hasattr(batch, "_fields") else type(batch)(mapped)
    if isinstance(batch, dict):
        return {key: map_leaves(function, value) for key, value in batch.items()}
    if isinstance(batch, UserDict):  # such as the BatchEncoding of Transformers
        new = copy.copy(batch)
        new.data = map_leaves(function, batch.data)
        return new
    return function(batch)


def copied(batch: Any) -> Any:
    """Return the batch with tensors of its own, so that it may be changed in place."""
    return map_leaves(_copy_of, batch)


def _copy_of(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf


def sample_count(batch: Any) -> int:
    """Return the number of samples: the length of the first tensor found, or 1."""
    return _length(batch) or 1


def _length(batch: Any) -> int | None:
    """Return the length of the first tensor that has one."""
    if isinstance(batch, torch.Tensor):
        return int(batch.shape[0]) if batch.ndim else None
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, (list, tuple)):
        return next((found for found in map(_length, batch) if found is not None), None)
    return None


def usual_window() -> int:
    """Return how many bytes of batches are kept: 2 GiB, or a quarter of the free memory if less."""
    return int(min(LARGEST_WINDOW, free_memory(torch.device("cpu")) / 4))


def _bytes(batch: Any) -> int:
    """Return the bytes of the tensors and arrays in a batch."""
    found: list[int] = []
    map_leaves(lambda leaf: found.append(getattr(leaf, "nbytes", 0)), batch)
    return sum(found)


def checksum(batch: Any) -> int:
    """Return a number that differs for batches (or dicts of weights) that were drawn apart.

    It looks at up to 1024 elements of each tensor and array, and at numbers and texts.
    """
    total = 0

    def add(leaf: Any) -> None:
        nonlocal total
        total = zlib.crc32(_sampled(leaf), total)

    map_leaves(add, batch)
    return total


def _sampled(leaf: Any) -> bytes:
    if isinstance(leaf, np.ndarray) and leaf.dtype != object:
        return np.ascontiguousarray(leaf.reshape(-1)[:: leaf.size // SAMPLE + 1]).tobytes()
    if isinstance(leaf, torch.Tensor):
        dense = leaf.detach() if leaf.layout is torch.strided else leaf.detach().to_dense()
        few = dense.reshape(-1)[:: leaf.numel() // SAMPLE + 1]
        return few.contiguous().view(torch.uint8).cpu().numpy().tobytes()
    return repr(leaf).encode() if isinstance(leaf, (int, float, str, bytes)) else b""
