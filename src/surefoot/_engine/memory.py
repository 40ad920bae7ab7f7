"""Copies of tensors, arrays and containers, written back into the very objects they came from."""

import os
import tempfile
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from surefoot._engine.free import free_memory
from surefoot.errors import InputError

__all__ = ["SHARE", "Memory", "Room"]

SHARE = 0.5
"""Of the memory that is free, so much may be filled with copies: training needs the rest."""

SMALL = 2**16
"""Bytes: for a tensor of fewer it is not worth while to ask how much is free."""

_HOST = torch.device("cpu")

_TABLES = (dict, OrderedDict, defaultdict)
_ROWS = (list, set, deque)


@dataclass(frozen=True)
class _TensorCell:
    """A tensor, its copy, and what the copy does not hold."""

    tensor: Tensor
    alias: Tensor  # the same storage, should the tensor be given another one
    copy: Tensor
    gradient: Tensor | None
    requires_grad: bool
    is_leaf: bool

    def restore_values(self) -> None:
        if not _same_place(self.tensor, self.alias):
            self.tensor.data = self.alias
        if self.tensor.layout is torch.strided:
            _own_elements(self.tensor.data).copy_(self.copy)
        else:
            self.tensor.copy_(self.copy)  # its .data has other indices, not the same ones

    def restore_gradient(self) -> None:
        if self.is_leaf:
            if not self.tensor.is_leaf:
                self.tensor.detach_()
            self.tensor.requires_grad_(self.requires_grad)
            self.tensor.grad = self.gradient


class Memory:
    """What was there when it was asked to keep it, however deep it lay; each object once.

    Tensors, NumPy arrays, and the builtin containers (dict, list, set, deque, and tuples through
    which others are reached) come back as the same objects with the same content. Any other object
    comes back where it was, with whatever it holds by then.

    Args:
        share: see :class:`Room`.
    """

    def __init__(self, share: float = SHARE) -> None:
        self._seen: dict[int, object] = {}  # keeps them alive, so that an id stays theirs
        self._tensors: list[_TensorCell] = []
        self._arrays: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        self._tables: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._rows: list[tuple[Any, list[Any]]] = []
        self._room = Room(share)

    @property
    def size(self) -> int:
        """Bytes of all copies."""
        return sum(self._room.filled.values())

    @property
    def places(self) -> dict[str, int]:
        """Bytes of the copies on each device, "cpu" for the host, and on "disk"."""
        return dict(self._room.filled)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that are kept, each once."""
        return [cell.tensor for cell in self._tensors]

    def keep(self, *values: object) -> None:
        """Copy each of the values and all that they hold.

        Raises:
            InputError: a parameter has no values yet, as those of a lazy module before its first
                batch.
        """
        waiting: list[object] = list(values)
        while waiting:
            value = waiting.pop()
            if id(value) not in self._seen:
                waiting.extend(self._keep(value))

    def restore(self) -> None:
        """Write everything back."""
        for table, saved in self._tables:
            if not _same_items(table, saved):
                table.clear()
                table.update(saved)
        for row, saved in self._rows:
            if not _same(row, saved):
                row.clear()
                getattr(row, "update" if isinstance(row, set) else "extend")(saved)
        for array, copied in self._arrays:
            array[...] = copied
        for cell in self._tensors:
            cell.restore_values()
        for cell in self._tensors:
            cell.restore_gradient()

    def _keep(self, value: object) -> Iterable[object]:
        """Copy one value; return what it holds."""
        if isinstance(value, Tensor):
            self._seen[id(value)] = value
            return self._keep_tensor(value)
        if isinstance(value, np.ndarray):
            self._seen[id(value)] = value
            if value.flags.writeable:
                self._arrays.append((value, value.copy()))
                self._room.filled["cpu"] += value.nbytes
        elif type(value) in _TABLES:
            self._seen[id(value)] = value
            self._tables.append((value, dict(value)))  # type: ignore[arg-type]
            return value.values()  # type: ignore[attr-defined]
        elif type(value) in _ROWS:
            self._seen[id(value)] = value
            self._rows.append((value, list(value)))  # type: ignore[call-overload]
            return list(value)  # type: ignore[call-overload]
        elif isinstance(value, tuple):
            return value
        return ()

    def _keep_tensor(self, tensor: Tensor) -> Iterable[object]:
        if is_lazy(tensor):
            raise InputError(
                "a lazy module has no weights yet, so there is nothing to copy: give it one batch "
                "first."
            )
        gradient = tensor.grad if tensor.is_leaf else None
        alias = tensor.detach()
        strided = tensor.layout is torch.strided
        copied = self._room.copy(_own_elements(alias) if strided else alias)
        cell = _TensorCell(tensor, alias, copied, gradient, tensor.requires_grad, tensor.is_leaf)
        self._tensors.append(cell)
        return () if gradient is None else (gradient,)


class Room:
    """Where copies go: to the device where the tensor is, else to the host, else to the disk.

    Args:
        share: of the memory that is free in a place, so much may be filled with copies.

    Attributes:
        filled: bytes of the copies in each place.
    """

    def __init__(self, share: float = SHARE) -> None:
        self._share = share
        self.filled: Counter[str] = Counter()
        self._left: dict[torch.device, float] = {}

    def copy(self, tensor: Tensor) -> Tensor:
        """Return a copy in the first place that has room for it."""
        if tensor.layout is not torch.strided:
            self.filled[str(tensor.device)] += tensor.element_size() * tensor._nnz()
            return tensor.clone()
        size = tensor.element_size() * tensor.nelement()
        if type(tensor) is not Tensor or self._take(tensor.device, size):
            self.filled[str(tensor.device)] += size
            return tensor.clone()
        if tensor.device != _HOST and self._take(_HOST, size):
            self.filled["cpu"] += size
            return tensor.to(_HOST, copy=True)
        self.filled["disk"] += size
        return self._write(tensor)

    def _take(self, device: torch.device, size: int) -> bool:
        """Return whether there is room on a device, which is then taken."""
        if size <= SMALL:
            return True
        left = self._left.get(device)
        left = self._share * free_memory(device) if left is None else left
        fits = size <= left
        self._left[device] = left - size if fits else left
        return fits

    def _write(self, tensor: Tensor) -> Tensor:
        handle, path = tempfile.mkstemp(prefix="surefoot-")
        os.close(handle)
        copied = torch.from_file(path, True, tensor.nelement(), dtype=tensor.dtype)
        with suppress(OSError):  # the memory stays mapped; a system may keep the file until then
            Path(path).unlink()
        return copied.view(tensor.shape).copy_(tensor)


def _same_place(one: Tensor, other: Tensor) -> bool:
    """Return whether both look at the same memory in the same way."""
    if (one.dtype, one.device, one.layout) != (other.dtype, other.device, other.layout):
        return False
    if one.shape != other.shape:
        return False
    if one.layout is not torch.strided:
        return True
    return one.data_ptr() == other.data_ptr() and one.stride() == other.stride()


def _own_elements(tensor: Tensor) -> Tensor:
    """Return the tensor without the repetitions that ``expand`` makes, which cannot be written."""
    for axis, (length, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if stride == 0 and length > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def _same_items(table: dict[Any, Any], saved: dict[Any, Any]) -> bool:
    return _same(table, saved) and _same(table.values(), saved.values())


def _same(one: Iterable[object], other: Iterable[object]) -> bool:
    """Return whether both hold the same objects in the same order."""
    sentinel = object()
    left, right = iter(one), iter(other)
    while True:
        a, b = next(left, sentinel), next(right, sentinel)
        if a is not b:
            return False
        if a is sentinel:
            return True
