"""A TensorFlow tensor that holds one number: how TensorFlow 2 writes a scalar."""

import struct
from typing import cast

from surefoot.records.readers._protobuf import BYTES, VARINT, fields, signed, varint

__all__ = ["tensor_scalar"]

_DTYPE, _SHAPE, _CONTENT = 1, 2, 4
_LAYOUTS = {1: "<f", 2: "<d", 3: "<i", 4: "<B", 5: "<h", 6: "<b", 9: "<q", 10: "<?", 19: "<e"}
_FIXED = {5: "<f", 6: "<d"}  # float_val, double_val
_WHOLE = {7, 10, 11}  # int_val, int64_val, bool_val


def tensor_scalar(message: bytes) -> float | None:
    """Return the number in a ``TensorProto`` of rank 0; None for any other tensor.

    Raises:
        ValueError: this is no message.
        IndexError: the data ends inside a number.
    """
    layout: str | None = None
    content = b""
    numbers: list[float] = []
    for number, wire, value in fields(message):
        if (number, wire) == (_DTYPE, VARINT):
            layout = _LAYOUTS.get(cast("int", value))
        elif (number, wire) == (_SHAPE, BYTES) and value:
            return None  # it has dimensions
        elif (number, wire) == (_CONTENT, BYTES):
            content = cast("bytes", value)
        elif number in _FIXED:
            numbers += _fixed(_FIXED[number], value)
        elif number in _WHOLE:
            numbers += _whole(value)
    if layout is None or len(numbers) > 1:
        return None
    if numbers:
        return numbers[0]
    if len(content) != struct.calcsize(layout):
        return None
    return float(struct.unpack(layout, content)[0])


def _fixed(layout: str, value: int | bytes) -> list[float]:
    """Return the numbers of a packed or a single field; two at most, more are no scalar."""
    size = struct.calcsize(layout)
    if isinstance(value, int) or len(value) % size:
        raise ValueError("a number has a wrong size")
    return [found[0] for found in struct.iter_unpack(layout, value[: 2 * size])]


def _whole(value: int | bytes) -> list[float]:
    if isinstance(value, int):
        return [float(signed(value))]
    first, position = varint(value, 0)
    return [float(signed(first))] * (1 if position == len(value) else 2)
