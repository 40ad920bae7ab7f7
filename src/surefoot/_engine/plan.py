"""What a scheduler was asked for: the schedules of each field of an optimizer's groups."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._engine import fields
from surefoot._engine.fields import Field
from surefoot.errors import InputError
from surefoot.schedules import Schedule, _scalar
from surefoot.schedules import schedule as read_schedule

__all__ = ["Plan", "beta2", "check", "make", "total_of"]

_BELOW_ONE = ("betas", "momentum")
_EACH = 1_000_000  # updates of a run up to which every one is looked at for its peak
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Plan:
    """One field and its schedules: one for all groups, or one for each.

    Groups beyond the last schedule, which were added later, follow the last.
    """

    field: Field
    schedules: tuple[Schedule, ...]

    def factors(self, update: int, count: int) -> list[float]:
        """Return the factor of each of ``count`` groups at one update."""
        distinct, which = self._distinct
        values = [each.evaluate(update, _scalar) for each in distinct]
        if len(values) == 1:
            return values * count
        last = len(which) - 1
        return [values[which[min(group, last)]] for group in range(count)]

    @cached_property
    def _distinct(self) -> tuple[list[Schedule], list[int]]:
        """Each schedule once, and the place there of each group's."""
        places: dict[Schedule, int] = {}
        which = [places.setdefault(each, len(places)) for each in self.schedules]
        return list(places), which

    @cached_property
    def peaks(self) -> list[float]:
        """The largest factor of each schedule: of all updates, or of a million in a longer run."""
        return [_peak(each) for each in self.schedules]

    @property
    def is_one(self) -> bool:
        """Whether all groups follow one schedule."""
        return len(self.schedules) == 1

    @property
    def public(self) -> Schedule | list[Schedule]:
        """The schedules as the user wrote them: one, or a list."""
        return self.schedules[0] if self.is_one else list(self.schedules)

    def to_json(self) -> Any:
        """Return the schedules in JSON types: one document, or a list."""
        documents = [each.to_dict() for each in self.schedules]
        return documents[0] if self.is_one else documents


def make(
    optimizer: Optimizer,
    schedules: Any,
    total: int | None,
    units: Mapping[str, Any],
    *,
    based: bool,
) -> tuple[Plan, ...]:
    """Return the resolved plan of each field; ``based`` says whether the lr gets another base.

    Raises:
        InputError: ``schedules`` is not what is allowed, or does not fit the run.
    """
    if not isinstance(schedules, Mapping):
        schedules = {"lr": schedules}
    if not schedules:
        raise InputError("schedules must name at least one field, such as {'lr': 'cosine()'}.")
    found = {name: fields.find(optimizer, name, zero=based and name == "lr") for name in schedules}
    read = {name: _listed(optimizer, name, given) for name, given in schedules.items()}
    if total is None:
        total = _own_total([each for listed in read.values() for each in listed])
    total = checks.count("total", total, least=1)
    units = {**units, "beta2": beta2(optimizer)}
    plans = tuple(
        Plan(found[name], tuple(each.resolve(total, **units) for each in listed))
        for name, listed in read.items()
    )
    for each in plans:
        check(optimizer, each)
    return plans


def check(optimizer: Optimizer, plan: Plan, bases: Sequence[float] | None = None) -> None:
    """Refuse groups that a plan cannot be applied to; ``bases`` are their own values to be.

    A momentum must not be taken to 1 or more by a factor above 1, for then it never forgets.

    Raises:
        InputError: a group lacks the field, or the momentum would get too large.
    """
    fields.check(optimizer, plan.field)
    if plan.field.entry not in _BELOW_ONE:
        return
    owns = fields.own_values(optimizer.param_groups, plan.field) if bases is None else bases
    for index, own in enumerate(owns):
        peak = plan.peaks[min(index, len(plan.peaks) - 1)]
        if own < 1 <= own * peak:
            raise InputError(
                f"schedules takes {plan.field.name} of group {index} from {own:g} to "
                f"{own * peak:g}, and it must stay below 1: keep the factor below {1 / own:g}."
            )


def _peak(schedule: Schedule) -> float:
    """Return the largest factor of a resolved schedule, up to its end and after it."""
    total = schedule.total
    if total > _EACH:
        return float(schedule(np.linspace(0, total, _EACH).round()).max())
    starts = range(0, total + 1, _CHUNK)
    return max(
        float(schedule(np.arange(start, min(start + _CHUNK, total + 1))).max()) for start in starts
    )


def total_of(plans: Iterable[Plan]) -> int:
    """Return the length of the run that the plans are for, in updates."""
    return max(each.total for plan in plans for each in plan.schedules)


def _listed(optimizer: Optimizer, name: str, given: Any) -> list[Schedule]:
    """Return the schedules of one field: one, or one for each group."""
    if isinstance(given, (str, Schedule)) or not isinstance(given, Iterable):
        return [read_schedule(given)]
    listed = [read_schedule(each) for each in given]
    count = len(optimizer.param_groups)
    if len(listed) != count:
        raise InputError(
            f"schedules has a list of {len(listed)} for {name!r}, and the optimizer has {count} "
            "parameter groups: give one schedule for each group, in their order, or one for all."
        )
    return listed[:1] if all(each == listed[0] for each in listed) else listed


def _own_total(schedules: list[Schedule]) -> int:
    """Return the total of schedules of which at least one needs no run to have a length."""
    totals = [each.total for each in schedules if each.is_resolved]
    if not totals:
        raise InputError(f"total must be given, in updates, to fill the schedule {schedules[0]}.")
    return max(totals)


def beta2(optimizer: Optimizer) -> float | None:
    """Return the decay of the second moment, which an automatic warm-up depends on."""
    group, second = optimizer.param_groups[0], Field("betas.1", "betas", 1)
    return fields.value(group, second) if second.name in fields.available(group) else None
