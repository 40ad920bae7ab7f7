"""Updates that a GradScaler skipped, counted without waiting for the device."""

import weakref
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.errors import InputError

__all__ = ["Skips", "bare"]

LATEST = 100
"""Updates after which a count that is still on its way is waited for."""


class Skips:
    """Tells which steps of an optimizer moved the weights.

    With most optimizers a GradScaler looks at the gradients and does not call ``step`` where one is
    infinite: the hook on ``step`` stays silent. A fused optimizer is called always and skips on its
    device: what it found is summed up there, the sum is copied while the training goes on, and the
    skips are told when the copy is there, one or two updates late as a rule, 100 at the latest.

    Args:
        optimizer: the one whose steps count.
        scaler: the scaler that steps it.

    Raises:
        InputError: the scaler is none, or the optimizer does not tell of its steps.
    """

    def __init__(self, optimizer: Optimizer, scaler: Any) -> None:
        if not isinstance(scaler, torch.amp.GradScaler):
            raise InputError(
                f"scaler must be a torch.amp.GradScaler, not a {type(scaler).__name__}."
            )
        self._optimizer = optimizer
        self._made = False  # a step that the host knows to be one, since the last take
        self._asked = False  # a step that the device may have skipped
        self._moved: Tensor | None = None  # on the device: whether one of these was made
        self._sum: Tensor | None = None  # on the device: takes without a step
        self._copy: Tensor | None = None  # of the sum, on its way
        self._arrival: torch.Event | None = None
        self._told = 0
        self._waited = 0
        self._attach()

    def take(self) -> tuple[bool, int]:
        """Return whether there was a step since the last take, and how many takes are known late.

        A take is known late if it was told to have a step, and the device found that it had none.
        """
        if self._asked and not self._made and self._sum is not None and self._moved is not None:
            self._sum += ~self._moved
        stepped = self._made or self._asked
        self._begin()
        return stepped, self._skipped(wait=False)

    def settle(self) -> int:
        """Wait for the device, and return how many takes were not told of yet."""
        return self._skipped(wait=True)

    def forget(self) -> None:
        """Start anew: nothing that happened so far counts."""
        self._skipped(wait=True)
        self._begin()

    def _begin(self) -> None:
        self._made = self._asked = False
        if self._moved is not None:
            self._moved.fill_(False)

    def _saw(self, optimizer: Any) -> None:
        """Note a step, and where it is fused what the device finds."""
        found = getattr(optimizer, "found_inf", None)
        if found is None:
            self._made = True
            return
        self._asked = True
        if self._moved is None or self._sum is None:
            self._moved = torch.zeros((), dtype=torch.bool, device=found.device)
            self._sum = torch.zeros((), dtype=torch.int64, device=found.device)
        self._moved |= found == 0

    def _skipped(self, *, wait: bool) -> int:
        if self._sum is None:
            return 0
        if wait or self._sum.device.type not in ("cuda", "xpu"):
            self._copy, self._arrival = None, None
            return self._tell(self._sum)
        if self._copy is None or self._arrival is None:
            self._copy = torch.empty((), dtype=torch.int64, pin_memory=True)
            self._copy.copy_(self._sum, non_blocking=True)
            self._arrival = torch.Event(self._sum.device)
            self._arrival.record()
            self._waited = 0
            return 0
        self._waited += 1
        if self._waited >= LATEST:
            self._arrival.synchronize()
        if not self._arrival.query():
            return 0
        copy, self._copy, self._arrival = self._copy, None, None
        return self._tell(copy)

    def _tell(self, total: Tensor) -> int:
        before, self._told = self._told, int(total)
        return self._told - before

    def _attach(self) -> None:
        inner = bare(self._optimizer)
        if inner is None:
            raise InputError(
                f"scaler needs an optimizer that tells of its steps; a "
                f"{type(self._optimizer).__name__} has no hooks: give the one inside of it."
            )
        handle = inner.register_step_post_hook(partial(_told_of_step, weakref.ref(self)))
        weakref.finalize(self, handle.remove)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_copy": None, "_arrival": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._attach()


def bare(optimizer: Any) -> Optimizer | None:
    """Return the optimizer with torch's hooks inside of wrappers such as Accelerate's, or None."""
    while optimizer is not None and "_optimizer_step_post_hooks" not in vars(optimizer):
        optimizer = getattr(optimizer, "optimizer", None)
    return optimizer


def _told_of_step(skips: "weakref.ref[Skips]", optimizer: Any, _args: Any, _kwargs: Any) -> None:
    if (alive := skips()) is not None:
        alive._saw(optimizer)
