"""What one update did: the gradient, the weights, and the step between them."""

import math
from collections.abc import Collection, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, distributed
from torch.optim import Optimizer

from surefoot.quantities._arithmetic import copies, dots, flat, join, squares, subtract

__all__ = ["MicroBatches", "Part", "Update", "is_sharded"]

Part = Literal["loss", "gradient", "weight", "step", "next_gradient", "micro_batches"]

MicroBatches = tuple[int, Tensor, Tensor]
"""How many, and the squared norms of the gradient of the first and of the mean of all."""


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
        skipped: 1 if a GradScaler left it out; of a fused optimizer a tensor on its device that
            holds 1 or 0; None if there was nothing that could have.
    """

    def __init__(self, optimizer: Optimizer, parts: Collection[Part] = ()) -> None:
        self.optimizer = optimizer
        self.micro_batches: MicroBatches | None = None
        self.skipped: Tensor | float | None = None
        self._parts = frozenset(parts)
        self._parameters: list[Tensor] = []
        self._together: list[list[int]] = []  # positions of the parameters that are joined
        self._gradients: list[Tensor] = []  # what follows are vectors, one for each of these
        self._weights: list[Tensor] = []
        self._steps: list[Tensor] = []
        self._squares: dict[str, Tensor] = {}
        self._scaled = False  # whether the vectors of the gradient still are

    def begin(self, *, gradients: bool = True) -> None:
        """Take what is needed before the weights move.

        Args:
            gradients: whether those that are there are this update's; a closure brings them later.
        """
        every = [p for group in self.optimizer.param_groups for p in group["params"]]
        present = [p for p in every if gradients and p.grad is not None]
        self._parameters = present or every
        if present:
            self._together = _joined(present)
            if "gradient" in self._parts:
                self._take_gradient(_scale(self.optimizer))
        else:  # which of them will have one is not known
            self._together = [[at] for at in range(len(every))]
        if "step" in self._parts:
            self._steps = self._weights = copies(_local(self._parameters), self._together)
        elif "weight" in self._parts:
            self._weights = flat(_local(self._parameters), self._together)
        if "weight" in self._parts and present:
            self._take_weight()

    def end(self) -> None:
        """Take what is needed now that the weights moved."""
        if not self._squares and any(p.grad is not None for p in self._parameters):
            self._drop_those_without_gradient()
            if "gradient" in self._parts:
                self._take_gradient(1.0)
        if "weight" in self._parts and "weight" not in self._squares:
            self._take_weight()
        if "step" in self._parts:
            subtract(flat(_local(self._parameters), self._together), self._steps)
        self._weights = []

    def rest(self) -> None:
        """Let go of all but the step: a gradient that is held takes memory."""
        self._gradients = []

    def has(self, parts: Collection[Part]) -> bool:
        """Return whether all these were taken: there may have been no gradient."""
        wanted = {*parts} - {"loss", "micro_batches"}
        if "gradient" in wanted and "gradient" not in self._squares:
            return False
        return self._parts.issuperset(wanted)

    @property
    def followed(self) -> bool:
        """Whether there are gradients now."""
        return any(p.grad is not None for p in self._parameters)

    def norm_squared(self, part: Literal["gradient", "weight", "step"]) -> Tensor:
        """Return the sum of the squares of all elements of a part, a scalar."""
        if part not in self._squares:
            self._squares[part] = self._sum(squares(self._steps))
        return self._squares[part]

    def not_finite(self) -> Tensor:
        """Return how many elements of the gradient are NaN or infinite."""
        square = self.norm_squared("gradient")
        if square.device.type == "cpu" and math.isfinite(square.item()):  # looking costs nothing
            return torch.zeros(())
        dense = [each.coalesce().values() if each.is_sparse else each for each in self._gradients]
        return self._sum([(~torch.isfinite(each)).sum() for each in dense])

    def slope(self, *, following: bool = False) -> Tensor:
        """Return the product of the gradient and the step: the slope of the loss along it.

        Args:
            following: take the gradient of the following update.
        """
        if following:
            vectors = flat(_gradients(self._parameters), self._together)
            return self._sum(dots(vectors, self._steps)) / _scale(self.optimizer)
        if self._scaled:  # the step has divided them by now
            self._gradients = flat(_gradients(self._parameters), self._together)
        return self._sum(dots(self._gradients, self._steps))

    def _take_gradient(self, scale: Tensor | float) -> None:
        self._gradients = flat(_gradients(self._parameters), self._together)
        self._scaled = isinstance(scale, Tensor)
        self._squares["gradient"] = self._sum(squares(self._gradients)) / scale**2

    def _take_weight(self) -> None:
        self._squares["weight"] = self._sum(squares(self._weights))

    def _drop_those_without_gradient(self) -> None:
        keep = [at for at, p in enumerate(self._parameters) if p.grad is not None]
        if len(keep) < len(self._parameters):
            self._parameters = [self._parameters[at] for at in keep]
            self._weights = [self._weights[at] for at in keep] if self._weights else []
            self._steps = [self._steps[at] for at in keep] if self._steps else []
            self._together = [[at] for at in range(len(keep))]

    def _sum(self, numbers: Sequence[Tensor]) -> Tensor:
        """Return this rank's share of the sum of one number for each vector."""
        if not numbers:
            return torch.zeros(())
        firsts = [self._parameters[several[0]] for several in self._together]
        device = numbers[0].device
        wide = torch.float32 if device.type == "mps" else torch.float64
        if any(is_sharded(first) for first in firsts):
            pairs = zip(numbers, firsts, strict=True)
            numbers = [number * _share(first) for number, first in pairs]
        if len(numbers) == 1:
            return numbers[0].to(wide)
        return torch.stack([number.to(device, wide) for number in numbers]).sum()


def _joined(parameters: list[Tensor]) -> list[list[int]]:
    """Return which to take together: sparse gradients alone, shards by what they count."""
    kinds = [
        at if p.grad is not None and p.grad.is_sparse else _share(p) if is_sharded(p) else ""
        for at, p in enumerate(parameters)
    ]
    return join(_local(parameters), kinds)


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
    """Return the gradients; zeros where there is none, as may be of the following update."""
    return [
        torch.zeros_like(_part(p.detach())) if p.grad is None else _part(p.grad.detach())
        for p in parameters
    ]


def _part(tensor: Tensor) -> Tensor:
    """Return what this rank holds of it."""
    return cast("Any", tensor).to_local() if hasattr(tensor, "to_local") else tensor


def _scale(optimizer: Optimizer) -> Tensor | float:
    """Return what a GradScaler multiplied the gradients by that a fused optimizer will divide."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else scale
