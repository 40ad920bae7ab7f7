"""The batches of one seed: drawn once, under their own random generators, shared by all members."""

from collections.abc import Iterable
from typing import Any

import torch

from surefoot._engine.random_state import RandomState
from surefoot.errors import InputError

__all__ = ["Batches", "sample_count"]


class Batches:
    """Batches by number, drawn when first asked for and kept.

    The source is iterated under random generators seeded with ``seed``, so its order depends on
    the seed alone; past its end it is iterated again.

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
        return self._kept[number]

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


def sample_count(batch: Any) -> int:
    """Return the number of samples: the length of the first tensor found, or 1."""
    if isinstance(batch, torch.Tensor):
        return int(batch.shape[0]) if batch.ndim else 1
    if isinstance(batch, dict):
        batch = tuple(batch.values())
    if isinstance(batch, (list, tuple)) and batch:
        return sample_count(batch[0])
    return 1
