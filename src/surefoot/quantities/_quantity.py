"""What every quantity is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from surefoot.quantities._update import Part, Update

__all__ = ["Quantity"]

Numbers = Mapping[str, Tensor | float]


class Quantity(ABC):
    """Something measured at updates of an optimizer.

    Override :meth:`measure`, which is called when the weights have moved. A number may stay a
    tensor on its device: it comes to the host later, together with others, and what is recorded is
    made of it there, by :meth:`values`.
    """

    needs: ClassVar[frozenset[Part]] = frozenset()
    """Parts of the update that are looked at; the watch takes each once for all quantities.

    ``"loss"`` puts that of the update among the numbers that :meth:`values` gets; a quantity that
    needs the ``"next_gradient"`` has :meth:`follow` called.
    """

    passes: ClassVar[int] = 0
    """What it costs: how often all parameters are read or written, shared parts included."""

    cadence: int | None = None
    """Measured at every so many updates; None leaves it to the watch."""

    summed: ClassVar[bool] = False
    """Whether its tensors are sums over parameters, to be added over the ranks of a sharded model;
    else they are the same on each."""

    @abstractmethod
    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return numbers by name, once the weights have moved."""

    def follow(self, update: Update) -> Mapping[str, Tensor | float]:  # noqa: ARG002
        """Return more of them, of the next update, whose gradient is there by now."""
        return {}

    def values(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Return what is recorded, by name, made of the numbers of one update on the host."""
        return numbers
