"""What one update did: the gradient, the weights, and the step between them."""

from collections.abc import Collection
from typing import Any, Literal, cast

import torch
from torch import Tensor, distributed
from torch.optim import Optimizer

from surefoot.quantities._arithmetic import copies, dots, norms, subtract

__all__ = ["MicroBatches", "Part", "Update", "is_sharded"]

Part = Literal["loss", "gradient", "weight", "step", "next_gradient", "micro_batches"]

MicroBatches = tuple[int, Tensor, Tensor]
"""How many gave a gradient, and the squared norm of the gradient after the first and after all."""


class Update:
    """One update of an optimizer: of the parameters that had a gradient.

    Of a sharded model these are the shards of this rank, and every sum is this rank's share: the
    shares of all ranks add up to that of the model.

    Args:
        optimizer: which makes it.
        parts: what will be asked for.

    Attributes:
        optimizer: which makes it.
        micro_batches: those that gave its gradient, where they were told of.
        skipped: 1 if a GradScaler left it out; of a fused optimizer a tensor on its device.
    """

    def __init__(self, optimizer: Optimizer, parts: Collection[Part] = ()) -> None:
        self.optimizer = optimizer
        self.micro_batches: MicroBatches | None = None
        self.skipped: Tensor | float = 0.0
        self._parts = frozenset(parts)
        self._parameters: list[Tensor] = []
        self._gradient: Tensor | None = None  # the norms
        self._weight: Tensor | None = None
        self._steps: list[Tensor] = []
        self._step: Tensor | None = None

    def begin(self, *, gradients: bool = True) -> None:
        """Take what is needed before the weights move.

        Args:
            gradients: whether those that are there are this update's; a closure brings them later.
        """
        every = [p for group in self.optimizer.param_groups for p in group["params"]]
        present = [p for p in every if gradients and p.grad is not None]
        self._parameters = present or every
        if present and "gradient" in self._parts:
            self._gradient = norms(_gradients(present)) / _scale(self.optimizer)
        if "weight" in self._parts:
            self._weight = norms(_local(self._parameters))
        if "step" in self._parts:
            self._steps = copies(_local(self._parameters))

    def end(self) -> None:
        """Take what is needed now that the weights moved."""
        if "step" in self._parts:
            subtract(_local(self._parameters), self._steps)
        there = [p.grad is not None for p in self._parameters]
        if "gradient" in self._parts and self._gradient is None and any(there):
            self._drop(there)
            self._gradient = norms(_gradients(self._parameters))

    def has(self, parts: Collection[Part]) -> bool:
        """Return whether all these were taken: there may have been no gradient."""
        if "gradient" in parts and (self._gradient is None or not len(self._gradient)):
            return False
        return self._parts.issuperset({*parts} - {"loss", "micro_batches"})

    @property
    def followed(self) -> bool:
        """Whether there are gradients now."""
        return any(p.grad is not None for p in self._parameters)

    def norm_squared(self, part: Literal["gradient", "weight", "step"]) -> Tensor:
        """Return the sum of the squares of all elements of a part, a scalar."""
        norms_ = self._norms(part)
        return self._sum((norms_ if norms_.device.type == "mps" else norms_.double()).square())

    def not_finite(self) -> Tensor:
        """Return how many parameters have a gradient with an element that is not finite."""
        return self._sum((~torch.isfinite(self._norms("gradient"))).float())

    def slope(self, *, following: bool = False) -> Tensor:
        """Return the product of the gradient and the step: the slope of the loss along it.

        Args:
            following: take the gradient of the following update.
        """
        scale = _scale(self.optimizer) if following else 1.0
        there = [at for at, p in enumerate(self._parameters) if p.grad is not None]
        found = dots(
            _gradients([self._parameters[at] for at in there]), [self._steps[at] for at in there]
        )
        return self._sum(found, there) / scale

    def _norms(self, part: Literal["gradient", "weight", "step"]) -> Tensor:
        if part == "step" and self._step is None:
            self._step = norms(self._steps)
        found = {"gradient": self._gradient, "weight": self._weight, "step": self._step}[part]
        if found is None:
            raise KeyError(part)
        return found

    def _drop(self, keep: list[bool]) -> None:
        """Forget the parameters that turned out to have no gradient."""
        if all(keep):
            return
        if self._weight is not None:
            self._weight = self._weight[torch.tensor(keep)]
        self._steps = [each for each, kept in zip(self._steps, keep, strict=False) if kept]
        self._parameters = [each for each, kept in zip(self._parameters, keep, strict=True) if kept]

    def _sum(self, numbers: Tensor, at: list[int] | None = None) -> Tensor:
        """Return this rank's share of the sum of one number for each parameter."""
        chosen = self._parameters if at is None else [self._parameters[index] for index in at]
        if any(is_sharded(parameter) for parameter in chosen):
            numbers = numbers * torch.tensor([_share(p) for p in chosen]).to(numbers)
        wide = torch.float32 if numbers.device.type == "mps" else torch.float64
        return numbers.sum(dtype=wide)


def is_sharded(tensor: Tensor) -> bool:
    """Tell whether each rank holds a part of it only, as FSDP2 does."""
    return hasattr(tensor, "placements") and any(each.is_shard() for each in _placements(tensor))


def _placements(tensor: Tensor) -> Collection[Any]:
    return cast("Any", tensor).placements


def _share(tensor: Tensor) -> float:
    """Return what the sum over all ranks counts of it on each rank, so that it counts once."""
    shards = 1
    if is_sharded(tensor):
        sizes = cast("Any", tensor).device_mesh.shape
        for size, placement in zip(sizes, _placements(tensor), strict=True):
            shards *= size if placement.is_shard() else 1
    return shards / distributed.get_world_size()


def _local(tensors: list[Tensor]) -> list[Tensor]:
    return [_part(each.detach()) for each in tensors]


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [_part(p.grad.detach()) for p in parameters if p.grad is not None]


def _part(tensor: Tensor) -> Tensor:
    """Return what this rank holds of it."""
    return cast("Any", tensor).to_local() if hasattr(tensor, "to_local") else tensor


def _scale(optimizer: Optimizer) -> Tensor | float:
    """Return what a GradScaler multiplied the gradients by that a fused optimizer will divide."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else scale
