"""Norms and products of many tensors, in single precision at least, on the device of the first."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["copies", "dots", "norms", "subtract"]


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of each of n tensors, shape (n,)."""
    dense = [each.coalesce().values() if each.is_sparse else each for each in tensors]
    found: list[Tensor] = [torch.empty(0)] * len(dense)
    for low in (False, True):
        at = [index for index, each in enumerate(dense) if _is_low(each) == low]
        if at:
            kind = torch.float32 if low else None
            several = torch._foreach_norm([dense[index] for index in at], 2, dtype=kind)
            for index, norm in zip(at, several, strict=True):
                found[index] = norm
    return _stacked(found)


def dots(ones: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return the sum of the products of the elements of each of n pairs, shape (n,)."""
    return _stacked([_dot(one, other) for one, other in zip(ones, others, strict=True)])


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return a copy of each, in single precision at least."""
    return [each.to(torch.float32 if _is_low(each) else each.dtype, copy=True) for each in tensors]


def subtract(tensors: Sequence[Tensor], before: list[Tensor]) -> None:
    """Put the differences to what was ``before`` where that was."""
    if before:
        torch._foreach_neg_(before)
        torch._foreach_add_(before, list(tensors))


def _dot(one: Tensor, other: Tensor) -> Tensor:
    if one.is_sparse:
        one = one.coalesce()
        return (one.values() * other[tuple(one.indices())]).sum()
    return torch.dot(_flat(one), _flat(other))


def _flat(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return (tensor.float() if _is_low(tensor) else tensor).reshape(-1)


def _stacked(numbers: list[Tensor]) -> Tensor:
    if not numbers:
        return torch.zeros(0)
    device, dtype = numbers[0].device, max((each.dtype for each in numbers), key=_bits)
    if all(each.device == device and each.dtype == dtype for each in numbers):
        return torch.stack(numbers)
    return torch.stack([each.to(device, dtype) for each in numbers])


def _is_low(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float16, torch.bfloat16)


def _bits(dtype: torch.dtype) -> int:
    return torch.finfo(dtype).bits
