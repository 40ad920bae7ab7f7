"""Floor 4: the verb ``watch``, a record of the user's own training."""

from surefoot._watch.watch import Watch as Watch
from surefoot._watch.watch import watch as watch

__all__ = ["Watch", "watch"]
