"""The learning rate that an update used."""

from collections.abc import Mapping

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["LearningRate"]


class LearningRate(Quantity):
    """The lr that the update used: ``lr`` for the first group, ``lr/group1``, … for the others.

    At each update; costs no pass over the parameters.
    """

    cadence = 1

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return the rates; the step does not change them."""
        first, *others = update.optimizer.param_groups
        rates = {"lr": first["lr"]}
        for number, group in enumerate(others, 1):
            rates[f"lr/group{number}"] = group["lr"]
        return rates
