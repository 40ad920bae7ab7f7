"""Ranges of axes, their ticks, and numbers as text. Pure."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "at",
    "edges",
    "fit",
    "is_wide",
    "place",
    "short",
    "span",
    "tick_texts",
    "ticks",
    "within",
]

DECADES_FOR_LOG = 1.5
"""A loss that spans more decades than this is drawn on a logarithmic axis."""


def short(value: float, digits: int = 3) -> str:
    """Return a number as a person writes it, with about that many digits.

    Example:
        >>> [short(x) for x in (1e-6, 0.00123, 0.001, 0.01, 1.0, 15.85, 2500.0)]
        ['1e-6', '0.00123', '1e-3', '0.01', '1', '15.8', '2500']
        >>> [short(x) for x in (20_000, 1.5e6, 3e12, -0.5, float("nan"))]
        ['20k', '1.5M', '3e12', '-0.5', 'not finite']
    """
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    if size == 0 or (1e-3 <= size < 1e4 and f"{size:.{digits}g}" != "0.001"):
        whole = math.floor(math.log10(size)) + 1 if size else 1
        return f"{value:.{max(digits, whole)}g}"
    if 1e4 <= size < 1e9:
        unit, sign = (1e6, "M") if size >= 1e6 else (1e3, "k")
        return f"{value / unit:.{max(digits, 3)}g}{sign}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def within(
    lr: float, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> str:
    """Return a best rate with its interval as a person writes it, with two digits.

    Where the grid ended too early, only what is known: at least, or at most.

    Example:
        >>> within(0.04, 0.03, 0.05), within(1.0, 0.5, 1.0, open_high=True)
        ('0.04 (0.03 … 0.05)', '≥ 0.5')
        >>> within(0.01, 0.01, 0.02, open_low=True)
        '≤ 0.02'
        >>> within(0.1, 0.01, 1.0, open_low=True, open_high=True)
        '0.1 (anywhere, also beyond the grid)'
    """
    said, *ends = (short(value, 2) for value in (lr, low, high))
    if open_low and open_high:
        return f"{said} (anywhere, also beyond the grid)"
    if open_low or open_high:
        return f"≤ {ends[1]}" if open_low else f"≥ {ends[0]}"
    return f"{said} ({ends[0]} … {ends[1]})"


def span(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> str:
    """Return an interval as a person writes it, with two digits; its ends may be open.

    Example:
        >>> span(0.03, 0.05), span(0.03, 0.05, open_high=True), span(0.03, 0.03)
        ('0.03 … 0.05', '0.03 … ≥ 0.05', 'only 0.03')
        >>> span(1.0, 1.0, open_high=True)
        '≥ 1'
    """
    ends = short(low, 2), short(high, 2)
    if ends[0] == ends[1] and open_low == open_high:
        return f"only {ends[0]}"
    if ends[0] == ends[1]:
        return f"{'≤' if open_low else '≥'} {ends[0]}"
    return f"{'≤ ' * open_low}{ends[0]} … {'≥ ' * open_high}{ends[1]}"


def tick_texts(places: Sequence[float]) -> list[str]:
    """Return the numbers of an axis, with as few digits as tell them apart.

    Example:
        >>> tick_texts([1000.0, 1000.25, 1000.5])
        ['1000', '1000.2', '1000.5']
    """
    for digits in range(3, 12):
        texts = [short(place, digits) for place in places]
        if len(set(texts)) == len(texts):
            break
    else:
        texts = [str(place) for place in places]
    return texts


def is_wide(values: ArrayLike) -> bool:
    """Return whether the finite values are all positive and call for a logarithmic axis."""
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if array.size == 0 or float(array.min()) <= 0:
        return False
    return math.log10(float(array.max()) / float(array.min())) > DECADES_FOR_LOG


def fit(values: Iterable[float], *, log: bool = False, pad: float = 0.05) -> tuple[float, float]:
    """Return a range that holds the finite values, with a margin of ``pad`` of its width.

    On a logarithmic axis values ≤ 0 have no place. A single value gets room about it.

    Example:
        >>> fit([0.0, 10.0]), fit([1.0, 100.0], log=True, pad=0.0), fit([])
        ((-0.5, 10.5), (1.0, 100.0), (0.0, 1.0))
    """
    array = np.asarray(list(values), dtype=np.float64)
    array = array[np.isfinite(array)]
    if log:
        array = np.log10(array[array > 0])
    if array.size == 0:
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = float(array.min()), float(array.max())
    if log and high - low < 0.5:
        low, high, pad = low - 0.5, high + 0.5, 0.0
    elif high - low <= 1e-9 * max(abs(low), abs(high)):
        room = 0.1 * abs(low) or 0.5
        low, high, pad = low - room, high + room, 0.0
    margin = pad * (high - low)
    low, high = low - margin, high + margin
    return (10.0**low, 10.0**high) if log else (low, high)


def place(value: float, ends: tuple[float, float], *, log: bool) -> float:
    """Return where the value lies between the ends of an axis: 0 is its start, 1 its end."""
    low, high = ends
    if log:
        if value <= 0:
            return -math.inf
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return (value - low) / (high - low)


def at(share: float, ends: tuple[float, float], *, log: bool) -> float:
    """Return the value that lies there between the ends of an axis: the inverse of ``place``."""
    if log:
        low, high = math.log10(ends[0]), math.log10(ends[1])
        return 10.0 ** (low * (1 - share) + high * share)
    return ends[0] * (1 - share) + ends[1] * share


def edges(places: Sequence[float], *, log: bool) -> "np.ndarray":
    """Return the n + 1 edges of the cells about n ascending places: half way to the neighbours.

    Example:
        >>> edges([1.0, 2.0, 4.0], log=False).tolist()
        [0.5, 1.5, 3.0, 5.0]
        >>> edges([1.0, 100.0], log=True).round(6).tolist()
        [0.1, 10.0, 1000.0]
    """
    values = np.log10(places) if log else np.asarray(places, dtype=np.float64)
    steps = np.diff(values) / 2 if len(values) > 1 else np.array([0.25 if log else 0.5])
    inner = values[:-1] + steps[: len(values) - 1]
    found = np.concatenate([[values[0] - steps[0]], inner, [values[-1] + steps[-1]]])
    return 10.0**found if log else found


def ticks(ends: tuple[float, float], *, log: bool = False, most: int = 8) -> list[float]:
    """Return where to label an axis: at round numbers, at most about ``most`` of them.

    Example:
        >>> ticks((1e-6, 10.0), log=True), ticks((0.0, 2.3), most=5)
        ([1e-06, 1e-05, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0], [0.0, 0.5, 1.0, 1.5, 2.0])
    """
    low, high = ends
    return _log_ticks(low, high, most) if log else _linear_ticks(low, high, most)


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.log10(low) - 1e-9, math.log10(high) + 1e-9
    powers = range(math.floor(first), math.ceil(last) + 1)
    found: list[float] = []
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        found = [float(f"{step}e{power}") for power in powers for step in steps]
        found = [value for value in found if first <= math.log10(value) <= last]
        if len(found) <= most:
            return found
    every = math.ceil(len(found) / most)
    return [value for value in found if round(math.log10(value)) % every == 0]


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(k * power for k in (1, 2, 2.5, 5, 10) if k * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]
