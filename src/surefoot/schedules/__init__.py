"""Floor 1: schedules, pure functions from the update number to a factor, and their algebra.

A schedule is written as phases, one after another::

    warmup(500) >> hold() >> linear("20%", floor=0.1)

and returns factors: the lr of an update is the group's base lr × ``schedule(t)``, where update
``t`` is one of 0 … total − 1.

===============  ==============================================================================
warm-ups         warmup, exponential_warmup, radam_warmup
decays           linear, cosine, polynomial, one_minus_sqrt, tanh, exponential, natural_exponential,
                 inverse_time, inverse_sqrt, power
the rest         hold, constant, step, multi_step, piecewise, cyclic, table, function
recipes          wsd, linear_to_zero, one_cycle, one_cycle_momentum, sgdr, noam, slanted_triangular
algebra          ``a >> b``, ``a * b``, ``a.repeat()``, ``a.clip()``, ``a.staircase()``,
                 ``a.branch()``, ``a.stretch()``; see :class:`Schedule`
text and JSON    schedule, from_json, from_dict
controllers      plateau, gradient_dependent: factors that follow what a run shows
other libraries  from_torch, from_transformers, from_optax, from_keras, from_timm
===============  ==============================================================================

**Durations.** An int is updates; a float in (0, 1) is a share of the run, and so is ``"10%"``;
``"3 epochs"``, ``"1/3 epochs"``, ``"2e6 samples"`` and ``"2e9 tokens"`` are what they say. A phase
without a duration is open: it fills what remains, and a sequence may have one. ``resolve(total)``
turns all durations into updates; until then a schedule cannot be called.

**Edges.** A phase of n updates is the half-open interval [s, s + n). The last update of a warm-up
is at the peak; the first update of a decay is at the peak, its last one step short of the floor.
Past its end a schedule stays at its end value. No update has the factor 0 unless you wrote a zero.

**Levels.** Every phase starts at its own level, relative to the peak; see ``a >> b``.

Example:
    >>> plan = (warmup(10) >> cosine()).resolve(100)
    >>> plan([0, 9, 10, 99, 100, 101]).round(6).tolist()
    [0.1, 1.0, 1.0, 0.000305, 0.0, 0.0]
    >>> print(plan.describe())
    Warm up from 0 to the peak over 10 updates, then decay along a cosine to 0 over 90 updates.
"""

from typing import TYPE_CHECKING, Any

from surefoot.schedules._controller import Controller as Controller
from surefoot.schedules._controller import controller_from_dict as controller_from_dict
from surefoot.schedules._json import from_dict as from_dict
from surefoot.schedules._json import from_json as from_json
from surefoot.schedules._recipes import linear_to_zero as linear_to_zero
from surefoot.schedules._recipes import noam as noam
from surefoot.schedules._recipes import one_cycle as one_cycle
from surefoot.schedules._recipes import one_cycle_momentum as one_cycle_momentum
from surefoot.schedules._recipes import sgdr as sgdr
from surefoot.schedules._recipes import slanted_triangular as slanted_triangular
from surefoot.schedules._recipes import wsd as wsd
from surefoot.schedules._schedule import Schedule as Schedule
from surefoot.schedules._text import schedule as schedule
from surefoot.schedules.adam_warmup import exponential_warmup as exponential_warmup
from surefoot.schedules.adam_warmup import radam_warmup as radam_warmup
from surefoot.schedules.cosine import cosine as cosine
from surefoot.schedules.cyclic import cyclic as cyclic
from surefoot.schedules.exponential import exponential as exponential
from surefoot.schedules.function import function as function
from surefoot.schedules.gradient_dependent import gradient_dependent as gradient_dependent
from surefoot.schedules.hold import constant as constant
from surefoot.schedules.hold import hold as hold
from surefoot.schedules.inverse_time import inverse_time as inverse_time
from surefoot.schedules.multi_step import multi_step as multi_step
from surefoot.schedules.natural_exponential import natural_exponential as natural_exponential
from surefoot.schedules.one_minus_sqrt import one_minus_sqrt as one_minus_sqrt
from surefoot.schedules.piecewise import piecewise as piecewise
from surefoot.schedules.plateau import plateau as plateau
from surefoot.schedules.polynomial import linear as linear
from surefoot.schedules.polynomial import polynomial as polynomial
from surefoot.schedules.power import inverse_sqrt as inverse_sqrt
from surefoot.schedules.power import power as power
from surefoot.schedules.step import step as step
from surefoot.schedules.table import table as table
from surefoot.schedules.tanh import tanh as tanh
from surefoot.schedules.warmup import warmup as warmup

if TYPE_CHECKING:
    from surefoot.schedules.conventions import from_keras as from_keras
    from surefoot.schedules.conventions import from_optax as from_optax
    from surefoot.schedules.conventions import from_timm as from_timm
    from surefoot.schedules.conventions import from_torch as from_torch
    from surefoot.schedules.conventions import from_transformers as from_transformers

__all__ = [
    "Controller",
    "Schedule",
    "constant",
    "controller_from_dict",
    "cosine",
    "cyclic",
    "exponential",
    "exponential_warmup",
    "from_dict",
    "from_json",
    "from_keras",
    "from_optax",
    "from_timm",
    "from_torch",
    "from_transformers",
    "function",
    "gradient_dependent",
    "hold",
    "inverse_sqrt",
    "inverse_time",
    "linear",
    "linear_to_zero",
    "multi_step",
    "natural_exponential",
    "noam",
    "one_cycle",
    "one_cycle_momentum",
    "one_minus_sqrt",
    "piecewise",
    "plateau",
    "polynomial",
    "power",
    "radam_warmup",
    "schedule",
    "sgdr",
    "slanted_triangular",
    "step",
    "table",
    "tanh",
    "warmup",
    "wsd",
]


def __getattr__(name: str) -> Any:
    if name.startswith("from_") and name in __all__:  # loaded when first needed
        from surefoot.schedules import conventions

        return getattr(conventions, name)
    raise AttributeError(f"module 'surefoot.schedules' has no attribute {name!r}")
