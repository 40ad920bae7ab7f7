"""What a result cost."""

from dataclasses import dataclass

from surefoot._base.codec import Record

__all__ = ["Cost"]


@dataclass(frozen=True)
class Cost(Record):
    """What a result cost.

    Args:
        updates: optimizer updates made, ≥ 0.
        seconds: wall time, s, validation and set-up included.
        trainings: ``updates`` ÷ the updates of one training; NaN where no budget was given.
        passes: over the validation set, where they are counted.

    Example:
        >>> print(Cost(updates=150, seconds=0.81, trainings=0.5))
        150 updates (0.50 trainings), 0.8 s
    """

    updates: int
    seconds: float
    trainings: float
    passes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.updates + other.updates,
            self.seconds + other.seconds,
            self.trainings + other.trainings,
            self.passes + other.passes,
        )

    def __str__(self) -> str:
        share = f" ({self.trainings:.2f} trainings)" if self.trainings == self.trainings else ""
        passes = f", {self.passes} validation passes" if self.passes else ""
        return f"{self.updates} updates{share}{passes}, {self.seconds:.1f} s"
