"""TensorBoard: what a watch records, as scalars in the same folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot._base.lazy import need
from surefoot.integrations._tags import usual

__all__ = ["Mirror"]


class Mirror:
    """Writes scalars such as ``train/loss`` and ``val/loss`` into the run folder.

    Args:
        path: the run folder.
        tags: what is known about the run; written as text.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, path: Path, tags: Mapping[str, Any]) -> None:
        need("tensorboard", "to mirror a watch there")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(path)
        rows = "".join(f"\n| {key} | {value} |" for key, value in tags.items())
        self._writer.add_text("surefoot/tags", f"| tag | value |\n|---|---|{rows}")

    def add(self, update: int, values: Mapping[str, float]) -> None:
        """Write values of an update."""
        for name, value in usual(values).items():
            self._writer.add_scalar(name, value, update)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
