"""The batches of one seed: drawn once, under their own random generators, shared by all members."""

import copy
from collections import UserDict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from surefoot._engine.random_state import RandomState
from surefoot.errors import InputError

__all__ = ["Batches", "map_leaves", "plain", "sample_count"]


class Batches:
    """Batches by number, drawn when first asked for and kept.

    The source is iterated under random generators seeded with ``seed``, those of a DataLoader and
    its sampler among them, so its order depends on the seed alone; past its end it is iterated
    again, and its generators are put back. Each asking gives a copy, so that a training
    step that changes its batch in place changes it for nobody else.

    Args:
        source: batches that can be iterated again and again.
        seed: ≥ 0.
    """

    def __init__(self, source: Iterable[Any], seed: int) -> None:
        self._source = source
        self._seed = seed
        self._random = RandomState.seeded(seed)
        self._iterator = None
        self._kept: list[Any] = []
        self._generators = [(each, _seeded(each, seed)) for each in _generators(source)]

    def __getitem__(self, number: int) -> Any:
        if number >= len(self._kept):
            with self._random.active(), self._own_generators():
                while number >= len(self._kept):
                    self._kept.append(self._draw())
        return map_leaves(_copied, self._kept[number])

    def forget(self) -> None:
        """Free the memory; the batches are drawn again, the same, if they are asked for."""
        self.__init__(self._source, self._seed)

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

    def _draw(self) -> Any:
        for _ in range(2):
            if self._iterator is None:
                self._iterator = iter(self._source)
            try:
                return next(self._iterator)
            except StopIteration:
                self._iterator = None
        if self._kept:
            raise InputError(
                "train was empty when iterated again: it must be iterable again and again. Give "
                "list(train) or a DataLoader."
            )
        raise InputError("train must hold at least one batch; it is empty.")


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
    if isinstance(batch, dict):
        return {key: map_leaves(function, value) for key, value in batch.items()}
    if isinstance(batch, UserDict):  # such as the BatchEncoding of Transformers
        new = copy.copy(batch)
        new.data = map_leaves(function, batch.data)
        return new
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_leaves(function, value) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(map_leaves(function, value) for value in batch)
    return function(batch)


def _copied(leaf: Any) -> Any:
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
