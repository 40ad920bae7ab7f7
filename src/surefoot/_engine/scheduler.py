"""The one small stateful object that applies a schedule to a torch optimizer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from surefoot._base import checks
from surefoot._engine import groups
from surefoot.errors import InputError, StateError
from surefoot.schedules import Schedule
from surefoot.schedules import schedule as read_schedule

__all__ = ["Scheduler"]

_VERSION = 1


class Scheduler(LRScheduler):
    r"""Give each parameter group its base lr times the schedule's factor.

    .. math:: \mathrm{lr}_g(t) = \mathrm{base}_g \cdot \mathrm{schedule}(t)

    where t counts the calls of :meth:`step`, from 0. The product is written anew each time, so a
    rate set by hand lasts until the next ``step``, and a rate can never drift. The constructor
    writes the rate of update 0 and does not patch the optimizer. A tensor lr is filled in place; a
    group that is added later is adopted at its own lr.

    Args:
        optimizer: any ``torch.optim.Optimizer``.
        schedule: a schedule, or its text form.
        total: length of the run in updates, ≥ 1; not needed for a schedule that is resolved.
        updates_per_epoch, samples_per_update, tokens_per_update: needed where the schedule counts
            in epochs, samples or tokens.
        base: base lr of the first group, to which the others keep their ratio, or one for each
            group; by default the group's ``initial_lr`` or, if it has none, its lr.

    Raises:
        InputError: an argument is not what is allowed, or the schedule does not fit ``total``.

    Example:
        >>> import torch
        >>> parameter = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([parameter], lr=0.2)
        >>> scheduler = Scheduler(optimizer, "warmup(2) >> linear()", total=4)
        >>> for _ in range(4):
        ...     optimizer.step()
        ...     scheduler.step()
        ...     print(scheduler.last_lr, scheduler.next_lr)
        [0.1] [0.2]
        [0.2] [0.2]
        [0.2] [0.1]
        [0.1] [0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | str,
        *,
        total: int | None = None,
        updates_per_epoch: int | None = None,
        samples_per_update: int | None = None,
        tokens_per_update: int | None = None,
        base: float | Sequence[float] | None = None,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise InputError(
                f"optimizer must be a torch.optim.Optimizer, not a {type(optimizer).__name__}."
            )
        self.optimizer = optimizer
        self.schedule = _resolved(
            read_schedule(schedule),
            total,
            updates_per_epoch=updates_per_epoch,
            samples_per_update=samples_per_update,
            tokens_per_update=tokens_per_update,
        )
        groups.read(optimizer)
        if base is not None:
            groups.set_base(optimizer, _checked_base(optimizer, base))
        self.last_epoch = 0
        self._step_count = 1
        self._last_lr = list(groups.read(optimizer))
        self.last_lr = list(self._last_lr)
        self._write()

    @property
    def updates(self) -> int:
        """How many updates were made, which is the number of the next one."""
        return self.last_epoch

    @property
    def next_lr(self) -> list[float]:
        """The learning rates that the next update uses, one for each group."""
        return list(groups.read(self.optimizer))

    def lr_at(self, update: int) -> list[float]:
        """Return the learning rates that update number ``update`` uses, one for each group."""
        factor = float(self.schedule(checks.count("update", update)))
        return [base * factor for base in groups.adopt_base(self.optimizer)]

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next update: write its learning rates. Call after ``optimizer.step()``.

        Args:
            epoch: not allowed; torch's argument of that name is deprecated, use :meth:`seek`.
        """
        if epoch is not None:
            raise InputError("step takes no epoch; to jump to an update call seek(update).")
        self.last_lr = list(groups.read(self.optimizer))
        self.last_epoch += 1
        self._write()

    def seek(self, update: int) -> None:
        """Jump to ``update``: the next update made has that number."""
        self.last_epoch = checks.count("update", update)
        self._write()

    def get_last_lr(self) -> list[float | Tensor]:
        """Return what torch calls so: the learning rates now in the optimizer."""
        return list(self._last_lr)

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rates of the next update, one for each group."""
        return list(self.lr_at(self.last_epoch))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON types: the update, the schedule, its total and the base lrs."""
        return {
            "version": _VERSION,
            "update": self.last_epoch,
            "schedule": str(self.schedule),
            "base": list(groups.adopt_base(self.optimizer)),
        }

    def load_state_dict(
        self,
        state_dict: Mapping[str, Any],
        on_mismatch: Literal["error", "mine", "theirs"] = "error",
    ) -> None:
        """Go to where a checkpoint was, and write the learning rates of that point.

        Args:
            state_dict: what :meth:`state_dict` returned.
            on_mismatch: what to do when the checkpoint has another schedule or other base lrs:
                ``"error"``, keep ``"mine"`` (this object's), or take ``"theirs"``.

        Raises:
            InputError: it is no such state.
            StateError: it does not match, and ``on_mismatch`` is ``"error"``.
        """
        checks.one_of("on_mismatch", on_mismatch, ["error", "mine", "theirs"])
        _check_state(state_dict)
        update = checks.count("state_dict['update']", state_dict["update"])
        mine = self.state_dict()
        differing = [key for key in ("schedule", "base") if mine[key] != state_dict[key]]
        if differing and on_mismatch == "error":
            lines = [
                f"  {key}: checkpoint {state_dict[key]!r}, here {mine[key]!r}" for key in differing
            ]
            raise StateError(
                "The checkpoint does not match this scheduler:\n"
                + "\n".join(lines)
                + "\nPass on_mismatch='mine' to keep this scheduler's, 'theirs' to take the "
                "checkpoint's."
            )
        if differing and on_mismatch == "theirs":
            schedule = _resolved(read_schedule(state_dict["schedule"]), None)
            groups.set_base(self.optimizer, _saved_base(self.optimizer, state_dict["base"]))
            self.schedule = schedule
        self.seek(update)

    def _write(self) -> None:
        groups.write(self.optimizer, self.lr_at(self.last_epoch))
        self.base_lrs = list(groups.adopt_base(self.optimizer))
        self._last_lr = list(groups.read(self.optimizer))


def _resolved(schedule: Schedule, total: int | None, **units: int | None) -> Schedule:
    if total is not None:
        return schedule.resolve(checks.count("total", total, least=1), **units)
    if schedule.is_resolved:
        return schedule
    raise InputError(f"total must be given, in updates, to fill the schedule {schedule}.")


def _check_state(state: object) -> None:
    if not isinstance(state, Mapping):
        raise InputError(f"state_dict must be a dict, not a {type(state).__name__}.")
    missing = {"version", "update", "schedule", "base"} - set(state)
    if missing or state["version"] != _VERSION:
        raise InputError(
            "state_dict must come from a surefoot.Scheduler of this version; it lacks "
            f"{sorted(missing) or 'nothing'} and has version {state.get('version')!r}."
        )


def _checked_base(optimizer: Optimizer, base: float | Iterable[float]) -> list[float]:
    """Return the base lr of each group that the user's ``base`` stands for."""
    if isinstance(base, Iterable):
        values = [checks.learning_rate("base", value) for value in base]
        return _one_for_each(optimizer, values)
    first = checks.learning_rate("base", base)
    own = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    if len(own) == 1:
        return [first]
    if own[0] == 0:
        raise InputError(
            "base must be one rate for each group where the first group's is 0: there is no ratio "
            f"to keep; the groups have {own}."
        )
    return [first * (lr / own[0]) for lr in own]


def _saved_base(optimizer: Optimizer, base: Iterable[float]) -> list[float]:
    """Return the base lrs of a checkpoint; 0 is that of a frozen group."""
    values = [checks.number("state_dict['base']", value) for value in base]
    if any(value < 0 for value in values):
        raise InputError(f"state_dict['base'] must hold rates of at least 0, not {values}.")
    return _one_for_each(optimizer, values)


def _one_for_each(optimizer: Optimizer, values: list[float]) -> list[float]:
    count = len(optimizer.param_groups)
    if len(values) != count:
        raise InputError(f"base must hold {count} rates, one for each group, not {len(values)}.")
    return values
