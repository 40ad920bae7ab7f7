"""A torch scheduler stepped from its start, on a stand-in for its optimizer.

torch's composites are not the curves of their parts one after another or multiplied, so what they
do is found out by doing it. The scheduler is copied; nothing of the user's is touched, and the
parameters are not copied.
"""

import bisect
import copy
from dataclasses import dataclass, field
from typing import Any

from surefoot.errors import InputError

__all__ = ["Run", "children", "replay"]


@dataclass
class Run:
    """What a scheduler wrote: each group's lr, and its momentum if there is one, at each t."""

    lr: list[list[float]] = field(default_factory=list[list[float]])
    momentum: list[list[float]] = field(default_factory=list[list[float]])


class _Optimizer:
    """What a scheduler sees of an optimizer."""

    def __init__(self, optimizer: Any) -> None:
        self.param_groups = [
            {key: _plain(value) for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]
        self.defaults = optimizer.defaults
        self._opt_called = True

    def reset(self) -> None:
        """Give each group of the stand-in its initial lr."""
        for group in self.param_groups:
            group.update(lr=group["initial_lr"])

    def step(self) -> None:
        """Do nothing: the rates alone matter."""

    step._wrapped_by_lr_sched = True  # pyright: ignore[reportFunctionMemberAccess]


def children(scheduler: Any) -> list[Any]:
    """Return the schedulers that a composite is made of, none for others."""
    return list(getattr(scheduler, "_schedulers", ()))


def replay(scheduler: Any, total: int) -> Run:
    """Return what the scheduler writes for the updates 0 … total − 1, from its start.

    Raises:
        InputError: it has been stepped and its start cannot be found again, or it fails.
    """
    name = type(scheduler).__name__
    optimizer = _Optimizer(scheduler.optimizer)
    twin = copy.deepcopy(scheduler, {id(scheduler.optimizer): optimizer})
    _make_plain(twin)
    done = _steps(twin)
    now = [group["lr"] for group in optimizer.param_groups]
    if done > 0:
        _start_again(twin, optimizer)
    run = Run([[] for _ in now], [[] for _ in now])
    for t in range(max(total, done + 1)):
        if t > 0:
            _step(twin, name)
        if t == done and not _same(now, optimizer):
            raise InputError(
                f"scheduler must be one whose start can be found again: this {name} has made "
                f"{done} steps, and {done} steps from its start lead elsewhere. Convert it "
                "before its first step."
            )
        _record(run, optimizer)
    for values in (*run.lr, *run.momentum):
        del values[total:]
    return run


def _step(scheduler: Any, name: str) -> None:
    try:
        scheduler.step()
    except (ArithmeticError, NotImplementedError, ValueError) as error:
        raise InputError(
            f"scheduler has no lr from some update on: torch's {name} itself fails with "
            f"{type(error).__name__} ({error})."
        ) from None


def _record(run: Run, optimizer: _Optimizer) -> None:
    for g, group in enumerate(optimizer.param_groups):
        run.lr[g].append(float(group["lr"]))
        if "betas" in group:
            run.momentum[g].append(float(group["betas"][0]))
        elif "momentum" in group:
            run.momentum[g].append(float(group["momentum"]))


def _plain(value: Any) -> Any:
    """Return a tensor of one number as a float, anything else as it is."""
    return value.item() if hasattr(value, "numel") and value.numel() == 1 else value


def _make_plain(scheduler: Any) -> None:
    """Turn the tensors that a scheduler of tensor rates keeps into floats."""
    for child in children(scheduler):
        _make_plain(child)
    for name in ("base_lrs", "max_lrs"):
        if name in vars(scheduler):
            setattr(scheduler, name, [float(value) for value in getattr(scheduler, name)])


def _steps(scheduler: Any) -> int:
    """Return how many steps a scheduler has made."""
    if children(scheduler) and "last_epoch" not in vars(scheduler):
        return _steps(children(scheduler)[0])
    return int(scheduler.last_epoch)


def _start_again(scheduler: Any, optimizer: _Optimizer) -> None:
    """Do with a stepped scheduler what its constructor, and those of its parts, did."""
    optimizer.reset()
    _construct(scheduler, optimizer)


def _construct(scheduler: Any, optimizer: _Optimizer) -> None:
    parts = children(scheduler)
    for part in parts:
        _construct(part, optimizer)
    if not parts:
        scheduler.last_epoch = -1
        if "T_cur" in vars(scheduler):
            scheduler.T_cur, scheduler.T_i = -1, scheduler.T_0
        own = scheduler.base_lrs
        if "max_lrs" in vars(scheduler):  # a CyclicLR takes its first step before it has its own
            scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        scheduler._initial_step()
        scheduler.base_lrs = own
    elif "_milestones" in vars(scheduler):
        scheduler.last_epoch = 0
        optimizer.reset()
        _undo(scheduler)
        parts[bisect.bisect_right(scheduler._milestones, 0)]._initial_step()


def _undo(scheduler: Any) -> None:
    """Take back the first step of all parts, as torch does."""
    for part in children(scheduler):
        _undo(part)
    if not children(scheduler):
        scheduler.last_epoch -= 1


def _same(rates: list[float], optimizer: _Optimizer) -> bool:
    pairs = zip(rates, optimizer.param_groups, strict=True)
    return all(abs(float(group["lr"]) - rate) <= 1e-9 * abs(rate) + 1e-300 for rate, group in pairs)
