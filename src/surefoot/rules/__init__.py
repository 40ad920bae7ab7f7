"""Floor 3: the rules of a diagnosis, one file each; the file's docstring explains the rule."""

from surefoot.rules._rule import Rule as Rule
from surefoot.rules._signs import ESTIMATE_SPREAD as ESTIMATE_SPREAD
from surefoot.rules._signs import LEAST_POINTS as LEAST_POINTS
from surefoot.rules._signs import Signs as Signs
from surefoot.rules.diverged import Diverged as Diverged
from surefoot.rules.not_finite import NotFinite as NotFinite
from surefoot.rules.too_high import TooHigh as TooHigh
from surefoot.rules.too_low import TooLow as TooLow

__all__ = [
    "ALL",
    "ESTIMATE_SPREAD",
    "LEAST_POINTS",
    "Diverged",
    "NotFinite",
    "Rule",
    "Signs",
    "TooHigh",
    "TooLow",
]

ALL: tuple[Rule, ...] = (NotFinite(), Diverged(), TooHigh(), TooLow())
"""Every rule, the gravest first; of these only the first that holds is reported."""
