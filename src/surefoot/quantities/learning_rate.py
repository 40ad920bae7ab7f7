"""The learning rate that an update used."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from surefoot.quantities._quantity import Quantity

__all__ = ["LearningRate"]


class LearningRate(Quantity):
    """The lr that the update used: ``lr`` for the first group, ``lr/group1``, … for the others."""

    cadence = 1

    def end(self, optimizer: Optimizer) -> Mapping[str, Tensor | float]:
        """Return the rates; the step does not change them."""
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        return {("lr" if i == 0 else f"lr/group{i}"): rate for i, rate in enumerate(rates)}
