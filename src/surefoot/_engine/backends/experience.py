"""What compiling a kind of trial took on this machine, kept for the next sweep."""

import hashlib
import json
import math
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.stack import Stack
from surefoot._engine.batches import map_leaves

__all__ = ["Experience", "Kind"]

COMPILING = 4.0, 1.0
"""Seconds that compiling takes, for a trial of which nothing is known, and for each parameter."""

MOST = 1000
"""Kinds of trials that are remembered."""


class Kind(NamedTuple):
    """What tells stacks apart whose speed says nothing of each other, but for how many members."""

    said: str
    parameters: int
    """How many tensors are trained."""

    @classmethod
    def of(cls, job: Job, stack: Stack, optimizer: torch.optim.Optimizer, batch: Any) -> "Kind":
        """Return the kind of a stack.

        Args:
            job: what is trained.
            stack: the members' tensors.
            optimizer: that of one of them.
            batch: the first of its training.
        """
        trial = job.trial
        loss = trial.objective or trial.loss
        options = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}
            for group in optimizer.param_groups
        ]
        said = (
            [(name, tuple(each.shape[1:]), each.dtype) for name, each in stack.parameters.items()],
            (stack.kinds, getattr(loss, "__qualname__", ""), _shapes(batch)),
            (type(optimizer).__qualname__, options),
            (job.exact, job.randomness, trial.accumulate, trial.clip_norm, str(trial.autocast)),
            (str(trial.device), torch.__version__, platform.processor()),
        )
        return cls(repr(said), len(stack.parameters))


class _Place:
    """Processes that compile: this one, or its workers."""

    def __init__(self) -> None:
        self.compiled: set[str] = set()
        """Kinds that they compiled."""
        self.missed: dict[str, float] = {}
        """Seconds that sweeps of a kind lost so far because it was not compiled."""

    def compile(self, key: str) -> None:
        self.compiled.add(key)
        self.missed.pop(key, None)


_here, _there = _Place(), _Place()


class Experience:
    """How long a kind of trial took to compile, and how quick it then was.

    It is kept in ``surefoot/compiled.json`` in the user's cache directory, and may be
    deleted at any time.

    Args:
        key: what tells kinds of trials apart.
        parameters: how many tensors are trained.
        workers: whether worker processes would compile it, not this one.
    """

    def __init__(self, key: str, parameters: int = 0, *, workers: bool = False) -> None:
        self.key = key
        """What tells kinds of trials apart, for :meth:`compiled_there`."""
        self._place = _there if workers else _here
        known = _read().get(key, {})
        usual = COMPILING[0] + COMPILING[1] * parameters
        self.compiling: float = known.get("compiling", usual)
        """Seconds until the first compiled update was made."""
        self.seconds: float | None = known.get("seconds", 0.0)
        """Of a member's update when compiled; 0 if it is not known, None if it cannot be."""

    @classmethod
    def of(cls, kind: Kind, count: int, *, workers: bool = False) -> "Experience":
        """Return what is known of stacks of a kind.

        Args:
            kind: the kind.
            count: how many members they have.
            workers: whether they are trained in worker processes, which have one thread.
        """
        said = (kind.said, count, 1 if workers else torch.get_num_threads())
        key = hashlib.sha256(repr(said).encode()).hexdigest()[:16]
        return cls(key, kind.parameters, workers=workers)

    @property
    def waiting(self) -> float:
        """Seconds that compiling would take now, less those that were lost without: none if done.

        So it is compiled at the latest when the sweeps of a kind have lost what it takes.
        """
        if self.key in self._place.compiled:
            return 0.0
        return max(0.0, self.compiling - self._place.missed.get(self.key, 0.0))

    def missed(self, seconds: float) -> None:
        """Note what a sweep lost because it was not compiled."""
        lost = self._place.missed
        lost[self.key] = lost.get(self.key, 0.0) + max(0.0, seconds)

    def compiled(self, seconds: float) -> None:
        """Note what compiling took in this process; the next one finds most of it on torch's disk.

        With that, 1 to 5 s of 7 to 38 were left for the models that were tried.
        """
        self.compiling = min(seconds, max(2.0, seconds / 4))
        _here.compile(self.key)

    def timed(self, seconds: float | None) -> None:
        """Note what a member's update took; the least that was ever seen is believed.

        A machine that is busy makes it longer, nothing makes it shorter.
        """
        self.seconds = min(self.seconds or math.inf, seconds) if seconds else seconds

    @staticmethod
    def compiled_there(key: str) -> None:
        """Note that the workers compiled it."""
        _there.compile(key)

    @staticmethod
    def end_of_workers() -> None:
        """Note that the workers are gone, and what they compiled with them."""
        _there.compiled.clear()

    def remember(self, compiling: float, seconds: float | None) -> None:
        """Note and keep how long a stack took to compile here, and how quick it then was.

        Args:
            compiling: seconds; 0 if it was compiled already.
            seconds: of a member's update, None if it cannot be compiled.
        """
        if compiling:
            self.compiled(compiling)
        self.timed(seconds)
        self.keep()

    def keep(self) -> None:
        """Write it down; where nothing can be written, do without."""
        known = _read()
        known.pop(self.key, None)
        known[self.key] = {"compiling": self.compiling, "seconds": self.seconds}
        latest = dict(list(known.items())[-MOST:])
        path = _path()
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(latest), encoding="utf-8")
            new.replace(path)


def _shapes(batch: Any) -> list[Any]:
    found: list[Any] = []
    map_leaves(lambda leaf: found.append(getattr(leaf, "shape", type(leaf))), batch)
    return found


def _read() -> dict[str, Any]:
    try:
        found = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "surefoot", "compiled.json")
