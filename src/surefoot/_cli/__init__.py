"""Floor 7: the command ``surefoot``."""
