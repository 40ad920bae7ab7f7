"""Floor 2, the waist: every noun that verbs return and surfaces show. No torch here."""

from surefoot.records.curve import Curve as Curve

__all__ = ["Curve"]
