"""Short trainings inside the user's own loop, each from the same snapshot."""

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._engine import groups, ranks
from surefoot._engine.batches import plain
from surefoot._engine.probe import ProbeRun, Stop, judge_at, window
from surefoot._engine.snapshot import Snapshot
from surefoot._engine.unlisted import Unlisted
from surefoot.errors import InputError

__all__ = ["KEPT", "LoopProbe", "check_train_step", "first_module"]

SKIPPED_AT_MOST = 30
"""So many updates a GradScaler may skip while it looks for its scale."""


KEPT = 3
"""So many trainings are kept at the most."""

KEPT_SHARE = 0.1
"""Of the memory that is free, so much may be filled with each; then they go to the host or disk."""


@dataclass(frozen=True)
class _Kept:
    """A training that can go on: its state, the losses of its updates, what it was judged by."""

    snapshot: Snapshot
    losses: list[float]
    loss: float


class LoopProbe:
    """Short trainings inside the user's own loop, each from the same snapshot.

    Those at one rate are kept, the best of them, so that they can go on.

    Args:
        train_step: does one whole update and returns its loss (a number or a scalar tensor).
        optimizer: the optimizer that ``train_step`` steps.
        snapshot: the state to start from; put back before each run.
        steps: the budget in updates.
        validate: function () → number to judge by, or (model) → number; optional.
        model: what to give to ``validate`` if it takes a model.
        may_skip: whether a GradScaler may skip updates.
        unlisted: what must not change; looked at after the first update and the first training.
        group: the one parameter group whose rate is tried, with ``others`` for all of them; None
            tries all together.
        others: the peak rate of each group; None: in the proportions that they have.
        usual: the usual rate of what is tried; None: of the first group, if the fastest has that of
            the optimizer.
    """

    reference_cost = 1.0

    rate_moved = False
    """Whether ``train_step`` changed the rate after the optimizer's step."""

    def __init__(
        self,
        train_step: Callable[[], Any],
        optimizer: Optimizer,
        snapshot: Snapshot,
        *,
        steps: int,
        validate: Callable[..., Any] | None = None,
        model: nn.Module | None = None,
        may_skip: bool = False,
        unlisted: Unlisted | None = None,
        group: int | None = None,
        others: Sequence[float] | None = None,
        usual: float | None = None,
    ) -> None:
        self._train_step = train_step
        self._unlisted = unlisted
        self._optimizer = optimizer
        self._snapshot = snapshot
        self._kept: dict[float, _Kept] = {}
        self._validate = validate
        self._arguments = _validate_arguments(validate, model)
        self._others = groups.ratios(optimizer) if others is None else tuple(others)
        self._group = group
        self._written: tuple[float, ...] = ()
        self._steps_seen = self._calls = 0
        self._skipped_at_most = SKIPPED_AT_MOST if may_skip else 0
        self._hooked = _tells_of_steps(optimizer)
        self.steps = steps
        self.name = ""
        self.pass_cost = 0.0 if validate is None else None
        self.metric = "training loss" if validate is None else "validation loss"
        if usual is None:
            usual = groups.default_lr(optimizer) / max(groups.ratios(optimizer))
        self.default_lr = usual

    def reference(self, count: int) -> list[float]:
        """Train at a rate of 0; see :meth:`Probe.reference`."""
        self._snapshot.restore()
        return self._updates([0.0] * count, [])

    def range_test(self, lrs: Sequence[float], stop: Stop) -> list[float]:
        """Train from the snapshot; see :meth:`Probe.range_test`."""
        self._snapshot.restore()
        losses = self._updates(ranks.first(list(lrs)), [], stop)
        if self._unlisted is not None:
            self._unlisted.check()
        self._unlisted = None
        return losses

    def untrained(self) -> float | None:
        """Judge the model of the snapshot; see :meth:`Probe.untrained`."""
        self._snapshot.restore()
        return None if self._validate is None else self._judge(self._validate)

    def updates_of(self, lr: float) -> int:
        """Look for a training that was kept; see :meth:`Probe.updates_of`."""
        return len(self._kept[lr].losses) if lr in self._kept else 0

    def train(self, lrs: Sequence[float], marks: Sequence[int]) -> ProbeRun:
        """Train from the snapshot, or go on; see :meth:`Probe.train`."""
        lrs = ranks.first(list(lrs))
        peak, constant = max(lrs), len(set(lrs)) == 1
        goes_on = constant and marks[0] > self.updates_of(peak)
        kept = self._kept.pop(peak, None) if goes_on else None
        (self._snapshot if kept is None else kept.snapshot).restore()
        losses = [] if kept is None else kept.losses
        before = len(losses)

        def train_to(mark: int) -> bool:
            self._updates(lrs[len(losses) : mark], losses, share=lambda lr: lr / peak)
            return math.isfinite(losses[-1])

        def judge(finite: bool) -> float:
            if self._validate is None or not finite:
                return window(losses)
            with self._snapshot.again(KEPT_SHARE):  # judging must not change what is trained
                return self._judge(self._validate)

        judged = judge_at(marks, train_to, judge)
        if constant:
            self._keep(peak, losses, judged[-1][1])
        return ProbeRun(len(losses) - before, judged)

    def _keep(self, lr: float, losses: list[float], loss: float) -> None:
        """Keep a training, if it is not finished, and among the best."""
        if not math.isfinite(loss) or len(losses) >= self.steps:
            return
        worst = max(self._kept, key=lambda lr: self._kept[lr].loss, default=lr)
        if len(self._kept) == KEPT:
            if self._kept[worst].loss <= loss:
                return
            del self._kept[worst]
        self._kept[lr] = _Kept(self._snapshot.again(KEPT_SHARE), losses, loss)

    def _updates(
        self,
        lrs: Sequence[float],
        losses: list[float],
        stop: Stop | None = None,
        share: Callable[[float], float] = lambda _: 1.0,
    ) -> list[float]:
        """Make an update at each of the rates, and add their losses to those before.

        ``share`` tells of a rate which part of the peak it is.
        """
        register = self._optimizer.register_step_pre_hook if self._hooked else None
        hook = None if register is None else register(self._check_step)
        try:
            for lr in lrs:
                groups.write(self._optimizer, self._rates(lr, share(lr)))
                self._written = groups.read(self._optimizer)
                losses.append(self._make_update())
                self.rate_moved |= groups.read(self._optimizer) != self._written
                if self._unlisted is not None and len(losses) == 1:
                    self._unlisted.check()
                if not math.isfinite(losses[-1]) or (stop is not None and stop(losses)):
                    break
        finally:
            if hook is not None:
                hook.remove()
        excused = not self._hooked or self._steps_seen or not math.isfinite(losses[-1])
        if not excused and self._calls > self._skipped_at_most:
            raise InputError(
                f"train_step must step the optimizer that find is given; in {self._calls} calls "
                f"this {type(self._optimizer).__name__} was never stepped."
            )
        return losses

    def _rates(self, lr: float, share: float) -> list[float]:
        """Return the rate of each group, at a share of the peak."""
        if self._group is None:
            return [lr * ratio for ratio in self._others]
        return [
            lr if group == self._group else own * share for group, own in enumerate(self._others)
        ]

    def _make_update(self) -> float:
        try:
            loss = _loss_value(self._train_step())
        except StopIteration:
            raise InputError(
                f"train_step ran out of batches after {self._calls} updates in all: let it begin "
                "the loader again, for find repeats many short trainings."
            ) from None
        self._calls += 1
        return ranks.mean(loss)

    def _check_step(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        self._steps_seen += 1
        used = groups.read(optimizer)
        if used[: len(self._written)] != self._written:
            raise InputError(
                f"train_step must leave the learning rate alone while find tries rates; it was set "
                f"to {list(used)} before optimizer.step(). Take that line out for the search, and "
                "give the schedule as schedule=…."
            )

    def _judge(self, validate: Callable[..., Any]) -> float:
        value = validate(*self._arguments)
        number = checks.number("validate's result", plain(value), finite=False)
        number = ranks.mean(number)
        return number if math.isfinite(number) else math.inf


def _tells_of_steps(optimizer: Optimizer) -> bool:
    """Return whether hooks see its steps: not those of wrappers, nor of a captured graph."""
    hooked = getattr(type(optimizer).step, "hooked", False)
    captured = any(group.get("capturable") for group in optimizer.param_groups)
    return bool(hooked) and hasattr(optimizer, "_optimizer_step_pre_hooks") and not captured


def first_module(things: Iterable[object]) -> nn.Module | None:
    """Return the first module among the things."""
    return next((thing for thing in things if isinstance(thing, nn.Module)), None)


def _loss_value(value: Any) -> float:
    loss = plain(value)
    if loss is None or isinstance(loss, torch.Tensor):
        given = "None" if loss is None else f"a tensor of shape {tuple(loss.shape)}"
        raise InputError(f"train_step must return its loss as a scalar; it returned {given}.")
    return checks.number("train_step's loss", loss, finite=False)


def check_train_step(function: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called without arguments.

    Raises:
        InputError: it needs some.
    """
    needed = _needed(function)
    if needed:
        raise InputError(
            f"train_step must take no arguments; it needs {', '.join(needed)}. Wrap it: "
            f"find(lambda: train_step({', '.join(needed)}), …)."
        )


def _validate_arguments(
    validate: Callable[..., Any] | None, model: nn.Module | None
) -> tuple[nn.Module, ...]:
    """Return what to call ``validate`` with: nothing, or the model if it takes one."""
    if validate is None:
        return ()
    if not callable(validate):
        raise InputError(
            f"validate must be a function that returns a number, not a {type(validate).__name__}."
        )
    needed = _needed(validate)
    if not needed:
        return ()
    if len(needed) > 1:
        raise InputError(
            "validate must take nothing or the model; it needs "
            f"{', '.join(needed)}. Wrap it: validate=lambda: validate({', '.join(needed)})."
        )
    if model is None:
        raise InputError("validate takes a model, but restore holds none: add the model to it.")
    return (model,)


def _needed(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that the function cannot do without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not say
        return []
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        each.name
        for each in parameters
        if each.kind not in free and each.default is inspect.Parameter.empty
    ]
