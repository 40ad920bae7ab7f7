"""What the colours mean. The one place where a colour is written."""

from dataclasses import dataclass

from surefoot.errors import InputError

__all__ = ["CYCLE", "GRID", "HEAT", "TEXT", "Style", "faded", "style"]

# Every colour has a luminance of 0.13 to 0.3, so that its contrast is at least 3 : 1 both on white
# and on a dark page; neighbours differ in hue and in luminance for all common kinds of sight.
TEXT = "#737881"
GRID = "rgba(128, 132, 140, 0.22)"


HEAT = ("#fdf6c9", "#c9e4b5", "#7fcbb5", "#41a8bd", "#2b77ad", "#27408b", "#1c1f5c")
"""Colours of a heat map from the smallest value to the largest: ever darker, for any sight."""


@dataclass(frozen=True)
class Style:
    """How a role is drawn: colour ``#rrggbb`` and the dash of its lines."""

    colour: str
    dash: str = "solid"


_BLUE, _ORANGE, _GREEN, _CRIMSON = "#2b7bd1", "#cf7a00", "#0e9670", "#cf3465"
_VIOLET, _CYAN, _BROWN, _GREY = "#8a63d2", "#1593a8", "#a0683c", "#868b95"

_STYLES = {
    "main": Style(_BLUE),
    "good": Style(_GREEN),
    "low": Style(_BLUE),
    "high": Style(_ORANGE),
    "very_high": Style(_CRIMSON),
    "warning": Style(_CRIMSON),
    "muted": Style(_GREY),
    "second": Style(_VIOLET),
    "ink": Style("#16202e"),  # on a heat map, whose light cells it crosses on any page
}
_COLOURS = (_BLUE, _ORANGE, _GREEN, _CRIMSON, _VIOLET, _CYAN, _BROWN, _GREY)
_DASHES = ("solid", "dash")
_STYLES |= {
    f"run {1 + index + len(_COLOURS) * turn}": Style(colour, dash)
    for turn, dash in enumerate(_DASHES)
    for index, colour in enumerate(_COLOURS)
}

CYCLE = tuple(role for role in _STYLES if role.startswith("run "))
"""Roles for runs of which none is better known than another, in the order of use."""


def style(role: str) -> Style:
    """Return how the role is drawn.

    Raises:
        InputError: the palette has no such role.
    """
    if role not in _STYLES:
        known = ", ".join(repr(name) for name in _STYLES)
        raise InputError(f"role must be one of {known}, not {role!r:.60}.")
    return _STYLES[role]


def faded(role: str, opacity: float) -> str:
    """Return the colour of the role as CSS ``rgba(…)`` text."""
    colour = style(role).colour
    red, green, blue = (int(colour[index : index + 2], 16) for index in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"
