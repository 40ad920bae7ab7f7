"""The batches of one seed: drawn once, under their own random generators, shared by all members."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from surefoot._engine.random_state import RandomState
from surefoot.errors import InputError

__all__ = ["Batches", "map_leaves", "sample_count"]


class Batches:
    """Batches by number, drawn when first asked for and kept.

    The source is iterated under random generators seeded with ``seed``, so its order depends on
    the seed alone; past its end it is iterated again. Each asking gives a copy, so that a training
    step that changes its batch in place changes it for nobody else.

    Args:
        source: batches that can be iterated again and again.
        seed: ≥ 0.
    """

    def __init__(self, source: Iterable[Any], seed: int) -> None:
        self._source = source
        self._random = RandomState.seeded(seed)
        self._iterator = None
        self._kept: list[Any] = []

    def __getitem__(self, number: int) -> Any:
        if number >= len(self._kept):
            with self._random.active():
                while number >= len(self._kept):
                    self._kept.append(self._draw())
        return map_leaves(_copied, self._kept[number])

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
                f"train gave {len(self._kept)} batches and was empty when iterated again: it must "
                "be iterable again and again. Give list(train) or a DataLoader."
            )
        raise InputError("train must hold at least one batch; it is empty.")


def map_leaves(function: Callable[[Any], Any], batch: Any) -> Any:
    """Return the batch, in new containers, with the function applied to all that is in them."""
    if isinstance(batch, dict):
        return {key: map_leaves(function, value) for key, value in batch.items()}
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
