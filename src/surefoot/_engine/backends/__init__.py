"""Backends: the ways to run the members of a sweep, all behind one protocol."""
