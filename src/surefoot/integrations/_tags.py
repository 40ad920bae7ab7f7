"""What the curves of a run are called where people usually look."""

from collections.abc import Mapping

__all__ = ["usual"]

_VALIDATION = {"validation_loss": "val/loss"}


def usual(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values under their usual names: ``train/loss``, ``val/loss``, ``train/lr``, …."""
    return {
        _VALIDATION.get(name, name if name.startswith("val/") else f"train/{name}"): value
        for name, value in values.items()
    }
