"""Floor 4: the verb ``find``, a good learning rate by cheap trial."""

from surefoot._find.find import find as find

__all__ = ["find"]
