"""What ``find`` learned from trainings that were measured whole, and where it looks first."""

import functools
import json
import math
from importlib import resources

import numpy as np

from surefoot._curves.forecast import Known
from surefoot._curves.range_reading import RangeReading

__all__ = ["first_guess", "known"]

BELOW_LOWEST = 10.0
"""The best constant rate lies about this factor below the rate of least loss in a range test, and
near the one at which the loss begins to fall."""

TO_DEFAULT = 0.38
"""So much of the way to the usual rate of the optimizer, at most of a decade, the best rate lies
from where the range test expects it (least squares over the tuning workloads: the error falls from
0.50 to 0.41 decades)."""


def first_guess(reading: RangeReading, default_lr: float) -> float:
    """Return the constant rate that a range test expects to be best for the whole budget."""
    if not reading.clear:
        return default_lr
    expected = math.sqrt(reading.lowest_at / BELOW_LOWEST * reading.onset)
    away = math.log10(default_lr / expected)
    return expected * 10 ** (TO_DEFAULT * min(max(away, -1.0), 1.0))


@functools.cache
def known(kind: str) -> Known:
    """Return the trainings of a kind: ``"constant"`` or ``"decaying"``, by what the rate did.

    They are measured by ``benchmarks/find/surfaces.py`` and made into tables by
    ``benchmarks/find/learn.py``.
    """
    text = resources.files("surefoot._find").joinpath("learned.json").read_text(encoding="utf-8")
    learned = json.loads(text)
    tables = np.array([each["depth"] for each in learned[kind]])
    return Known(np.array(learned["offsets"]), np.array(learned["times"]), tables)
