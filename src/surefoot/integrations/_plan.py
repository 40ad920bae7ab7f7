"""What every integration does first: read a schedule and give it the length of the run."""

from surefoot._base import checks
from surefoot.errors import InputError
from surefoot.schedules import Schedule
from surefoot.schedules import schedule as read_schedule

__all__ = ["resolved"]


def resolved(schedule: Schedule | str, total: int | None, **units: float | None) -> Schedule:
    """Return the schedule with all durations in updates.

    Raises:
        InputError: it is no schedule, or it needs a ``total`` or a unit that is not given.
    """
    plan = read_schedule(schedule)
    if total is not None:
        return plan.resolve(checks.count("total", total, least=1), **units)
    if plan.is_resolved:
        return plan
    raise InputError(f"total must be given, in updates, to fill the schedule {plan}.")
