"""The one small stateful object that applies schedules and a controller to a torch optimizer."""

import weakref
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from surefoot._base import checks
from surefoot._engine import given, groups, plan, resume
from surefoot._engine.fields import LR, Field, own_values
from surefoot._engine.plan import Plan
from surefoot._engine.skips import Skips, bare
from surefoot.errors import InputError, StateError
from surefoot.schedules import Controller, Schedule, _scalar

__all__ = ["Scheduler"]

Choice: TypeAlias = Literal["error", "mine", "theirs"]
Given: TypeAlias = Schedule | str | float | Sequence[Schedule | str | float]

_OF: "weakref.WeakKeyDictionary[Any, weakref.WeakSet[Any]]" = weakref.WeakKeyDictionary()
"""The schedulers of each optimizer, so that a later one can retire the earlier ones."""


class Scheduler(LRScheduler):
    r"""Give each parameter group its own values times the schedule's factor.

    .. math:: \mathrm{lr}_g(t) = \mathrm{base}_g \cdot \mathrm{schedule}(t) \cdot \mathrm{control}

    where t counts the calls of :meth:`step`, from 0. The product is written anew each time, so a
    rate set by hand lasts until the next ``step``, and a rate can never drift. The constructor
    writes the rate of update 0 and does not patch the optimizer. A tensor lr is filled in place,
    and each group gets its own; a group that is added later is adopted at its own lr.

    Args:
        optimizer: any ``torch.optim.Optimizer``.
        schedules: of the lr: a schedule, its text, a constant factor, or a list with one for each
            group. Of more than the lr: a dict from a field to these. Fields are the numbers in the
            groups: ``"lr"``, ``"weight_decay"``, ``"momentum"``, and ``"betas.0"`` for the first of
            a tuple. Their factors are of the group's own value, kept there as ``initial_lr`` and so
            on. A group added later follows the last of a list.
        total: length of the run in updates, ≥ 1; not needed where a schedule is resolved.
        updates_per_epoch, samples_per_update, tokens_per_update: needed where a schedule counts
            in epochs, samples or tokens.
        base: base lr of the first group whose rate is not 0, to which the others keep their ratio,
            or a list of one for each group, 0 for one that is frozen; by default the group's
            ``initial_lr`` or, if it has none, its lr. A base given here holds against any
            checkpoint, until one is taken as "theirs".
        control: a controller, whose factor multiplies the lr: ``plateau(…)`` and others of
            :mod:`surefoot.schedules`.
        scaler: the ``GradScaler`` of the run, so that an update that it skips, because a gradient
            is infinite, is none. See ``docs/scheduler.md`` for fused optimizers.
        calls_per_update: how many calls of :meth:`step` make one update, ≥ 1: the number of
            processes where Accelerate prepared the scheduler, for it calls once for each.
        on_mismatch: what :meth:`load_state_dict` does, when it is not told, with a checkpoint of
            another plan: ``"error"``, keep ``"mine"`` (this object's), or take ``"theirs"``.

    Raises:
        InputError: an argument is not what is allowed, a group lacks a field, or a schedule does
            not fit ``total``.

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
        schedules: Given | Mapping[str, Given],
        *,
        total: int | None = None,
        updates_per_epoch: float | None = None,
        samples_per_update: float | None = None,
        tokens_per_update: float | None = None,
        base: float | Sequence[float] | None = None,
        control: Controller | None = None,
        scaler: torch.amp.GradScaler | None = None,
        calls_per_update: int = 1,
        on_mismatch: Choice = "error",
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise InputError(
                f"optimizer must be a torch.optim.Optimizer, not a {type(optimizer).__name__}."
            )
        groups.read(optimizer)
        units = {
            "updates_per_epoch": updates_per_epoch,
            "samples_per_update": samples_per_update,
            "tokens_per_update": tokens_per_update,
        }
        plans = plan.make(optimizer, schedules, total, units, based=base is not None)
        rates = None if base is None else given.checked_base(optimizer, base, plans)
        control = given.checked_control(control, plans)
        self.calls_per_update = checks.count("calls_per_update", calls_per_update, least=1)
        self.on_mismatch = checks.one_of("on_mismatch", on_mismatch, resume.CHOICES)
        self.optimizer = optimizer
        self._base_given = rates is not None
        self._skips = None if scaler is None else Skips(optimizer, scaler)
        self._kept: list[tuple[Field, list[float]]] = []
        self._retired: set[str] = set()  # the fields that a later scheduler has taken over
        self._newest: dict[str, Any] | None = None  # the last group that was adopted
        self._start(control)
        self._follow(plans)
        self._held()
        if rates is not None:
            groups.set_base(optimizer, rates)
        self._attach()
        self._retire_others()
        self._go_to(0)

    @property
    def schedules(self) -> dict[str, Schedule | list[Schedule]]:
        """The resolved schedules of each field: one for all groups, or a list."""
        return {each.field.name: each.public for each in self._plans}

    @property
    def total(self) -> int:
        """Length of the run in updates."""
        return plan.total_of(self._plans)

    @property
    def updates(self) -> int:
        """How many updates were made, which is the number of the next one."""
        return self.last_epoch

    @property
    def last_lr(self) -> list[float]:
        """The learning rates that the update just made used, one for each group.

        A rate that was set by hand shows. A tensor is never read back, which would wait for its
        device: it shows as it was written.
        """
        return list(self._used)

    @property
    def next_lr(self) -> list[float]:
        """The learning rates that the next update uses, one for each group.

        A rate that was set by hand shows; a tensor shows as it was written.
        """
        if self._rates is None:
            return list(groups.read(self.optimizer))
        pairs = zip(self.optimizer.param_groups, self._last_factors(), strict=False)
        return [groups.as_written(group, factor) for group, factor in pairs]

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """The base lr of each group."""
        return own_values(self.optimizer.param_groups, LR)

    @property
    def _last_lr(self) -> list[float]:  # type: ignore[override]
        return self.next_lr  # torch's wrappers read it

    @property
    def factor(self) -> float:
        """The factor of the controller; 1 without one."""
        return self._factor

    @property
    def control_state(self) -> dict[str, Any] | None:
        """What the controller remembers, as JSON types; None without one."""
        return None if self._control_state is None else resume.plain(self._control_state)

    def lr_at(self, update: int) -> list[float]:
        """Return the learning rates that update number ``update`` uses, one for each group.

        With a controller: with the factor that it has now. Where the lr is not scheduled, the
        groups keep theirs.
        """
        update = checks.count("update", update)
        if self._rates is None:
            return list(groups.read(self.optimizer))
        base = own_values(self.optimizer.param_groups, LR)
        pairs = zip(base, self._rates.factors(update, len(base)), strict=True)
        return [each * (factor * self._factor) for each, factor in pairs]

    def step(  # type: ignore[override]  # torch's first argument is deprecated
        self, metric: float | None = None, *, grad_norm: float | None = None
    ) -> None:
        """Go on to the next update: write its values. Call after ``optimizer.step()``.

        Args:
            metric: what a controller such as ``plateau`` observes: the validation loss, say.
            grad_norm: what a controller such as ``gradient_dependent`` observes.
        """
        held = self.optimizer.param_groups
        simple, told = self._simple, metric is not None or grad_norm is not None
        if simple is None or told or held[-1] is not self._newest:
            self._step(metric, grad_norm)
            return
        self._step_count += 1
        self.last_epoch = update = self.last_epoch + 1
        factor = simple(update, _scalar) * self._factor
        self._used = groups.advance(held, factor, self._before)
        self._before = factor

    def observe(self, metric: float | None = None, *, grad_norm: float | None = None) -> None:
        """Tell the controller what was observed and write the rates at once, without going on.

        Args:
            metric: as in :meth:`step`.
            grad_norm: as in :meth:`step`.
        """
        observation = self._observation(metric, grad_norm)
        if observation is None:
            raise InputError("observe needs what was observed: observe(metric=…).")
        self._held()
        self._fold(observation)
        self._write()

    def seek(self, update: int) -> None:
        """Jump to ``update``: the next update made has that number. A controller stays as it is."""
        self._go_to(checks.count("update", update))

    def get_last_lr(self) -> list[float | Tensor]:
        """Return what torch calls so: the learning rates now in the optimizer."""
        return list(self.next_lr)

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rates of the next update, one for each group."""
        return list(self.lr_at(self.last_epoch))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON types: update, schedules, total, own values, controller."""
        self._settle()
        control = None
        if self.control is not None:
            control = {
                "controller": self.control.to_dict(),
                "state": self._control_state,
                "factor": self._factor,
            }
        held = self.optimizer.param_groups
        return resume.plain({
            "version": resume.VERSION,
            "update": self.last_epoch,
            "calls": self._calls,
            "total": self.total,
            "schedules": {each.field.name: each.to_json() for each in self._plans},
            "base": {each.field.name: own_values(held, each.field) for each in self._plans},
            "last_lr": self._used,
            "control": control,
        })  # fmt: skip

    def load_state_dict(
        self, state_dict: Mapping[str, Any], on_mismatch: Choice | None = None
    ) -> None:
        """Go to where a checkpoint was, and write the values of that point.

        Args:
            state_dict: what :meth:`state_dict` returned.
            on_mismatch: what to do when the checkpoint has other schedules, another total, other
                own values or another controller: ``"error"``, keep ``"mine"`` (this object's), or
                take ``"theirs"``; by default what the constructor was given. A ``base`` that the
                constructor was given is no mismatch.

        Raises:
            InputError: it is no such state.
            StateError: it does not match, and the choice is ``"error"``.
        """
        choice = self.on_mismatch if on_mismatch is None else on_mismatch
        checks.one_of("on_mismatch", choice, resume.CHOICES)
        state = resume.checked(state_dict)
        ignore_base = self._base_given and choice != "theirs"
        lines = resume.differences(self.state_dict(), state, ignore_base=ignore_base)
        if lines and choice == "error":
            raise StateError(resume.refusal(lines))
        theirs = resume.theirs(self.optimizer, state) if lines and choice == "theirs" else None
        memory = resume.memory(self.control if theirs is None else theirs.control, state)
        self._held()
        # Nothing that can fail comes after this.
        if theirs is not None:
            self._take(theirs)
        if choice == "theirs":
            self._base_given = False
        if memory is not None:
            self._control_state, self._factor = memory
        self._go_to(state["update"])
        self._calls = state["calls"] % self.calls_per_update
        if state["update"]:
            self._used = [float(rate) for rate in state["last_lr"]]

    def _take(self, theirs: resume.Theirs) -> None:
        """Follow the plan of a checkpoint."""
        self._start(theirs.control)
        self._follow(theirs.plans)
        self._adopt()
        for each, base in zip(theirs.plans, theirs.bases, strict=True):
            groups.set_base(self.optimizer, base, each.field)
        self._retire_others()

    def _start(self, control: Controller | None) -> None:
        """Let ``control`` control, from its beginning."""
        self.control = control
        self._control_state = None if control is None else control.start()
        first = (self._control_state or {}).get("factor", 1.0)
        self._factor = 1.0 if control is None else resume.checked_factor(control, first)

    def _follow(self, plans: tuple[Plan, ...]) -> None:
        """Make ``plans`` the ones that are followed."""
        self._plans = plans
        self._before, self._written = 1.0, [1.0]  # the factors written last: of all, or of each
        self._rates = next((each for each in plans if each.field == LR), None)
        # The usual case, one schedule of the lr and no more, has a short way through step().
        usual = len(plans) == 1 and self._rates is not None and plans[0].is_one
        plain = self._skips is None and self.calls_per_update == 1
        self._simple = plans[0].schedules[0].evaluate if usual and plain else None

    def _go_to(self, update: int) -> None:
        """Be where ``update`` updates were made, and write what the next one uses."""
        self._held()
        self.last_epoch = update
        self._step_count = update + 1
        self._calls = 0
        if self._skips is not None:
            self._skips.forget()
        self._write()
        self._used = self.lr_at(max(update - 1, 0))

    def _step(self, metric: float | None, grad_norm: float | None) -> None:
        """Do what :meth:`step` does, in every case."""
        observation = self._observation(metric, grad_norm)
        if self._calls + 1 < self.calls_per_update:
            self._calls += 1
            return
        late = self.optimizer.param_groups[-1] is not self._newest
        before = self.next_lr if late else None  # a tensor that is new was not written yet
        self._held()
        if observation is not None:
            self._fold(observation)
        self._calls = 0
        made, skipped = (True, 0) if self._skips is None else self._skips.take()
        self.last_epoch = max(self.last_epoch + made - skipped, 0)
        used = self._write()
        if made:
            self._used = before or used
            self._step_count += 1

    def _settle(self) -> None:
        """Correct the number of the update by the skips that the device has not told of yet."""
        if self._skips is not None and (skipped := self._skips.settle()):
            self.last_epoch = max(self.last_epoch - skipped, 0)
            self._write()

    def _held(self) -> list[dict[str, Any]]:
        """Return the groups; those that were added since are adopted first."""
        held = self.optimizer.param_groups
        if held[-1] is not self._newest:
            self._adopt()
        return held

    def _adopt(self) -> None:
        """Adopt new groups, or refuse them before anything is written."""
        for each in self._plans:
            plan.check(self.optimizer, each)
        groups.adopt(self.optimizer, [each.field for each in self._plans])
        self._newest = self.optimizer.param_groups[-1]

    def _write(self, *, retired: bool = True) -> list[float]:
        """Write what the next update uses into the groups; return the rates that were there.

        Without ``retired``, fields that a later scheduler has taken over are left alone.
        """
        held, update = self._held(), self.last_epoch
        used = None
        for each in self._plans:
            if not retired and each.field.name in self._retired:
                continue
            if each is self._rates:
                used = self._write_rates(each)
            elif each.is_one:
                groups.fill(held, each.field, each.schedules[0].evaluate(update, _scalar))
            else:
                groups.fill_each(held, each.field, each.factors(update, len(held)))
        return list(groups.read(self.optimizer)) if used is None else used

    def _write_rates(self, each: Plan) -> list[float]:
        held, update = self.optimizer.param_groups, self.last_epoch
        if each.is_one:
            before = self._before
            self._before = factor = each.schedules[0].evaluate(update, _scalar) * self._factor
            return groups.advance(held, factor, before)
        last, control = self._last_factors(), self._factor
        self._written = [factor * control for factor in each.factors(update, len(held))]
        return groups.advance_each(held, self._written, last)

    def _last_factors(self) -> Iterable[float]:
        """Return the factors of the lr that were written last, one for each group."""
        if self._rates is None or self._rates.is_one:
            return repeat(self._before)
        return chain(self._written, repeat(self._written[-1]))

    def _observation(self, metric: Any, grad_norm: Any) -> dict[str, float] | None:
        """Return what the controller is told, None where there is nothing."""
        given = {"metric": metric, "grad_norm": grad_norm}
        told = {name: value for name, value in given.items() if value is not None}
        if not told:
            return None
        if self.control is None:
            raise InputError(
                f"step takes no {' and '.join(told)} where the scheduler has no control=…; to jump "
                "to an update, which torch's argument of step once did, call seek(update)."
            )
        if extra := sorted(set(told) - {self.control.needs}):
            raise InputError(
                f"{self.control.name} needs {self.control.needs}: pass it as "
                f"step({self.control.needs}=…) or observe({self.control.needs}=…), and no "
                f"{' and '.join(extra)}, which it does not look at."
            )
        return {name: checks.number(name, value, finite=False) for name, value in told.items()}

    def _fold(self, observation: Mapping[str, float]) -> None:
        """Let the controller go on."""
        if self.control is not None and self._control_state is not None:
            state, factor = self.control.update(self._control_state, observation)
            self._factor = resume.checked_factor(self.control, factor)
            self._control_state = state

    def _retire_others(self) -> None:
        """Tell earlier schedulers of these fields to leave them alone when the optimizer loads."""
        names = {each.field.name for each in self._plans}
        for other in _OF[bare(self.optimizer) or self.optimizer]:
            if other is not self:
                other._retired |= names
        self._retired -= names

    def _attach(self) -> None:
        """Ask the optimizer to tell when its own state is loaded, which overwrites what is ours."""
        _OF.setdefault(bare(self.optimizer) or self.optimizer, weakref.WeakSet()).add(self)
        if (inner := bare(self.optimizer)) is not None:
            me = weakref.ref(self)
            for handle in (
                inner.register_load_state_dict_pre_hook(partial(_before_loading, me)),
                inner.register_load_state_dict_post_hook(partial(_after_loading, me)),
            ):
                weakref.finalize(self, handle.remove).atexit = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._attach()


def _before_loading(scheduler: "weakref.ref[Any]", *_: Any) -> None:
    if (me := scheduler()) is not None:
        held = me.optimizer.param_groups
        active = [each for each in me._plans if each.field.name not in me._retired]
        me._kept = [(each.field, own_values(held, each.field)) for each in active]


def _after_loading(scheduler: "weakref.ref[Any]", *_: Any) -> None:
    if (me := scheduler()) is not None and me._kept:
        for field, base in me._kept:
            groups.set_base(me.optimizer, base, field)
        me._write(retired=False)
