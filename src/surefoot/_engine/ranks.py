"""Several processes that train one model together: what they must agree on."""

from typing import TypeVar

import torch
from torch import distributed

__all__ = ["first", "mean"]

T = TypeVar("T")


def mean(value: float) -> float:
    """Return the mean over all ranks, the same on each; not finite if it is so on one of them."""
    if not _several():
        return value
    total = torch.tensor([value], dtype=torch.float64, device=_device())
    distributed.all_reduce(total)
    return float(total) / distributed.get_world_size()


def first(value: T) -> T:
    """Return what rank 0 has, on every rank: one broadcast."""
    if not _several():
        return value
    held = [value]
    distributed.broadcast_object_list(held, device=_device())
    return held[0]


def _several() -> bool:
    if not distributed.is_available() or not distributed.is_initialized():
        return False
    return distributed.get_world_size() > 1


def _device() -> torch.device:
    """Return where the process group takes tensors from."""
    name = str(distributed.get_backend())
    return torch.device("cuda" if "nccl" in name and "gloo" not in name else "cpu")
