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
        self._made = False
        self._sum: Tensor | None = None  # on the device
        self._copy: Tensor | None = None  # of the sum, on its way
        self._arrival: torch.Event | None = None
        self._told = 0
        self._waited = 0
        self._attach()

    def take(self) -> tuple[bool, int]:
        """Return whether a step was made since the last call, and the skips known since then."""
        made, self._made = self._made, False
        return made, self._skipped(wait=False)

    def settle(self) -> int:
        """Wait for the device, and return the skips that were not told yet."""
        return self._skipped(wait=True)

    def forget(self) -> None:
        """Start anew: nothing that happened so far counts."""
        self._skipped(wait=True)
        self._made = False

    def _saw(self, optimizer: Any) -> None:
        self._made = True
        found = getattr(optimizer, "found_inf", None)
        if found is not None:
            if self._sum is None or self._sum.device != found.device:
                self.settle()
                self._sum = torch.full((), self._told, dtype=torch.int64, device=found.device)
            self._sum += found != 0

    def _skipped(self, *, wait: bool) -> int:
        if self._sum is None:
            return 0
        if wait or self._sum.device.type == "cpu":
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
