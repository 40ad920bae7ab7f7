"""What every rule is."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from surefoot.records import Remedy, Verdict
from surefoot.rules._signs import Signs

__all__ = ["Rule", "times"]

_ACTIONS: dict[str, Literal["lower_lr", "raise_lr", "none"]] = {
    "lower": "lower_lr",
    "raise": "raise_lr",
    "none": "none",
}


def times(factor: float) -> str:
    """Return a factor in words: two digits, no exponent.

    Example:
        >>> times(194.7), times(3.16), times(1e6)
        ('190 ×', '3.2 ×', '1,000,000 ×')
    """
    rounded = float(f"{factor:.2g}")
    return f"{rounded:,.0f} ×" if rounded >= 10 else f"{rounded:g} ×"


class Rule(ABC):
    """One thing that can be wrong with a run. Override :meth:`check` alone."""

    code: ClassVar[str]
    title: ClassVar[str]
    severity: ClassVar[Literal["error", "warning"]]
    direction: ClassVar[Literal["lower", "raise", "none"]]
    is_lr_fault: ClassVar[bool] = True

    @abstractmethod
    def check(self, signs: Signs) -> Verdict | None:
        """Return the verdict, or None if the rule does not hold."""

    def verdict(
        self,
        signs: Signs,
        *,
        factor: float,
        spread: float,
        since: int,
        confidence: float,
        advice: str,
    ) -> Verdict:
        """Return the verdict of this rule.

        Args:
            signs: the evidence.
            factor: what to multiply the learning rate by.
            spread: its range is ``factor`` ÷ and × this, ≥ 1.
            since: update from which on it holds.
            confidence: 0 … 1.
            advice: the remedy in words.
        """
        return Verdict(
            code=self.code,
            title=self.title,
            severity=self.severity,
            is_lr_fault=self.is_lr_fault,
            direction=self.direction,
            factor=factor,
            factor_low=factor / spread,
            factor_high=factor * spread,
            since=since,
            confidence=confidence,
            evidence=signs.evidence(),
            remedy=Remedy(_ACTIONS[self.direction], factor, advice),
        )
