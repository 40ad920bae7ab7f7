"""Boosted regression trees, read from JSON and evaluated: a sum of small decision trees.

``benchmarks/diagnose/fit.py`` fits them; nothing is fitted here, and nothing is unpickled.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Trees"]

Node = tuple[int, float, int, int, bool, float]
"""Feature (−1: a leaf), threshold, where to go up to it, where beyond, whether a missing value goes
where small ones go, value of a leaf."""


@dataclass(frozen=True)
class Trees:
    """A sum of trees.

    Args:
        base: what the leaves add to.
        trees: the nodes of each, the root first.

    Example:
        >>> stump = Trees(1.0, (((0, 0.5, 1, 2, True, 0.0), (-1, 0, 0, 0, False, -1.0),
        ...                      (-1, 0, 0, 0, False, 2.0)),))
        >>> stump([0.5]), stump([0.6]), stump([math.nan])
        (0.0, 3.0, 0.0)
    """

    base: float
    trees: tuple[tuple[Node, ...], ...]

    def __call__(self, features: Sequence[float]) -> float:
        """Return the sum of the leaves that the features lead to."""
        return self.base + sum(_leaf(tree, features) for tree in self.trees)


def _leaf(tree: tuple[Node, ...], features: Sequence[float]) -> float:
    node = tree[0]
    while node[0] >= 0:
        feature, threshold, left, right, missing_left, _ = node
        value = features[feature]
        goes_left = missing_left if math.isnan(value) else value <= threshold
        node = tree[left if goes_left else right]
    return node[5]
