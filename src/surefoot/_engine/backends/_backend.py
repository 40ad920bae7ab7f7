"""What every backend is told and what it returns: members in, curves out."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from torch import nn

from surefoot._engine.batches import Batches, checksum
from surefoot._engine.trial import Trial
from surefoot.errors import InputError
from surefoot.records import Member

__all__ = [
    "DIED",
    "Backend",
    "Draws",
    "Job",
    "Randomness",
    "Report",
    "UnfitError",
    "check_start",
    "cut",
    "noise_seed",
    "shards",
]


class UnfitError(InputError):
    """This backend cannot run this trial; its message says why in one sentence."""


DIED = "the worker process died twice"
"""How the error of a member begins that kills the process it is trained in."""

Randomness = Literal["same", "different"]
Report = Callable[[int, Sequence[Member]], None]
"""Told how many updates were made since the last call, and which members finished."""


@dataclass(frozen=True)
class Job:
    """What to train.

    Args:
        trial: how to build and train one model.
        members: (lr, seed) of each.
        randomness: ``"same"``: all members of a seed draw the same random numbers (dropout masks,
            say), so that they differ by the rate alone; ``"different"``: each draws its own.
        exact: see :func:`surefoot.sweep`.
        keep: of halving: at least so many rates go on at each rung; None trains all to the end.
        together: at most so many members in one stack, for they need memory; None is any number.
        batches: those of each seed, drawn once and shared by its members in this process.
        starts: checksums of the weights that the members of each seed begin with.
    """

    trial: Trial
    members: Sequence[tuple[float, int]]
    randomness: Randomness = "same"
    exact: bool | None = None
    keep: int | None = None
    together: int | None = None
    batches: "Draws" = field(default=None, compare=False, repr=False)  # type: ignore[assignment]
    starts: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.batches is None:  # type: ignore[comparison-overlap]
            object.__setattr__(self, "batches", Draws(self.trial.train))


def check_start(job: Job, seed: int, model: nn.Module) -> None:
    """Refuse a model that begins with other weights than the members of its seed before it.

    Raises:
        InputError: it draws them from randomness of its own.
    """
    start = checksum(dict(model.state_dict()))
    if job.starts.setdefault(seed, start) != start:
        raise InputError(
            f"model gives other weights each time under the same seed ({seed}): it draws them from "
            "randomness of its own, so members would differ by more than the rate. Let it draw "
            "from torch's global generator, which is seeded here, or seed its own inside."
        )


class Draws(dict[int, Batches]):
    """The batches of each seed of a source, made when a seed is first asked for."""

    def __init__(self, source: Iterable[Any]) -> None:
        super().__init__()
        self._source = source

    def __missing__(self, seed: int) -> Batches:
        self[seed] = Batches(self._source, seed)
        return self[seed]


class Backend(Protocol):
    """A way to train the members of a job."""

    name: str

    def run(self, job: Job, report: Report) -> list[Member]:
        """Train every member and return them in the order of the job.

        A member whose training raises an exception of the user's code is returned with that as
        its ``error``; the others go on.

        Raises:
            InputError: the trial itself is wrong.
        """
        ...


def shards(members: Sequence[tuple[float, int]]) -> list[tuple[int, tuple[float, ...]]]:
    """Return the members by seed: (seed, its rates), in the order in which they come.

    Example:
        >>> shards([(0.1, 0), (1.0, 0), (0.1, 1)])
        [(0, (0.1, 1.0)), (1, (0.1,))]
    """
    found: dict[int, list[float]] = {}
    for lr, seed in members:
        found.setdefault(seed, []).append(lr)
    return [(seed, tuple(lrs)) for seed, lrs in found.items()]


def cut(lrs: Sequence[float], most: int | None) -> list[tuple[float, ...]]:
    """Return rates in as few parts as there can be of at most so many, all nearly as long.

    Example:
        >>> cut([1, 2, 3, 4, 5], 3), cut([1, 2, 3], None)
        ([(1, 2, 3), (4, 5)], [(1, 2, 3)])
    """
    parts = -(-len(lrs) // (most or len(lrs)))
    ends = [-(-len(lrs) * part // parts) for part in range(parts + 1)]
    return [tuple(lrs[start:end]) for start, end in itertools.pairwise(ends)]


def noise_seed(job: Job, lr: float, seed: int) -> int | None:
    """Return the seed of what a member draws in training; None goes on where its building ended."""
    if job.randomness == "same":
        return None
    entropy = [seed, *np.float64(lr).view(np.uint64).tobytes()]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
