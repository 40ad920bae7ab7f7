"""Training state, captured and put back bit for bit, with every object kept the same object."""

import copy
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot._engine import groups
from surefoot._engine.random_state import RandomState
from surefoot.errors import InputError

__all__ = ["Snapshot"]

_PLAIN = (bool, int, float, str, type(None))


class Snapshot:
    """Exact copy of the state of models, optimizers and scalers, and of the random generators.

    Restoring copies values into the tensors that were there (same objects, so that optimizers,
    compiled graphs and the user's own references stay right): parameters, buffers, gradients (also
    their absence), train/eval flags and other plain attributes, optimizer state (an empty one
    becomes empty again), every value of the parameter groups, the scaler, and the generators of
    torch, NumPy and Python.

    As a context manager it restores at the end of the block, also after an exception or Ctrl-C.

    Args:
        things: modules, optimizers, GradScalers, ``torch.Generator`` objects, or anything with
            ``state_dict`` and ``load_state_dict``.

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

    def __init__(self, things: Iterable[object]) -> None:
        memory = _Memory()
        self._parts: list[_Part] = [_capture(thing, memory) for thing in things]
        self._memory = memory
        self._random = RandomState()

    @property
    def size(self) -> int:
        """Bytes that the copies take."""
        return self._memory.size

    def restore(self) -> None:
        """Put everything back. May be called any number of times."""
        with torch.no_grad():
            for part in self._parts:
                part.restore()
            self._memory.restore()
        self._random.restore()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.restore()
        except KeyboardInterrupt:  # a second Ctrl-C must not leave half a state behind
            self.restore()
            raise


class _Part(Protocol):
    def restore(self) -> None: ...


class _Memory:
    """The copies of all tensors, one for each tensor however often it is shared."""

    def __init__(self) -> None:
        self._cells: dict[int, tuple[Tensor, Tensor, Tensor | None, bool]] = {}
        self.size = 0

    def keep(self, tensor: Tensor) -> Tensor:
        """Copy ``tensor`` and its gradient, once, and return the tensor itself."""
        if id(tensor) not in self._cells:
            gradient = tensor.grad if tensor.is_leaf else None
            copied = tensor.detach().clone()
            self._cells[id(tensor)] = (tensor, copied, gradient, tensor.requires_grad)
            self.size += copied.element_size() * copied.nelement()
            if gradient is not None:
                self.keep(gradient)
        return tensor

    def restore(self) -> None:
        for tensor, copied, gradient, requires_grad in self._cells.values():
            tensor.data.copy_(copied)
            if tensor.is_leaf:
                tensor.requires_grad_(requires_grad)
                tensor.grad = gradient


def _capture(thing: object, memory: _Memory) -> _Part:
    if isinstance(thing, nn.Module):
        return _ModuleState(thing, memory)
    if isinstance(thing, Optimizer):
        return _OptimizerState(thing, memory)
    if isinstance(thing, torch.amp.GradScaler):
        return _Attributes(thing, memory)
    if isinstance(thing, torch.Generator):
        return _GeneratorState(thing)
    if hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"):
        return _Stateful(thing)
    raise InputError(
        f"restore holds a {type(thing).__name__}, which cannot be restored: give modules, "
        "optimizers, GradScalers, generators, or objects with state_dict and load_state_dict."
    )


class _Attributes:
    """The plain and tensor attributes of an object, and dicts of dicts such as a scaler's."""

    def __init__(self, thing: object, memory: _Memory) -> None:
        self._thing = thing
        self._saved: dict[str, Any] = {}
        self._nested: dict[str, dict[Any, Any]] = {}
        for name, value in vars(thing).items():
            if isinstance(value, _PLAIN):
                self._saved[name] = value
            elif isinstance(value, Tensor):
                self._saved[name] = memory.keep(value)
            elif name == "_per_optimizer_states":
                self._nested[name] = {key: dict(state) for key, state in value.items()}

    def restore(self) -> None:
        vars(self._thing).update(self._saved)
        for name, saved in self._nested.items():
            current = vars(self._thing)[name]
            current.clear()
            current.update({key: dict(state) for key, state in saved.items()})


class _ModuleState:
    """Parameters, buffers and plain attributes of a module and of all inside it."""

    def __init__(self, model: nn.Module, memory: _Memory) -> None:
        self._tables: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._attributes: list[_Attributes] = []
        for module in model.modules():
            self._attributes.append(_Attributes(module, memory))
            for table in (module._parameters, module._buffers):
                entries = cast("dict[str, Any]", table)
                for tensor in entries.values():
                    if tensor is not None:
                        memory.keep(tensor)
                self._tables.append((entries, dict(entries)))

    def restore(self) -> None:
        for table, saved in self._tables:
            table.clear()
            table.update(saved)
        for attributes in self._attributes:
            attributes.restore()


class _OptimizerState:
    """State, parameter groups and plain attributes of an optimizer."""

    def __init__(self, optimizer: Optimizer, memory: _Memory) -> None:
        self._optimizer = optimizer
        self._attributes = _Attributes(optimizer, memory)

        def keep(value: Any) -> Any:
            return memory.keep(value) if isinstance(value, Tensor) else copy.deepcopy(value)

        self._state = {
            parameter: {key: keep(value) for key, value in state.items()}
            for parameter, state in optimizer.state.items()
        }
        self._groups = [
            {key: list(value) if key == "params" else keep(value) for key, value in group.items()}
            for group in optimizer.param_groups
        ]
        for group in self._groups:
            for parameter in group["params"]:
                memory.keep(parameter)

    def restore(self) -> None:
        self._attributes.restore()
        state = self._optimizer.state
        for parameter in set(state) - set(self._state):
            del state[parameter]
        for parameter, saved in self._state.items():
            entries = state[parameter]
            entries.clear()
            for key, value in saved.items():
                entries[key] = value if isinstance(value, Tensor) else copy.deepcopy(value)
        del self._optimizer.param_groups[len(self._groups) :]
        for group, saved in zip(self._optimizer.param_groups, self._groups, strict=True):
            groups.restore(group, saved)


class _GeneratorState:
    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._saved = generator.get_state()

    def restore(self) -> None:
        self._generator.set_state(self._saved)


class _Stateful:
    def __init__(self, thing: Any) -> None:
        self._thing = thing
        self._saved = copy.deepcopy(thing.state_dict())

    def restore(self) -> None:
        self._thing.load_state_dict(copy.deepcopy(self._saved))
