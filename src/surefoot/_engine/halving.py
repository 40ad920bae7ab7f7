"""Successive halving: who goes on at which update, and the round that every backend runs."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from surefoot._engine.backends._backend import Job, Report
from surefoot.records import Member

__all__ = ["FIRST", "Cohort", "Reached", "halve", "has_ended", "rungs", "survivors"]

FIRST = 8
"""The first rung is at one part in so many of the budget; each other one is twice as far."""

Reached = Callable[[Member], None]
"""Told of each member that came to a rung, with the loss that it is judged by there."""


def rungs(steps: int) -> tuple[int, ...]:
    """Return the updates after which rates are compared: 1/8, 1/4 and 1/2 of the budget.

    Args:
        steps: the budget in updates, ≥ 1.

    Example:
        >>> rungs(400), rungs(10), rungs(2), rungs(1)
        ((50, 100, 200), (2, 3, 5), (1,), ())
    """
    found = {-(-steps // part) for part in (FIRST, FIRST // 2, FIRST // 4)}
    return tuple(sorted(rung for rung in found if rung < steps))


def survivors(losses: Mapping[float, Sequence[float]], keep: int) -> tuple[float, ...]:
    r"""Return the rates that go on: the better half by the mean over seeds, and all equal to it.

    .. math:: n \to \max(k, \lceil n / 2 \rceil)

    A rate of which one seed is not finite can no longer be the best and never goes on.

    Args:
        losses: of each rate those of its seeds, n rates with at least one loss each.
        keep: k, at least so many go on, as far as they are finite, ≥ 1.

    Returns:
        The rates in the order of ``losses``.

    Example:
        >>> survivors({0.01: [3.0, 3.2], 0.1: [1.0, 1.1], 1.0: [2.0, float("inf")]}, keep=1)
        (0.01, 0.1)

    Reference:
        Jamieson and Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter
        Optimization*, 2016.
    """
    means = {lr: sum(each) / len(each) for lr, each in losses.items()}
    ranked = sorted(mean for mean in means.values() if math.isfinite(mean))
    if not ranked:
        return ()
    count = min(max(keep, -(-len(means) // 2)), len(ranked))
    return tuple(lr for lr, mean in means.items() if mean <= ranked[count - 1])


class Cohort(Protocol):
    """The members of a job in training together, all at the same update."""

    def advance(self, update: int, reached: Reached) -> None:
        """Train every member up to that update, judge it, which leaves no trace, and tell of it.

        Raises:
            InputError: the trial itself is wrong, or this backend cannot train it.
        """
        ...

    def keep(self, members: Sequence[tuple[float, int]]) -> None:
        """Let all go but these (lr, seed)."""
        ...


def halve(cohort: Cohort, job: Job, report: Report) -> list[Member]:
    """Train the members of a job from rung to rung, and at each let the worse half go.

    Args:
        cohort: the members, none of them beyond the first rung; it reports the updates it makes.
        job: what it trains, with ``keep``.
        report: told which members ended, and of the updates that they will not make.

    Returns:
        Every member, in the order of the job.
    """
    try:
        found = {(member.lr, member.seed): member for member in _halve(cohort, job, report)}
        return [found[each] for each in job.members]
    finally:
        for batches in job.batches.values():
            batches.forget()


def _halve(cohort: Cohort, job: Job, report: Report) -> list[Member]:
    steps = job.trial.steps
    done: list[Member] = []
    for rung in rungs(steps):
        here = _advance(cohort, rung, steps, report)
        going = survivors(_losses(here), job.keep or len(here))
        left = [member for member in here if member.lr not in going and not has_ended(member)]
        stopped = [dataclasses.replace(member, stopped=rung) for member in left]
        report((steps - rung) * len(stopped), stopped)
        goes_on = [member for member in here if member.lr in going and not has_ended(member)]
        done += [*filter(has_ended, here), *stopped]
        if not goes_on:
            return done
        cohort.keep([(member.lr, member.seed) for member in goes_on])
    return done + _advance(cohort, steps, steps, report)


def has_ended(member: Member) -> bool:
    """Return whether a member ended by itself: its loss was not finite, or its code raised."""
    values = member.curve.values
    return bool(member.error) or bool(len(values) and not math.isfinite(values[-1]))


def _advance(cohort: Cohort, update: int, steps: int, report: Report) -> list[Member]:
    """Train up to an update; members that ended there, or before, are reported at once."""
    here: list[Member] = []

    def reached(member: Member) -> None:
        here.append(member)
        if update == steps or has_ended(member):
            report(steps - update, [member])

    cohort.advance(update, reached)
    return here


def _losses(members: Sequence[Member]) -> dict[float, list[float]]:
    found: dict[float, list[float]] = {}
    for member in members:
        if not member.error:
            found.setdefault(member.lr, []).append(member.loss)
    return found
