"""Short trainings from one and the same start: a fresh trial, or the user's own loop."""

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._curves.smoothing import tail_mean
from surefoot._engine import groups
from surefoot._engine.batches import Batches, plain
from surefoot._engine.snapshot import Snapshot
from surefoot._engine.training import Training, check_rates
from surefoot._engine.trial import Trial
from surefoot.errors import InputError
from surefoot.schedules import Schedule

__all__ = ["LoopProbe", "Probe", "ProbeRun", "TrialProbe", "compressed", "first_module"]

SKIPPED_AT_MOST = 30
"""So many updates a GradScaler may skip while it looks for its scale."""

JUDGED_SHARE = 1 / 3
"""Without validation a short run is judged by the mean loss of its last third."""


@dataclass(frozen=True)
class ProbeRun:
    """One short training.

    Args:
        losses: the training loss before each update; the last may be not finite.
        loss: what it is judged by; inf if it stopped being finite.
    """

    losses: tuple[float, ...]
    loss: float


class Probe(Protocol):
    """Something that can train for a while from the same start, again and again."""

    steps: int
    metric: str
    default_lr: float
    name: str

    def run(
        self,
        lrs: Sequence[float],
        *,
        stop: Callable[[list[float]], bool] | None = None,
        judge: bool = True,
    ) -> ProbeRun:
        """Train from the start, one update at each of the rates of ``lrs``.

        Args:
            lrs: learning rate of the first parameter group for each update.
            stop: asked after each update with all losses so far; True ends the run.
            judge: whether the final loss is wanted; without it ``loss`` is NaN.
        """
        ...


class TrialProbe:
    """Short trainings of a trial: each one builds a fresh model under the trial's seed.

    Args:
        trial: how to build and train.
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._batches = Batches(trial.train, trial.seed)
        self.steps = trial.steps
        self.name = trial.name
        self.metric = trial.metric
        self.default_lr = groups.default_lr(check_rates(trial))

    def run(
        self,
        lrs: Sequence[float],
        *,
        stop: Callable[[list[float]], bool] | None = None,
        judge: bool = True,
    ) -> ProbeRun:
        """Train a fresh model; see :meth:`Probe.run`."""
        peak = max(lrs)
        training = Training(self._trial, peak, self._trial.seed, self._batches)
        training.advance(len(lrs), lambda update: lrs[update] / peak, stop=stop)
        loss = math.nan
        if judge:
            validated = self._trial.validate is not None
            loss = training.judge() if validated else tail_mean(training.losses, JUDGED_SHARE)
        return ProbeRun(tuple(training.losses), loss)


class LoopProbe:
    """Short trainings inside the user's own loop, each from the same snapshot.

    Args:
        train_step: does one whole update and returns its loss (a number or a scalar tensor).
        optimizer: the optimizer that ``train_step`` steps.
        snapshot: the state to start from; put back before each run.
        steps: the budget in updates.
        validate: function () → number to judge by, or (model) → number; optional.
        model: what to give to ``validate`` if it takes a model.
        may_skip: whether a GradScaler may skip updates.
    """

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
    ) -> None:
        self._train_step = train_step
        self._optimizer = optimizer
        self._snapshot = snapshot
        self._validate = validate
        self._arguments = _validate_arguments(validate, model)
        self._ratios = groups.ratios(optimizer)
        self._written: tuple[float, ...] = ()
        self._steps_seen = self._calls = 0
        self._skipped_at_most = SKIPPED_AT_MOST if may_skip else 0
        self._hooked = _tells_of_steps(optimizer)
        self.steps = steps
        self.name = ""
        self.metric = "training loss" if validate is None else "validation loss"
        self.default_lr = groups.default_lr(optimizer)

    def run(
        self,
        lrs: Sequence[float],
        *,
        stop: Callable[[list[float]], bool] | None = None,
        judge: bool = True,
    ) -> ProbeRun:
        """Train from the snapshot; see :meth:`Probe.run`."""
        self._snapshot.restore()
        self._steps_seen = 0
        losses: list[float] = []
        register = self._optimizer.register_step_pre_hook if self._hooked else None
        hook = None if register is None else register(self._check_step)
        try:
            for lr in lrs:
                groups.write(self._optimizer, [lr * ratio for ratio in self._ratios])
                self._written = groups.read(self._optimizer)
                losses.append(self._make_update())
                if not math.isfinite(losses[-1]) or (stop is not None and stop(losses)):
                    break
        finally:
            if hook is not None:
                hook.remove()
        excused = not self._hooked or self._steps_seen or not math.isfinite(losses[-1])
        if not excused and len(losses) > self._skipped_at_most:
            raise InputError(
                f"train_step must step the optimizer that find is given; in {len(losses)} calls "
                f"this {type(self._optimizer).__name__} was never stepped."
            )
        loss = math.nan
        if judge:
            loss = tail_mean(losses, JUDGED_SHARE)
            if math.isfinite(loss) and self._validate is not None:
                loss = self._judge(self._validate)
        return ProbeRun(tuple(losses), loss)

    def _make_update(self) -> float:
        try:
            loss = _loss_value(self._train_step())
        except StopIteration:
            raise InputError(
                f"train_step ran out of batches after {self._calls} updates in all: let it begin "
                "the loader again, for find repeats many short trainings."
            ) from None
        self._calls += 1
        return loss

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
        return number if math.isfinite(number) else math.inf


def _tells_of_steps(optimizer: Optimizer) -> bool:
    """Return whether hooks see its steps: not those of wrappers, nor of a captured graph."""
    hooked = getattr(type(optimizer).step, "hooked", False)
    captured = any(group.get("capturable") for group in optimizer.param_groups)
    return bool(hooked) and hasattr(optimizer, "_optimizer_step_pre_hooks") and not captured


def compressed(schedule: Schedule | None, steps: int, updates: int, lr: float) -> list[float]:
    """Return the rates of a run of ``updates`` updates that goes through the whole schedule.

    Args:
        schedule: a schedule resolved for ``steps``, or None for a constant rate.
        steps: the budget in updates.
        updates: length of the short run.
        lr: the peak rate.
    """
    if schedule is None:
        return [lr] * updates
    return [lr * float(schedule(number * steps // updates)) for number in range(updates)]


def first_module(things: Iterable[object]) -> nn.Module | None:
    """Return the first module among the things."""
    return next((thing for thing in things if isinstance(thing, nn.Module)), None)


def _loss_value(value: Any) -> float:
    loss = plain(value)
    if loss is None or isinstance(loss, torch.Tensor):
        given = "None" if loss is None else f"a tensor of shape {tuple(loss.shape)}"
        raise InputError(f"train_step must return its loss as a scalar; it returned {given}.")
    return checks.number("train_step's loss", loss, finite=False)


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
    if not _takes_model(validate):
        return ()
    if model is None:
        raise InputError("validate takes a model, but restore holds none: add the model to it.")
    return (model,)


def _takes_model(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in needed and p.default is inspect.Parameter.empty for p in parameters)
