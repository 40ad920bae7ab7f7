"""Training state, captured and put back bit for bit, with every object kept the same object."""

import copy
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot._engine.memory import SHARE, Memory
from surefoot._engine.random_state import RandomState
from surefoot._engine.replay import Place, Replay
from surefoot.errors import InputError

__all__ = ["Snapshot", "listed"]


class Snapshot:
    """Exact copy of the state of models, optimizers and scalers, and of the random generators.

    Restoring copies values into the tensors that were there (same objects, so that optimizers,
    compiled graphs and the user's own references stay right): parameters, buffers, gradients (also
    their absence), train/eval flags and all other attributes of modules, optimizer state (an empty
    one becomes empty again), every value of the parameter groups, the scaler, and the generators of
    torch, NumPy and Python. Attributes that came since are removed. Of an attribute that is neither
    a number, text, tensor, NumPy array nor a builtin container of such, only the reference is put
    back, not what the object holds.

    As a context manager it restores at the end of the block, also after an exception or Ctrl-C.

    Args:
        things: modules, optimizers, GradScalers, ``torch.Generator`` objects, loaders made by
            :func:`surefoot.replay`, or anything with ``state_dict`` and ``load_state_dict``.
        share: of the memory that is free in a place, so much may be filled, in (0, 1].

    Raises:
        InputError: one of the things is none of these.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> before = model.weight.clone()
        >>> with Snapshot([model]):
        ...     _ = model.weight.data.add_(1.0)
        >>> torch.equal(model.weight, before)
        True
    """

    def __init__(self, things: Iterable[object], share: float = SHARE) -> None:
        self._things = listed(things)
        self._memory = Memory(share)
        self._generators: list[tuple[torch.Generator, torch.Tensor]] = []
        self._stateful: list[tuple[Any, Any]] = []
        self._loaders: list[tuple[Replay, Place]] = []
        self._releases: list[weakref.finalize[Any, Any]] = []  # at the end of a block, or of this
        for thing in self._things:
            self._capture(thing)
        self._random = RandomState()

    @property
    def size(self) -> int:
        """Bytes that the copies of tensors and arrays take."""
        return self._memory.size

    @property
    def places(self) -> dict[str, int]:
        """Bytes of these copies in each place: a device, "cpu", or "disk" if there is no room."""
        return self._memory.places

    def again(self, share: float = SHARE) -> "Snapshot":
        """Return a snapshot of the same things as they are now."""
        return Snapshot(self._things, share)

    def restore(self) -> None:
        """Put everything back. May be called any number of times."""
        with torch.no_grad():
            self._memory.restore()
            for thing, saved in self._stateful:
                thing.load_state_dict(copy.deepcopy(saved))
            if self._stateful:  # loading may write to what others hold, such as an optimizer's lr
                self._memory.restore()
        for generator, saved in self._generators:
            generator.set_state(saved)
        for loader, place in self._loaders:
            loader.rewind(place)
        self._random.restore()

    def _capture(self, thing: Any) -> None:
        if isinstance(thing, nn.Module):
            for module in thing.modules():
                self._memory.keep(vars(module))
                self._memory.keep(*module.parameters(recurse=False))
                self._memory.keep(*module.buffers(recurse=False))
        elif isinstance(thing, Optimizer):
            self._memory.keep(vars(thing), thing.state, thing.param_groups)
        elif isinstance(thing, torch.amp.GradScaler):
            self._memory.keep(vars(thing))
        elif isinstance(thing, torch.Generator):
            self._generators.append((thing, thing.get_state()))
        elif isinstance(thing, Replay):
            self._loaders.append((thing, thing.mark()))
            self._releases.append(weakref.finalize(self, thing.release))
        elif hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"):
            self._stateful.append((thing, copy.deepcopy(thing.state_dict())))
            self._memory.keep(getattr(thing, "__dict__", {}))
        else:
            raise InputError(
                f"restore holds a {type(thing).__name__}, which cannot be restored: give modules, "
                "optimizers, GradScalers, generators, loaders from replay(loader), or objects with "
                "state_dict and load_state_dict."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        try:
            self.restore()
        except KeyboardInterrupt:  # a second Ctrl-C must not leave half a state behind
            self.restore()
            raise
        finally:
            for release in self._releases:
                release()


def listed(things: object) -> list[object]:
    """Return the things as a list.

    Raises:
        InputError: a single thing was given; a Sequential and a dict, too, are one and not the list
            they seem.
    """
    single = isinstance(things, (nn.Module, str, bytes, Mapping))
    if single or not isinstance(things, Iterable):
        raise InputError(
            f"restore must be a list, such as restore=[model]; a {type(things).__name__} was given."
        )
    return list(things)
