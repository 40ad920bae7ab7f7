"""Weights & Biases: what a watch records, into the run that is active or into one of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot._base.lazy import need
from surefoot.integrations._tags import usual

__all__ = ["Mirror"]

_UPDATE = "train/update"


class Mirror:
    """Logs metrics such as ``train/loss`` and ``val/loss`` against ``train/update``.

    Args:
        path: the run folder; a run of its own is called like it, and W&B keeps its files there.
        tags: what is known about the run; they are added to the config.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, path: Path, tags: Mapping[str, Any]) -> None:
        wandb = need("wandb", "to mirror a watch there")
        self._own = wandb.run is None
        self._run = wandb.init(dir=str(path), name=path.name) if self._own else wandb.run
        self._run.config.update(dict(tags), allow_val_change=True)
        self._run.define_metric(_UPDATE, hidden=True)
        for names in ("train/*", "val/*"):
            self._run.define_metric(names, step_metric=_UPDATE)

    def add(self, update: int, values: Mapping[str, float]) -> None:
        """Log values of an update."""
        self._run.log({**usual(values), _UPDATE: update})

    def close(self) -> None:
        """Finish the run, if it is the watch's own."""
        if self._own:
            self._run.finish()
