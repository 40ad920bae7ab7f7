"""The run folder as a place to record to, and the mirrors that are chosen by name."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot._watch.recorder import Place
from surefoot.errors import InputError
from surefoot.records import RunWriter

__all__ = ["Folder", "check_mirrors", "mirrors"]

MIRRORS = ("tensorboard", "wandb", "mlflow")


class Folder:
    """Records into a run folder."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer

    def add(self, update: int, values: Mapping[str, float]) -> None:
        """Record values of an update."""
        self._writer.add_row(update, values)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def check_mirrors(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names if there are such mirrors.

    Raises:
        InputError: there is none of that name.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InputError(f"mirror must be a list of names such as ['tensorboard'], not {names!r}.")
    for name in names:
        if name not in MIRRORS:
            raise InputError(
                f"mirror must hold names among {', '.join(MIRRORS)}, not {name!r:.60}."
            )
    return tuple(dict.fromkeys(names))


def mirrors(names: Sequence[str], path: Path, tags: Mapping[str, Any]) -> list[Place]:
    """Return the mirrors of these names for the run in ``path``.

    Raises:
        MissingExtraError: what a mirror needs is not installed.
    """
    found: list[Place] = []
    try:
        for name in names:
            module = importlib.import_module(f"surefoot.integrations.{name}")
            found.append(module.Mirror(path, tags))
    except BaseException:
        for place in found:
            place.close()
        raise
    return found
