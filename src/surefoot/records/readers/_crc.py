"""CRC-32C of many byte ranges at once, as TensorBoard's files mask it.

The ranges are cut from their ends into blocks of 64 bytes, all blocks go through the table side
by side, one column of bytes at a time, and the blocks of one range are joined: a CRC that starts
at zero is linear, so what came before only has to be moved on by 64 zero bytes.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["masked_crc", "masked_crcs"]

_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits reversed
_ONES = 0xFFFFFFFF
_DELTA = 0xA282EAD8  # the mask: rotate by 15 bits, add this
_BLOCK = 64


@cache
def _table() -> tuple[int, ...]:
    """Return the step of the CRC for each byte."""
    table: list[int] = []
    for byte in range(256):
        state = byte
        for _ in range(8):
            state = (state >> 1) ^ (_POLYNOMIAL if state & 1 else 0)
        table.append(state)
    return tuple(table)


@cache
def _block_shift() -> tuple[tuple[int, ...], ...]:
    """Return, for each of the four bytes of a state, what 64 zero bytes make of its 256 values."""
    table = _table()
    bits: list[int] = []
    for bit in range(32):
        state = 1 << bit
        for _ in range(_BLOCK):
            state = table[state & 255] ^ (state >> 8)
        bits.append(state)
    rows: list[tuple[int, ...]] = []
    for first in range(0, 32, 8):
        row = [0] * 256
        for byte in range(1, 256):
            low = byte & -byte
            row[byte] = row[byte ^ low] ^ bits[first + low.bit_length() - 1]
        rows.append(tuple(row))
    return tuple(rows)


def masked_crc(data: bytes) -> int:
    """Return the masked CRC of a few bytes."""
    table = _table()
    state = _ONES
    for byte in data:
        state = table[(state ^ byte) & 255] ^ (state >> 8)
    crc = state ^ _ONES
    return (((crc >> 15) | (crc << 17)) + _DELTA) & _ONES


def masked_crcs(data: bytes, ranges: list[tuple[int, int]]) -> list[int]:
    """Return the masked CRC of each range.

    Args:
        data: what the ranges lie in.
        ranges: (start, stop) of each, not empty.
    """
    bounds = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    starts, stops = bounds[:, 0], bounds[:, 1]
    counts = (stops - starts + _BLOCK - 1) // _BLOCK
    last = np.repeat(np.cumsum(counts, dtype=np.int64), counts) - 1
    ends = np.repeat(stops, counts) - _BLOCK * (last - np.arange(len(last), dtype=np.int64))
    states = _states(data, np.repeat(starts, counts), ends)
    if len(states) > len(ranges):
        states = _joined(states.tolist(), counts.tolist())
    crc = states.astype(np.uint64) ^ np.uint64(_ONES)
    rotated = (crc >> np.uint64(15)) | (crc << np.uint64(17))
    return ((rotated + np.uint64(_DELTA)) & np.uint64(_ONES)).tolist()


def _joined(states: list[int], counts: list[int]) -> NDArray[np.uint32]:
    """Return the state after each range from the states of its blocks."""
    (zero, one, two, three), position = _block_shift(), 0
    results: list[int] = []
    for blocks in counts:
        state = states[position]
        for block in states[position + 1 : position + blocks]:
            moved = zero[state & 255] ^ one[(state >> 8) & 255] ^ two[(state >> 16) & 255]
            state = moved ^ three[state >> 24] ^ block
        position += blocks
        results.append(state)
    return np.array(results, dtype=np.uint32)


def _states(data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the state after each block; it begins with ones at the start of its range."""
    table = np.array(_table(), dtype=np.uint32)
    padded = np.frombuffer(bytes(_BLOCK) + data, dtype=np.uint8)
    states = np.zeros(len(ends), dtype=np.uint32)
    lead = starts - ends  # −(bytes from the start of the range to the end of this block)
    for column in range(-min(_BLOCK, int((ends - starts).max())), 0):
        inside = lead <= column
        states[lead == column] = _ONES
        byte = padded[ends + (_BLOCK + column)] * inside
        states = table[(states ^ byte) & np.uint32(255)] ^ (states >> np.uint32(8))
    return states
