"""The names that schedules have in text and in JSON. A new schedule is entered here."""

from surefoot.schedules._algebra import Product, Sequence
from surefoot.schedules._phase import Phase
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.cosine import Cosine
from surefoot.schedules.cyclic import Cyclic
from surefoot.schedules.exponential import Exponential
from surefoot.schedules.hold import Constant, Hold
from surefoot.schedules.inverse_time import InverseTime
from surefoot.schedules.polynomial import Linear, Polynomial
from surefoot.schedules.step import Step
from surefoot.schedules.warmup import Warmup

__all__ = ["NODES", "PHASES"]

PHASES: dict[str, type[Phase]] = {
    phase.name: phase
    for phase in (
        Warmup,
        Hold,
        Constant,
        Linear,
        Polynomial,
        Cosine,
        Step,
        Exponential,
        InverseTime,
        Cyclic,
    )
}
"""What can be called in text; sequences and products are operators there."""

NODES: dict[str, type[Schedule]] = {**PHASES, "sequence": Sequence, "product": Product}
"""What can be a ``type`` in JSON."""
