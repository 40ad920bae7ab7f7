"""Readers of logs, one file per kind: each turns a path into curves, tags and notes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from surefoot.records.curve import Curve

__all__ = ["Parts"]


class Parts(NamedTuple):
    """What a reader found: curves under their recorded names, facts, and what was left out."""

    curves: Mapping[str, Curve]
    tags: dict[str, Any]
    notes: list[str]
