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

    Example:
        >>> print(Cost(updates=150, seconds=0.81, trainings=0.5))
        150 updates (0.50 trainings), 0.8 s
    """

    updates: int
    seconds: float
    trainings: float

    def __str__(self) -> str:
        share = f" ({self.trainings:.2f} trainings)" if self.trainings == self.trainings else ""
        return f"{self.updates} updates{share}, {self.seconds:.1f} s"
