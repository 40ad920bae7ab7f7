"""The names that schedules have in text and in JSON. A new schedule is entered here."""

from collections.abc import Callable

from surefoot.schedules._algebra import Product, Sequence
from surefoot.schedules._phase import Phase
from surefoot.schedules._recipes import RECIPES
from surefoot.schedules._schedule import Schedule
from surefoot.schedules._transforms import Branch, Clip, Repeat, Staircase
from surefoot.schedules.adam_warmup import ExponentialWarmup, RAdamWarmup
from surefoot.schedules.cosine import Cosine
from surefoot.schedules.cyclic import Cyclic
from surefoot.schedules.exponential import Exponential
from surefoot.schedules.function import Function
from surefoot.schedules.hold import Constant, Hold
from surefoot.schedules.inverse_time import InverseTime
from surefoot.schedules.multi_step import MultiStep
from surefoot.schedules.natural_exponential import NaturalExponential
from surefoot.schedules.one_minus_sqrt import OneMinusSqrt
from surefoot.schedules.piecewise import Piecewise
from surefoot.schedules.polynomial import Linear, Polynomial
from surefoot.schedules.power import InverseSqrt, Power
from surefoot.schedules.step import Step
from surefoot.schedules.table import Table
from surefoot.schedules.tanh import Tanh
from surefoot.schedules.warmup import Warmup

__all__ = ["CALLABLE", "METHODS", "NODES", "PHASES"]

PHASES: dict[str, type[Phase]] = {
    phase.name: phase
    for phase in (
        Warmup,
        ExponentialWarmup,
        RAdamWarmup,
        Hold,
        Constant,
        Linear,
        Polynomial,
        Cosine,
        OneMinusSqrt,
        Tanh,
        Step,
        MultiStep,
        Piecewise,
        Exponential,
        NaturalExponential,
        InverseTime,
        InverseSqrt,
        Power,
        Cyclic,
        Table,
        Function,
    )
}
"""The schedules of one shape over one duration."""

CALLABLE: dict[str, Callable[..., Schedule]] = {**PHASES, **RECIPES}
"""What can be called in text; sequences and products are operators there, transforms methods."""

METHODS = ("stretch", "repeat", "clip", "staircase", "branch")
"""The methods that can be called in text."""

NODES: dict[str, type[Schedule]] = {
    node.name: node
    for node in (*PHASES.values(), Sequence, Product, Repeat, Clip, Staircase, Branch)
}
"""What can be a ``type`` in JSON."""
