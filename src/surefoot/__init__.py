"""Surefoot: the learning rate, found, scheduled, watched and diagnosed."""

__version__ = "0.1.0"
