"""How noisy the gradient of a batch is, told from its micro-batches."""

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Part, Update

__all__ = ["NoiseScale"]

KEPT = 0.9
"""Of the estimates before, at each measurement."""


class NoiseScale(Quantity):
    r"""The simple gradient noise scale, in micro-batches.

    .. math:: B = \frac{\operatorname{tr}\Sigma}{|G|^2}, \quad
        |G|^2 = \frac{n |g_n|^2 - |g_1|^2}{n - 1}, \quad
        \operatorname{tr}\Sigma = \frac{|g_1|^2 - |g_n|^2}{1 - 1/n}

    with the gradient :math:`g_1` of one micro-batch and the mean :math:`g_n` of those of all n,
    over all ranks under DDP. Both parts are averaged over ten measurements or so before they are
    divided. A batch far below B gains from more samples, one far above wastes them, and the best
    learning rate is about :math:`\eta_{\max} / (1 + B / n)`.

    Records ``noise_scale`` where ``watch.microbatch`` is called after each backward pass; times the
    samples of a micro-batch it is in samples. NaN where :math:`|G|^2` is estimated below 0. Costs
    one pass over the gradients for each micro-batch of an update that is measured.

    Reference:
        McCandlish, Kaplan, Amodei, *An Empirical Model of Large-Batch Training*, 2018, appendix A.
    """

    needs: ClassVar[frozenset[Part]] = frozenset({"micro_batches"})
    passes = 2

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return the squares of both gradients."""
        if update.micro_batches is None or update.micro_batches[0] < 2:
            return {}
        count, first, mean = update.micro_batches
        return {"count": float(count), "first": first, "mean": mean}

    def values(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Return the noise scale."""
        if not numbers or not math.isfinite(numbers["first"] + numbers["mean"]):
            return {}
        count, one, mean = numbers["count"], numbers["first"], numbers["mean"]
        self._signal = KEPT * self._signal + (count * mean - one) / (count - 1)
        self._noise = KEPT * self._noise + (one - mean) / (1 - 1 / count)
        return {"noise_scale": self._noise / self._signal if self._signal > 0 else math.nan}
