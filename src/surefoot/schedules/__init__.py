"""Floor 1: schedules, pure functions from the update number to a factor, and their algebra."""

from surefoot.schedules._json import from_dict as from_dict
from surefoot.schedules._json import from_json as from_json
from surefoot.schedules._schedule import Schedule as Schedule
from surefoot.schedules._text import schedule as schedule
from surefoot.schedules.cosine import cosine as cosine
from surefoot.schedules.cyclic import cyclic as cyclic
from surefoot.schedules.exponential import exponential as exponential
from surefoot.schedules.hold import constant as constant
from surefoot.schedules.hold import hold as hold
from surefoot.schedules.inverse_time import inverse_time as inverse_time
from surefoot.schedules.polynomial import linear as linear
from surefoot.schedules.polynomial import polynomial as polynomial
from surefoot.schedules.step import step as step
from surefoot.schedules.warmup import warmup as warmup

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "cyclic",
    "exponential",
    "from_dict",
    "from_json",
    "hold",
    "inverse_time",
    "linear",
    "polynomial",
    "schedule",
    "step",
    "warmup",
]
