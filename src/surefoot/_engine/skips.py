"""Updates that a GradScaler skipped, counted without waiting for the device."""

import weakref
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from surefoot.errors import InputError

__all__ = ["LATEST", "Parcel", "Skips", "bare"]

LATEST = 100
"""Updates after which a count that is still on its way is waited for."""


class Parcel:
    """A number on its way from its device to the host, without anyone waiting for it.

    Only where a device can copy beside its work; from others it is fetched at once.
    """

    def __init__(self, number: Tensor) -> None:
        self._arrival: torch.Event | None = None
        if number.device.type not in ("cuda", "xpu"):
            self._copy = number.to("cpu", copy=True)
            return
        self._copy = torch.empty((), dtype=number.dtype, pin_memory=True)
        self._copy.copy_(number, non_blocking=True)
        self._arrival = torch.Event(number.device)
        self._arrival.record()

    def arrived(self) -> bool:
        """Return whether it is there."""
        return self._arrival is None or self._arrival.query()

    def wait(self) -> None:
        """Wait for it."""
        if self._arrival is not None:
            self._arrival.synchronize()

    def open(self) -> int:
        """Return the number, once it is there."""
        return int(self._copy)


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
        self._parcel: Parcel | None = None  # the sum, on its way
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
        """Return the takes that are known late and were not told yet."""
        if self._sum is None:
            return 0
        if wait:
            self._parcel = None
            return self._tell(int(self._sum))
        if self._parcel is None:
            self._parcel, self._waited = Parcel(self._sum), 0
        self._waited += 1
        if self._waited > LATEST:
            self._parcel.wait()
        if not self._parcel.arrived():
            return 0
        parcel, self._parcel = self._parcel, None
        return self._tell(parcel.open())

    def _tell(self, total: int) -> int:
        before, self._told = self._told, total
        return total - before

    def _attach(self) -> None:
        inner = bare(self._optimizer)
        if inner is None:
            raise InputError(
                f"scaler needs an optimizer that tells of its steps; a "
                f"{type(self._optimizer).__name__} has no hooks: give the one inside of it."
            )
        handle = inner.register_step_post_hook(partial(_told_of_step, weakref.ref(self)))
        weakref.finalize(self, handle.remove).atexit = False

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_parcel": None}

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
