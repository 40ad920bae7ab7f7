"""What worker processes are sent: a job, where it is at home, and what they must see of it."""

import contextlib
import functools
import inspect
import os
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader

from surefoot._engine.backends._backend import Draws, Job, UnfitError, shards
from surefoot._engine.batches import Batches, asleep, checksum, usual_window
from surefoot._engine.random_state import RandomState
from surefoot._engine.said import brief, one_line
from surefoot._engine.source import Origin, load_again, modules, origin
from surefoot._engine.trial import Trial
from surefoot.errors import InputError

__all__ = [
    "STOP",
    "WAITING",
    "Parcel",
    "Way",
    "check_fingerprint",
    "open_board",
    "receive",
    "send",
    "unfit",
]

WAITING = -1
"""On the board: no worker has begun with that member."""

Way = Literal["loop", "fused", "compiled", "compiled alone"]
"""One after another; all of a seed in a stack; the same, compiled; stacks of one, compiled."""

STOP = 1
"""In the last cell of the board: nobody waits for the members any more."""

_FIRST = 2
"""Batches of a seed that must be the same in a worker."""

_SETTINGS = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, torch.set_default_device),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
)
"""What can be set in torch for a whole process and changes what a training computes."""


@dataclass(frozen=True)
class Parcel:
    """What a worker finds in the folder.

    Args:
        job: what to train.
        expected: of each seed, the checksums of what it starts with.
        window: bytes of batches to keep.
        way: how to train; see :class:`~surefoot._engine.backends.processes.Processes`.
        filters: what is done with warnings.
    """

    job: Job
    expected: Mapping[int, Mapping[str, int | str]]
    window: int
    way: Way
    filters: list[Any]


def unfit(why: str) -> UnfitError:
    """Return the error that says why workers cannot train a trial, and what can."""
    return UnfitError(
        f"the trial cannot be trained in worker processes: {why}. Use backend='loop'."
    )


def send(job: Job, folder: str, workers: int, way: Way = "loop") -> None:
    """Write into the folder what workers need, once for all of them.

    Raises:
        UnfitError: the trial cannot be pickled.
        InputError: the trial itself is wrong.
    """
    found = origin(job.trial)
    expected = {  # drawn first: what remembers that it was drawn from shows in the workers
        seed: _fingerprint(job.trial, seed, job.batches[seed]) for seed, _ in shards(job.members)
    }
    rest = replace(job, trial=None, batches=Draws([]))  # type: ignore[arg-type]
    with Path(folder, "parcel").open("wb") as file:
        pickle.dump((str(Path.cwd()), sys.path, _settings()), file)
        _pickle(job.trial if found is None else found, file)
        window = usual_window() // workers
        _pickle(Parcel(rest, expected, window, way, list(warnings.filters)), file)
    board = np.full(len(job.members) + 1, WAITING, dtype=np.int64)
    board.tofile(Path(folder, "board"))


def receive(folder: str) -> Parcel:
    """Read the parcel in a worker, which from now on is at home where the sender is.

    Raises:
        UnfitError: the trial cannot be built here.
    """
    with Path(folder, "parcel").open("rb") as file:
        home, sys.path[:], settings = pickle.load(file)  # noqa: S301  written by send
        os.chdir(home)
        for (get, put), value in zip(_SETTINGS, settings, strict=True):
            if value is not None and get() != value:
                put(value)
        try:
            trial = pickle.load(file)  # noqa: S301
            trial = load_again(trial) if isinstance(trial, Origin) else trial
            _settle(trial)
            parcel = pickle.load(file)  # noqa: S301
        except Exception as error:
            raise unfit(f"loading it there raised {one_line(error)}".rstrip(".")) from error
    return replace(parcel, job=replace(parcel.job, trial=trial, batches=Draws(trial.train)))


def _settle(trial: Trial) -> None:
    """Let ``__main__`` hold what functions of the sender's say is there: torch.compile looks."""
    for part in vars(trial).values():
        if getattr(part, "__module__", "") == "__main__":
            kind = part if isinstance(part, type) else type(part)
            names = getattr(part, "__globals__", getattr(kind.__init__, "__globals__", {}))
            vars(sys.modules["__main__"]).update(
                {name: value for name, value in names.items() if not name.startswith("__")}
            )


def open_board(folder: str) -> np.memmap[Any, Any]:
    """Return the board in the folder: updates made of each unit, or :data:`WAITING`.

    A unit's are in the cell of its first member. The last cell is for the word :data:`STOP`, on
    which workers let their members go.
    """
    return np.memmap(Path(folder, "board"), dtype=np.int64, mode="r+")


def check_fingerprint(parcel: Parcel, seed: int, batches: Batches) -> None:
    """Refuse a trial that starts here with something else than where it was sent.

    Raises:
        UnfitError: it has randomness of its own, or its file does not do the same each time.
    """
    here = _fingerprint(parcel.job.trial, seed, batches)
    for what, there in parcel.expected[seed].items():
        if isinstance(here[what], str) and here[what] != there:
            raise unfit(f"their {what} raise {here[what]}")
        if here[what] != there:
            raise unfit(
                f"workers would see other {what}, drawn from randomness of the trial's own (the "
                "global generators of torch, NumPy and Python are seeded, others are not)"
            )


def _fingerprint(trial: Trial, seed: int, batches: Batches) -> dict[str, int | str]:
    """Return checksums of the first batches, the first weights and the first validation batch."""
    count = min(_FIRST, trial.steps * trial.accumulate)
    return {
        "batches": _sum(lambda: [batches[number] for number in range(count)]),
        "weights": _sum(lambda: _weights(trial, seed)),
        "validation batches": _sum(lambda: _validation(trial, seed)),
    }


def _sum(part: Callable[[], Any]) -> int | str:
    """Return the checksum of what the user's code makes, or what it raised."""
    try:
        return checksum(part())
    except InputError:
        raise
    except Exception as error:
        return one_line(error)


def _weights(trial: Trial, seed: int) -> dict[str, torch.Tensor]:
    with RandomState.seeded(seed).active():
        return dict(trial.build(1e-3)[0].state_dict())


def _validation(trial: Trial, seed: int) -> Any:
    if trial.validate is None or callable(trial.validate):
        return None
    return Batches(trial.validate, seed)[0]


def _settings() -> list[Any]:
    values: list[Any] = []
    for get, _ in _SETTINGS:
        values.append(None)
        with contextlib.suppress(RuntimeError):  # set in a newer way, which has no one value
            values[-1] = get()
    return values


def _pickle(value: Any, file: Any) -> None:
    """Write a value, functions and classes of ``__main__`` and of run files included."""
    for module in modules():
        if sys.modules.get(module.__name__) is module:
            _cloudpickle().register_pickle_by_value(module)
    try:
        _pickler()(file).dump(value)
    except Exception as error:
        path, part = _culprit(value)
        raise unfit(
            f"{' → '.join(path)}, a {type(part).__name__}, cannot be pickled ({brief(error)}); "
            "build it inside the function that needs it"
        ) from error


def _cloudpickle() -> Any:
    import cloudpickle

    return cloudpickle


@functools.cache
def _pickler() -> type:
    class Pickler(_cloudpickle().Pickler):
        """cloudpickle's, which also takes a loader whose workers are up."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, DataLoader) and getattr(obj, "_iterator", None) is not None:
                return asleep(obj).__reduce_ex__(pickle.HIGHEST_PROTOCOL)
            return super().reducer_override(obj)

    return Pickler


def _culprit(value: Any, depth: int = 8) -> tuple[list[str], Any]:
    """Return the innermost part that cannot be pickled and the names that lead to it."""
    for name, part in _parts(value) if depth else ():
        if not _can_be_pickled(part):
            path, found = _culprit(part, depth - 1)
            return [name, *path], found
    return [], value


def _can_be_pickled(value: Any) -> bool:
    try:
        with Path(os.devnull).open("wb") as nowhere:
            _pickler()(nowhere).dump(value)
    except Exception:
        return False
    return True


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    """Return what a value holds, with a name for each."""
    if isinstance(value, types.MethodType):
        return [("its object", value.__self__)]
    if isinstance(value, types.FunctionType):
        used = inspect.getclosurevars(value)
        defaults = {"a default": value.__defaults__, **(value.__kwdefaults__ or {})}
        return {**used.globals, **used.nonlocals, **defaults}.items()
    if isinstance(value, functools.partial):
        return [("its function", value.func), ("its arguments", (value.args, value.keywords))]
    if isinstance(value, Mapping):
        return [(repr(key), part) for key, part in value.items()]
    if isinstance(value, (list, tuple, set)):
        return [(f"item {number}", part) for number, part in enumerate(value)]
    return list(getattr(value, "__dict__", {}).items())
