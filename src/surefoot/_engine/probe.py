"""Short trainings from one and the same start, of a fresh trial or inside the user's own loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from surefoot.schedules import Schedule

__all__ = ["JUDGED_SHARE", "Probe", "ProbeRun", "Stop", "compressed", "judge_at", "window"]

JUDGED_SHARE = 0.3
"""Without validation a training is judged by the mean loss of this last part of it."""

Stop = Callable[[Sequence[float]], bool]
"""Asked after each update with all losses so far; True ends the training."""


@dataclass(frozen=True)
class ProbeRun:
    """One short training.

    Args:
        updates: how many were made for it now; those that it had before are not counted again.
        judged: (updates so far, loss) each time it was judged, oldest first; the loss is inf once
            it is no longer finite.
    """

    updates: int
    judged: tuple[tuple[int, float], ...]


class Probe(Protocol):
    """Something that can train for a while from the same start, again and again.

    Attributes:
        steps: the budget in updates.
        metric: what it is judged by.
        default_lr: the rate at which the group with the highest has the usual one of its optimizer.
        name: of the trial.
        reference_cost: of an update of the reference, in updates.
        pass_cost: what judging costs, in updates; None if that is not known.
    """

    steps: int
    metric: str
    default_lr: float
    name: str
    reference_cost: float
    pass_cost: float | None

    def reference(self, count: int) -> list[float]:
        """Return the training losses of the first ``count`` updates at the weights of the start."""
        ...

    def range_test(self, lrs: Sequence[float], stop: Stop) -> list[float]:
        """Return the losses of a training with one update at each of these rates."""
        ...

    def untrained(self) -> float | None:
        """Return what the model is judged by at the start; None without a validation set."""
        ...

    def updates_of(self, lr: float) -> int:
        """Return the updates of the training at this one rate that can go on; 0 without one."""
        ...

    def train(self, lrs: Sequence[float], marks: Sequence[int]) -> ProbeRun:
        """Train with one update at each of these rates, and judge after so many updates.

        Args:
            lrs: learning rate of the first parameter group for each update. If it is one rate, a
                training of before goes on; see :meth:`updates_of`.
            marks: updates after which to judge, ascending; the last is the number of rates. If the
                first of them was reached before, the training begins anew.
        """
        ...


def judge_at(
    marks: Sequence[int], train_to: Callable[[int], bool], judge: Callable[[bool], float]
) -> tuple[tuple[int, float], ...]:
    """Train up to each mark and judge there; the loss that is not finite is the last.

    Args:
        marks: updates after which to judge, ascending.
        train_to: trains up to that update, and returns whether the loss is still finite.
        judge: told that; returns what the training is judged by.
    """
    judged: list[tuple[int, float]] = []
    for mark in marks:
        finite = train_to(mark)
        judged.append((mark, judge(finite)))
        if not finite:
            break
    return tuple(judged)


def window(losses: Sequence[float]) -> float:
    """Return what a training without validation is judged by; inf if it is not finite."""
    last = losses[-max(1, int(len(losses) * JUDGED_SHARE)) :]
    mean = sum(last) / len(last)
    return mean if mean - mean == 0 else float("inf")


def compressed(schedule: Schedule | None, steps: int, updates: int, lr: float) -> list[float]:
    """Return the rates of a run of ``updates`` updates that goes through the whole schedule.

    Args:
        schedule: a schedule resolved for ``steps``, or None for a constant rate.
        steps: the budget in updates.
        updates: length of the short run.
        lr: the peak rate.
    """
    if schedule is None:
        return [lr] * updates
    return [lr * float(schedule(number * steps // updates)) for number in range(updates)]
