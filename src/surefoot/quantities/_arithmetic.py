"""Norms and products of many tensors, in single precision at least, on their device.

Small tensors are joined into one, as each operation costs more than its elements; large ones are
taken as they are.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

__all__ = ["copies", "dots", "flat", "join", "squares", "subtract"]

LARGE = 1 << 16
"""Elements from which a tensor is taken alone."""

MOST = 1 << 20
"""Elements of small tensors that are joined."""


def join(tensors: Sequence[Tensor], kinds: Sequence[Hashable]) -> list[list[int]]:
    """Return which tensors to take together, as lists of their positions.

    Args:
        tensors: n dense tensors.
        kinds: of each; only those of one kind, dtype and device are joined.
    """
    found: list[list[int]] = []
    filling: dict[Hashable, tuple[list[int], int]] = {}
    for at, (tensor, kind) in enumerate(zip(tensors, kinds, strict=True)):
        size = tensor.numel()
        if size >= LARGE:
            found.append([at])
            continue
        key = (kind, tensor.dtype, tensor.device)
        several, filled = filling.get(key, ([], 0))
        if not several or filled + size > MOST:
            several, filled = [], 0
            found.append(several)
        several.append(at)
        filling[key] = several, filled + size
    return found


def flat(tensors: Sequence[Tensor], together: Sequence[Sequence[int]]) -> list[Tensor]:
    """Return vectors of the tensors, those joined that are to be taken together."""
    return [
        _vector(tensors[several[0]])
        if len(several) == 1
        else _precise(torch.cat([_vector(tensors[at], precise=False) for at in several]))
        for several in together
    ]


def copies(tensors: Sequence[Tensor], together: Sequence[Sequence[int]]) -> list[Tensor]:
    """Return such vectors that share no memory with the tensors."""
    vectors = flat(tensors, together)
    return [
        vector.clone() if vector.data_ptr() == tensors[several[0]].data_ptr() else vector
        for vector, several in zip(vectors, together, strict=True)
    ]


def subtract(after: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Put the differences to where the vectors of ``before`` were."""
    for new, old in zip(after, before, strict=True):
        torch.sub(new, old, out=old)


def squares(vectors: Sequence[Tensor]) -> list[Tensor]:
    """Return the sum of the squares of each vector."""
    return dots(vectors, vectors)


def dots(ones: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """Return the sum of the products of each pair of vectors; the first may be sparse."""
    return [_dot(one, other) for one, other in zip(ones, others, strict=True)]


def _dot(one: Tensor, other: Tensor) -> Tensor:
    if not one.is_sparse:
        return torch.dot(one, other)
    values = one.coalesce().values()
    if other is one:
        return values.square().sum()
    rows = other.view(one.shape)[tuple(one.coalesce().indices())]
    return (values * rows).sum()


def _vector(tensor: Tensor, *, precise: bool = True) -> Tensor:
    if tensor.is_sparse:
        return tensor
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    vector = tensor.reshape(-1)
    return _precise(vector) if precise else vector


def _precise(vector: Tensor) -> Tensor:
    return vector.float() if vector.dtype in (torch.float16, torch.bfloat16) else vector
