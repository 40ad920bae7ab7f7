"""The wire format of protocol buffers: fields of a message, without a schema."""

from collections.abc import Iterator

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "fields", "signed", "varint"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at ``position`` and where the next one begins.

    Raises:
        ValueError: it is longer than 64 bits.
        IndexError: the data ends inside it.
    """
    result = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result & 0xFFFFFFFFFFFFFFFF, position
    raise ValueError("a number is longer than 64 bits")


def signed(number: int) -> int:
    """Return an unsigned 64-bit number as int64."""
    return number - (1 << 64) if number >> 63 else number


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield (field number, wire type, value): an int for a varint, else the raw bytes.

    Raises:
        ValueError: this is no message.
        IndexError: the data ends inside a number.
    """
    position = 0
    while position < len(data):
        key = data[position]
        position += 1
        if key > 127:
            key, position = varint(data, position - 1)
        wire = key & 7
        if wire == VARINT:
            value, position = varint(data, position)
            yield key >> 3, wire, value
            continue
        if wire == BYTES:
            length = data[position]
            position += 1
            if length > 127:
                length, position = varint(data, position - 1)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire} is unknown")
        if length > len(data) - position:
            raise ValueError("a field is longer than its message")
        yield key >> 3, wire, data[position : position + length]
        position += length
