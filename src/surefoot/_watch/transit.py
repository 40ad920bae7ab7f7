"""Numbers on their way from a device to the host, without anybody waiting for them."""

from collections import deque
from dataclasses import dataclass, field
from time import monotonic

import torch
from torch import Tensor, distributed

__all__ = ["Ticket", "Transit"]

SIZE = 256
"""Numbers that travel together."""

SECONDS = 1.0
"""A block that is not full leaves after this time."""


@dataclass(eq=False)
class _Block:
    """Numbers that lie side by side on the device, and then on the host."""

    held: Tensor
    count: int = 0
    arrival: torch.Event | None = None
    landed: Tensor | None = None
    numbers: list[float] | None = None
    filled: float = field(default_factory=monotonic)

    def leave(self) -> None:
        """Start the copy."""
        if self.held.device.type not in ("cuda", "xpu"):
            self.numbers = self.held.tolist()
            return
        self.landed = torch.empty_like(self.held, device="cpu", pin_memory=True)
        self.landed.copy_(self.held, non_blocking=True)
        self.arrival = torch.Event(self.held.device)
        self.arrival.record()

    def look(self, *, wait: bool) -> bool:
        """Return whether it is here."""
        if self.numbers is None and self.arrival is not None and self.landed is not None:
            if wait:
                self.arrival.synchronize()
            if self.arrival.query():
                self.numbers = self.landed.tolist()
        return self.numbers is not None


class Transit:
    """Carries numbers in blocks; each is copied at once, so that its tensor may change afterwards.

    Args:
        device: on which the numbers are gathered.
        summed: add each number up over all ranks on the way; all must then put the same ones.
    """

    def __init__(self, device: torch.device, *, summed: bool) -> None:
        self._device = device
        self._summed = summed
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._filling: _Block | None = None
        self._under_way: deque[_Block] = deque()

    def put(self, number: Tensor | float) -> "Ticket":
        """Take a scalar along; return where to find it."""
        block = self._filling
        if block is None:
            empty = torch.zeros(SIZE, dtype=self._dtype, device=self._device)
            block = self._filling = _Block(empty)
        if isinstance(number, Tensor):
            block.held[block.count].copy_(number.detach().reshape(()), non_blocking=True)
        else:
            block.held[block.count] = number
        block.count += 1
        ticket = Ticket(block, block.count - 1)
        if block.count == SIZE or (not self._summed and monotonic() - block.filled > SECONDS):
            self.leave()
        return ticket

    def leave(self) -> None:
        """Send what was put so far."""
        block, self._filling = self._filling, None
        if block is not None:
            if self._summed:
                distributed.all_reduce(block.held)
            block.leave()
            self._under_way.append(block)

    def look(self, *, wait: bool = False) -> None:
        """See what has arrived; with ``wait`` all that was sent."""
        while self._under_way and self._under_way[0].look(wait=wait):
            self._under_way.popleft()


@dataclass(frozen=True, eq=False)
class Ticket:
    """Where a number that is under way will be found."""

    block: _Block
    at: int

    @property
    def arrived(self) -> bool:
        """Whether it is here."""
        return self.block.numbers is not None

    def open(self) -> float:
        """Return the number, once it is here."""
        return (self.block.numbers or [])[self.at]
