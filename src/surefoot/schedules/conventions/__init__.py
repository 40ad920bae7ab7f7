"""Schedules of other libraries, read into the language: the same curve, so that a run can move.

No other library is imported: objects are read by the names of their classes and by their
attributes. ``docs/moving.md`` has a table for each library: what is exact, what becomes a table of
factors, and the listed exceptions.
"""

from surefoot.schedules.conventions.keras import from_keras as from_keras
from surefoot.schedules.conventions.optax import from_optax as from_optax
from surefoot.schedules.conventions.timm import from_timm as from_timm
from surefoot.schedules.conventions.torch import from_torch as from_torch
from surefoot.schedules.conventions.transformers import from_transformers as from_transformers

__all__ = ["from_keras", "from_optax", "from_timm", "from_torch", "from_transformers"]
