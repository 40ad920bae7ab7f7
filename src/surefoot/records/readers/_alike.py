"""Many event records of one plain scalar each, taken apart side by side.

What SummaryWriter writes for a scalar is always laid out the same: wall time (key 0x09, 8 bytes),
step (key 0x10, a varint), then a summary that differs in its last four bytes only, the value.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Alike", "taken_apart"]

_FEW = 16
"""Records of one length that are worth it."""

_LONG = 1 << 12
"""Bytes of a record that may be one of these."""

_TIME_KEY, _STEP_KEY, _STEP_AT = 0x09, 0x10, 10


class Alike(NamedTuple):
    """What n records hold.

    Args:
        kind: of each an index of ``summaries``, −1 for a record of another layout.
        step: of each, where it has a kind.
        value: of each, where it has a kind.
        summaries: what stands between step and value, once each.
    """

    kind: NDArray[np.int64]
    step: NDArray[np.int64]
    value: NDArray[np.float64]
    summaries: list[bytes]


def taken_apart(data: bytes, ranges: list[tuple[int, int]]) -> Alike:
    """Return what the records hold whose data lie in these ranges."""
    bounds = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    sizes = bounds[:, 1] - bounds[:, 0]
    found = Alike(
        np.full(len(bounds), -1), np.zeros(len(bounds), np.int64), np.zeros(len(bounds)), []
    )
    raw = np.frombuffer(data, np.uint8)
    lengths, counts = np.unique(sizes, return_counts=True)
    for length, count in zip(lengths.tolist(), counts.tolist(), strict=True):
        if count >= _FEW and _STEP_AT + 6 < length <= _LONG:
            rows = np.flatnonzero(sizes == length)
            _take(found, rows, raw[bounds[rows, :1] + np.arange(length)])
    return found


def _take(found: Alike, rows: NDArray[np.int64], records: NDArray[np.uint8]) -> None:
    """Take apart records of one length."""
    left = (records[:, 0] == _TIME_KEY) & (records[:, _STEP_AT - 1] == _STEP_KEY)
    for size in range(1, 6):  # of the step
        ends = left & (records[:, _STEP_AT + size - 1] < 128)
        left &= ~ends
        at = np.flatnonzero(ends)
        if not len(at):
            continue
        chosen = records[at]
        digits = chosen[:, _STEP_AT : _STEP_AT + size].astype(np.int64) & 127
        found.step[rows[at]] = (digits << (7 * np.arange(size))).sum(axis=1)
        found.value[rows[at]] = np.ascontiguousarray(chosen[:, -4:]).view("<f4")[:, 0]
        summary = np.ascontiguousarray(chosen[:, _STEP_AT + size : -4])
        different, which = np.unique(
            summary.view(f"V{summary.shape[1]}")[:, 0], return_inverse=True
        )
        found.kind[rows[at]] = which + len(found.summaries)
        found.summaries.extend(each.tobytes() for each in different)
