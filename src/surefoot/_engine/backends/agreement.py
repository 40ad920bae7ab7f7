"""The check before anything is fused: its first updates against those of the loop."""

import itertools
import math
import time
from dataclasses import replace

from torch import Tensor, nn

from surefoot._engine.backends._backend import Plan, Unfit, shards
from surefoot._engine.backends.fused import Shard
from surefoot._engine.training import Training
from surefoot.errors import InputError

__all__ = ["check_agreement"]

UPDATES = 4
"""So many updates are compared."""

ROUNDING = 1e-4
"""What of a gradient, a buffer or a loss may be rounding; single precision, added differently."""

ROUNDING_AUTOCAST = 0.05
"""The same in mixed precision."""

NEGLIGIBLE = 0.1
"""A gradient that differs by rounding of this share of the largest one makes no difference."""

GROWTH = 0.05
"""By this share of how far they moved, losses and weights may differ after some updates."""


def check_agreement(plan: Plan) -> float:
    """Compare the first fused updates with the loop's, at two of the rates.

    What is trained here is thrown away: the members of the plan begin from their start.

    Returns:
        The seconds of one update of one member in the loop.

    Raises:
        Unfit: they differ, or the trial cannot be fused.
        InputError: the trial itself is wrong.
    """
    seed, lrs = shards(plan.members)[0]
    chosen = sorted({sorted(lrs)[len(lrs) // 4], sorted(lrs)[len(lrs) // 2]})
    more = min(UPDATES, plan.trial.steps) - 1
    alone = [Training(plan.trial, lr, seed, plan.batches[seed]) for lr in chosen]
    starts = [_copied(training.model) for training in alone]
    _advance(alone, 1)
    fused = Shard(replace(plan, randomness="same"), chosen, seed)
    fused.advance(1)
    compare = _Comparison(ROUNDING if plan.trial.autocast is None else ROUNDING_AUTOCAST)
    for index, training in enumerate(alone):
        compare.grads(training.model, fused.stack.grads(index))
    started = time.perf_counter()
    _advance(alone, more)
    seconds = (time.perf_counter() - started) / (more * len(alone)) if more else 0.0
    fused.advance(more)
    curves = fused.curves()
    for index, training in enumerate(alone):
        compare.losses(training.losses, curves[index])
        compare.tensors(training.model, _copied(fused.stack.member(index)), starts[index])
    return seconds


def _advance(trainings: list[Training], updates: int) -> None:
    """Advance members of the loop; what the user's code raises in one makes the trial unfit."""
    try:
        for training in trainings:
            training.advance(updates, training.trial.factors(training.optimizer))
    except InputError:
        raise
    except Exception as error:
        raise Unfit(f"a member of it raised {type(error).__name__}: {error:.100}") from error


def _copied(model: nn.Module) -> dict[str, Tensor]:
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    return {name: tensor.detach().clone() for name, tensor in tensors}


class _Comparison:
    """What was trained in the loop beside what was trained in the stack.

    Args:
        rounding: relative difference that may be rounding.
    """

    def __init__(self, rounding: float) -> None:
        self._rounding = rounding
        self._noise: set[str] = set()
        """Parameters whose gradient is rounding alone, as that of a bias before BatchNorm."""

    def grads(self, model: nn.Module, fused: dict[str, Tensor | None]) -> None:
        """Compare the gradients of the first update, which all begin alike."""
        alone = {name: p.grad for name, p in model.named_parameters() if name in fused}
        sizes = {name: float(grad.norm()) for name, grad in alone.items() if grad is not None}
        slack = NEGLIGIBLE * max(sizes.values(), default=0.0)
        self._noise |= {name for name, size in sizes.items() if size <= self._rounding * slack}
        for name, grad in alone.items():
            other = fused[name]
            if grad is None or other is None:
                same = grad is other
            else:
                off = float((grad - other).norm())
                same = not (off > self._rounding * (sizes[name] + slack))
            if not same:
                raise Unfit(f"the gradient of its parameter {name!r} comes out different")

    def losses(self, alone: list[float], fused: list[float]) -> None:
        """Compare the losses before each update."""
        moved = max(abs(loss - alone[0]) for loss in alone)
        allowed = self._rounding * abs(alone[0]) + GROWTH * moved
        pairs = itertools.zip_longest(alone, fused, fillvalue=math.nan)
        for number, (loss, other) in enumerate(pairs):
            if math.isfinite(loss) != math.isfinite(other) or abs(loss - other) > allowed:
                raise Unfit(f"its loss comes out different at update {number}")

    def tensors(self, model: nn.Module, fused: dict[str, Tensor], start: dict[str, Tensor]) -> None:
        """Compare how far parameters and buffers moved.

        Not where to: where a gradient is rounding, Adam moves by the lr in a direction of chance.
        """
        for name, end in _copied(model).items():
            if name in self._noise:
                continue
            moved, other = ((each - start[name]).double().norm() for each in (end, fused[name]))
            allowed = GROWTH * float(moved) + self._rounding * float(start[name].double().norm())
            if abs(float(moved) - float(other)) > allowed:
                raise Unfit(f"its tensor {name!r} comes out different after {UPDATES} updates")
