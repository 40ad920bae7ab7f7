"""Durations as users write them: updates, shares of the run, epochs, samples and tokens."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, SupportsIndex, TypeAlias

from surefoot._base.checks import count, number, positive
from surefoot.errors import InputError, StateError

__all__ = [
    "AUTO",
    "LONGEST",
    "Clock",
    "Duration",
    "duration",
    "exact",
    "from_real",
    "in_updates",
    "in_words",
    "nearest",
    "period",
    "real",
    "share",
    "shown",
    "stretched",
]

Duration: TypeAlias = int | float | str
"""An int is updates, a float in (0, 1) a share of the run, a text as in :func:`duration`."""

AUTO = "auto"
"""The duration of a warm-up that the run decides; see :class:`Clock`."""

LONGEST = 2**53
"""The largest number of updates: up to here every whole number is exact as a float."""

_MOST = 10**300
"""The largest amount of any unit, so that it is finite as a float."""

_LONGEST_TEXT = 400
"""Characters of the longest duration that is read."""

_TEXT = re.compile(
    r"\s*(?P<amount>\d+/[1-9]\d*|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)\s*"
    r"(?P<unit>%|updates?|epochs?|samples?|tokens?)\s*",
    re.ASCII,
)
_ALLOWED = (
    'an int (updates), a float in (0, 1) (a share of the run), "10%", "500 updates", "3 epochs", '
    '"1/3 epochs", "2e6 samples" or "2e9 tokens"'
)
_NEEDS = {
    "epochs": "updates_per_epoch",
    "samples": "samples_per_update",
    "tokens": "tokens_per_update",
}


def duration(name: str, value: Any) -> Duration:
    """Return ``value`` if it is a duration, as an int, a float or the text it was.

    Raises:
        InputError: it is none; the message lists what is allowed.
    """
    if isinstance(value, str):
        _amount(name, value)
        return value
    if isinstance(value, SupportsIndex):
        updates = count(name, value)
        if updates > LONGEST:
            raise InputError(f"{name} must be at most {LONGEST} updates, not {updates:.3g}.")
        return updates
    result = number(name, value)
    if not 0 < result < 1:
        raise InputError(
            f"{name} must lie in (0, 1) where it is a float, a share of the run, not {result!r}; "
            f"allowed is {_ALLOWED}."
        )
    return result


def period(name: str, value: Any) -> Duration:
    """Return ``value`` if it is a duration that something can repeat after: not 0."""
    checked = duration(name, value)
    if checked == 0:
        raise InputError(f"{name} must be at least 1 update, not {value!r}.")
    return checked


def share(value: Duration) -> bool:
    """Return whether ``value`` is a share of the run, and so grows and shrinks with the run."""
    return isinstance(value, float) or (isinstance(value, str) and "%" in value)


def stretched(value: Duration, k: float) -> Duration:
    """Return ``value`` times ``k``, exactly; shares of the run stay, for they grow with the run."""
    if share(value) or value == AUTO:
        return value
    amount, unit = (
        (Fraction(value), "updates") if isinstance(value, int) else _amount("", str(value))
    )
    amount *= exact(k)
    if amount > _MOST:
        raise InputError(f"k is too large to stretch {value!r} by: {k!r}.")
    return from_real(amount) if unit == "updates" else f"{_written(amount)} {unit}"


def exact(number: float) -> Fraction:
    """Return the fraction that a float stands for: 1/3 for 0.3333333333333333.

    It is the simplest one where that is the same to the last digit, so that 3 epochs of 50,000 / 48
    updates are 3125 updates, and not a little less.
    """
    simple = Fraction(number).limit_denominator(1_000_000)
    same = abs(simple - Fraction(number)) <= abs(Fraction(number)) * Fraction(1, 10**15)
    return simple if same else Fraction(repr(float(number)))


def real(value: Duration) -> Fraction:
    """Return the exact number of updates of a duration that is in updates.

    Raises:
        StateError: it is in another unit, which a run must resolve first.
    """
    if isinstance(value, int):
        return Fraction(value)
    if isinstance(value, str):
        amount, unit = _amount("duration", value)
        if unit == "updates":
            return amount
    raise StateError(f"{value!r} is not in updates: call .resolve(total) first.")


def in_updates(value: Duration) -> bool:
    """Return whether ``value`` is in updates, whole ones or not."""
    return isinstance(value, int) or (
        isinstance(value, str) and _amount("duration", value)[1] == "updates"
    )


def from_real(amount: Fraction) -> Duration:
    """Return ``amount`` updates as an int where it is whole, else as an exact text."""
    return int(amount) if amount.denominator == 1 else f"{_written(amount)} updates"


def in_words(value: Duration | None) -> str:
    """Return ``value`` as the object of "over": "500 updates", "10% of the run", "3 epochs"."""
    if value is None:
        return "the rest of the run"
    if isinstance(value, float):
        return f"{100 * value:g}% of the run"
    if isinstance(value, int):
        return "1 update" if value == 1 else f"{value} updates"
    if value == AUTO:
        return "an automatic time (10% of the run, or 2 / (1 − β2) updates if that is less)"
    return f"{value.strip()} of the run" if share(value) else value.strip()


def shown(amount: Fraction | int) -> str:
    """Return a number of updates as a message shows it."""
    return f"{float(amount):g}" if amount < _MOST else f"more than {float(_MOST):g}"


def nearest(amount: Fraction | int) -> int:
    """Return the whole number nearest to ``amount``; a half goes up."""
    return math.floor(amount + Fraction(1, 2))


@dataclass(frozen=True)
class Clock:
    """What a run must tell so that durations become updates.

    Args:
        total: updates of the whole run, ≥ 1.
        updates_per_epoch: updates in one pass over the data, > 0.
        samples_per_update: samples that one update sees, > 0.
        tokens_per_update: tokens that one update sees, > 0.
        beta2: decay of Adam's second moment, in [0, 1), for an automatic warm-up; None if the
            optimizer has none.
    """

    total: int
    updates_per_epoch: float | None = None
    samples_per_update: float | None = None
    tokens_per_update: float | None = None
    beta2: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", count("total", self.total, least=1))
        for name in _NEEDS.values():
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        if self.beta2 is not None and not 0 <= number("beta2", self.beta2) < 1:
            raise InputError(f"beta2 must lie in [0, 1), not {self.beta2!r}.")

    def updates(self, value: Duration) -> Fraction:
        """Return the exact, still unrounded number of updates that ``value`` takes.

        Raises:
            InputError: the clock lacks what the unit needs; the message names the argument.
        """
        if isinstance(value, int):
            return Fraction(value)
        if isinstance(value, float):
            return exact(value) * self.total
        if value == AUTO:
            return self._automatic()
        amount, unit = _amount("duration", value)
        if unit == "%":
            return amount / 100 * self.total
        if unit == "updates":
            return amount
        rate = getattr(self, _NEEDS[unit])
        if rate is None:
            raise InputError(
                f"{_NEEDS[unit]} is needed to turn {value!r} into updates: call "
                f"resolve(total, {_NEEDS[unit]}=…)."
            )
        return amount * exact(rate) if unit == "epochs" else amount / exact(rate)

    def _automatic(self) -> Fraction:
        """Return a tenth of the run, or 2 / (1 − β2) updates if that is less."""
        tenth = Fraction(self.total, 10)
        if self.beta2 is None:
            return tenth
        return min(tenth, 2 / (1 - exact(self.beta2)))


def _written(amount: Fraction) -> str:
    """Return ``amount`` as the shortest text that reads back equal."""
    decimal = repr(float(amount)).removesuffix(".0")
    return decimal if Fraction(decimal) == amount else f"{amount.numerator}/{amount.denominator}"


def _amount(name: str, text: str) -> tuple[Fraction, str]:
    """Return the exact amount and the unit, in the plural, of a duration written as text."""
    match = _TEXT.fullmatch(text) if len(text) < _LONGEST_TEXT else None
    exponent = int(match["amount"].partition("e")[2] or 0) if match else 0
    if match is None or abs(exponent) > 300 or (amount := Fraction(match["amount"])) > _MOST:
        raise InputError(f"{name} must be {_ALLOWED}, not {text!r:.60}.")
    if match["unit"] == "%" and amount > 100:
        raise InputError(f'{name} must be at most "100%" of the run, not {text!r:.60}.')
    unit = match["unit"] if match["unit"] == "%" else match["unit"].removesuffix("s") + "s"
    return amount, unit
