"""How far an update moves the weights, relative to their size."""

import math
from collections.abc import Mapping

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["UpdateRatio"]


class UpdateRatio(Quantity):
    r"""Update-to-weight ratio over all parameters together.

    .. math:: \frac{\|w_{t+1} - w_t\|_2}{\|w_t\|_2}

    Records ``update_ratio``, dimensionless; about 1e-3 to 1e-2 in healthy training that is under
    way, ten times that and more at the first updates from scratch, infinite where all weights were
    0. Parameters without a gradient do not count. Costs a copy of the parameters and four passes
    over them.

    Reference:
        Karpathy, CS231n notes, *Neural Networks Part 3*, 2015 (the rule of thumb 1e-3).
    """

    needs = frozenset({"weight", "step"})
    passes = 4
    summed = True

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return the squares of the distance and of the size before."""
        return {"step": update.norm_squared("step"), "weight": update.norm_squared("weight")}

    def values(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Return the ratio."""
        step, weight = math.sqrt(numbers["step"]), math.sqrt(numbers["weight"])
        if not weight:
            return {"update_ratio": math.inf if step else math.nan}
        return {"update_ratio": step / weight}
