"""Floor 4: the verb ``sweep``, the U curve of a trial."""

from surefoot._sweep.grid import grid as grid
from surefoot._sweep.sweep import sweep as sweep

__all__ = ["grid", "sweep"]
