"""The check before anything is fused: its first updates against those of the loop."""

import itertools
import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from surefoot._engine.backends._backend import Job, UnfitError, check_start, shards
from surefoot._engine.backends.fused import Shard
from surefoot._engine.backends.refusals import reason
from surefoot._engine.said import brief
from surefoot._engine.training import Training
from surefoot.errors import InputError

__all__ = ["Sample", "check_agreement", "refuse_leftovers", "sample"]

UPDATES = 4
"""So many updates are compared."""

ROUNDING = 1e-4
"""What of a gradient, a buffer or a loss may be rounding; single precision, added differently."""

ROUNDING_AUTOCAST = 0.05
"""The same in mixed precision."""

GROWTH = 0.05
"""By this share of how far they moved, losses and tensors may differ after some updates."""

CHANCE = 0.1
"""A validation loss may differ by this share where weights moved in a direction of chance."""

NEGLIGIBLE = 0.1
"""A gradient that differs by rounding of this share of the largest one makes no difference."""


@dataclass(frozen=True)
class Sample:
    """A few members after their first updates in the loop, which all else is compared with.

    What is trained here is thrown away: the members of the job begin from their start.

    Args:
        job: the job that they are taken from; all draw the same numbers.
        seed: their seed.
        trainings: as they are after these updates.
        starts: their tensors before the first update.
        grads: the gradients of each update, of each member.
        seconds: what one update of one member takes.
        hooked: whether their code gives tensors gradient hooks.
    """

    job: Job
    seed: int
    trainings: list[Training]
    starts: list[dict[str, Tensor]]
    grads: list[list[dict[str, Tensor | None]]] = field(default_factory=list)
    seconds: float = 0.0
    hooked: bool = False


def sample(job: Job) -> Sample:
    """Train members at three of the rates for a few updates in the loop.

    Raises:
        UnfitError: the trial's own code raised an exception.
        InputError: the trial itself is wrong.
    """
    seed, lrs = shards(job.members)[0]
    chosen = sorted({sorted(lrs)[len(lrs) * part // 4] for part in (1, 2, 3)})
    same = replace(job, members=[(lr, seed) for lr in chosen], randomness="same")
    try:
        trainings = [Training(job.trial, lr, seed, job.batches[seed]) for lr in chosen]
        for training in trainings:
            check_start(job, seed, training.model)
        starts = [_copied(training.model) for training in trainings]
        grads: list[list[dict[str, Tensor | None]]] = []
        seconds: list[float] = []
        with _tensor_hooks() as hooks:
            for _ in range(min(UPDATES, job.trial.steps)):
                started = time.perf_counter()
                for training in trainings:
                    training.advance(1, training.trial.factors(training.optimizer))
                seconds.append((time.perf_counter() - started) / len(trainings))
                grads.append([_grads(training.model) for training in trainings])
    except InputError:
        raise
    except Exception as error:
        raise UnfitError(f"a member of it raised {brief(error)}") from error
    usual = min(seconds[1:], default=seconds[0])
    return Sample(same, seed, trainings, starts, grads, usual, bool(hooks))


@contextmanager
def _tensor_hooks() -> Generator[list[bool]]:
    """Yield a list that gets an entry for each gradient hook given to a tensor in the block."""
    own = Tensor.register_hook
    hooked: list[bool] = []

    def register(tensor: Tensor, hook: Any) -> Any:
        hooked.append(True)
        return own(tensor, hook)

    Tensor.register_hook = register  # type: ignore[method-assign]
    try:
        yield hooked
    finally:
        Tensor.register_hook = own  # type: ignore[method-assign]


def check_agreement(alone: Sample) -> None:
    """Compare the first fused updates of the same members with those of the loop.

    Raises:
        UnfitError: they differ, or the trial cannot be fused.
    """
    if alone.hooked:  # in a stack no tensor says that it requires a gradient
        raise UnfitError("it gives tensors gradient hooks, which would not be called")
    _compare(alone)


def _compare(alone: Sample) -> None:
    job = alone.job
    mixed = job.trial.autocast is not None
    compare = _Comparison(ROUNDING_AUTOCAST if mixed else ROUNDING, mixed=mixed)
    try:
        fused = Shard(job, [lr for lr, _ in job.members], alone.seed)
        for number, grads in enumerate(alone.grads):
            fused.advance(1)
            for index, (training, own) in enumerate(zip(alone.trainings, grads, strict=True)):
                if len(training.losses) > number and math.isfinite(training.losses[number]):
                    compare.grads(own, fused.stack.grads(index), first=number == 0)
        curves = fused.curves()
        for index, training in enumerate(alone.trainings):
            compare.losses(training.losses, curves[index])
            if training.finite:
                ends = _copied(training.model), _copied(fused.stack.member(index))
                compare.tensors(*ends, alone.starts[index])
        _compare_judgement(alone, fused, compare)
    except InputError:
        raise
    except Exception as error:
        raise UnfitError(reason(error)) from error


def refuse_leftovers(alone: Sample) -> None:
    """Refuse a trial whose own code kept tensors of a stack where a training alone meets them.

    Raises:
        InputError: it did.
    """
    job = alone.job
    lr = job.members[0][0]
    try:
        Training(job.trial, lr, alone.seed, job.batches[alone.seed]).advance(1, lambda _: 1.0)
    except Exception as error:
        if "vmap" not in str(error):  # it is told of the member in which it is raised again
            return
        raise InputError(
            "the trial keeps tensors from one update to the next outside of its model (in a "
            "closure or a global), where they mix members: keep them in a buffer of the model, or "
            "give backend='loop'."
        ) from error


def _compare_judgement(alone: Sample, fused: Shard, compare: "_Comparison") -> None:
    """Compare what the members are judged by, where a model in eval mode may do other things."""
    if alone.job.trial.validate is None:
        return
    members = fused.judge()
    for index in {0, len(members) - 1}:
        if members[index].error:
            raise UnfitError(
                f"validation of its stacked model raised {brief(members[index].error)}"
            )
        own = alone.trainings[index]
        first = own.losses[0]
        compare.losses([first, own.judge()], [first, members[index].loss], evaluated=True)


def _grads(model: nn.Module) -> dict[str, Tensor | None]:
    return {
        name: None if p.grad is None else p.grad.detach().clone()
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def _copied(model: nn.Module) -> dict[str, Tensor]:
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    return {name: tensor.detach().clone() for name, tensor in tensors}


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float64))


class _Comparison:
    """What was trained in the loop beside what was trained in the stack; NaN differs from all.

    Args:
        rounding: relative difference that may be rounding.
        mixed: whether precision is mixed, which is told.
    """

    def __init__(self, rounding: float, *, mixed: bool = False) -> None:
        self._rounding = rounding
        self._where = " in mixed precision" if mixed else ""
        self._seen: dict[str, Tensor] = {}
        """The largest size that each element of a gradient has had, of all members."""
        self._chance = 0.0
        """How far elements moved whose gradient is rounding."""

    def grads(
        self, alone: dict[str, Tensor | None], fused: dict[str, Tensor | None], *, first: bool
    ) -> None:
        """Compare the gradients of one update; after the first, which all begin alike, less."""
        allowed = self._rounding if first else max(self._rounding, GROWTH)
        sizes = {name: float(_wide(g).norm()) for name, g in alone.items() if g is not None}
        slack = self._rounding * NEGLIGIBLE * max(sizes.values(), default=0.0)
        for name, grad in alone.items():
            other = fused[name]
            if grad is None or other is None:
                same = grad is other
            else:
                same = float((_wide(grad) - _wide(other)).norm()) <= allowed * sizes[name] + slack
                seen = self._seen.get(name, torch.zeros_like(grad.abs()))
                self._seen[name] = torch.maximum(seen, grad.abs())
            if not same:
                raise UnfitError(
                    f"the gradient of its parameter {name!r} comes out different{self._where}"
                )

    def losses(self, alone: list[float], fused: list[float], *, evaluated: bool = False) -> None:
        """Compare the losses before each update, or a first loss and one in eval mode."""
        finite = [loss for loss in alone if math.isfinite(loss)]
        moved = max((abs(loss - finite[0]) for loss in finite), default=0.0)
        by_chance = evaluated and self._chance > 0  # it shows there, as a bias before BatchNorm
        rounding = CHANCE if by_chance else self._rounding
        allowed = rounding * abs(finite[0] if finite else 0.0) + GROWTH * moved
        for number, (loss, other) in enumerate(
            itertools.zip_longest(alone, fused, fillvalue=math.nan)
        ):
            lost = not math.isfinite(loss) and not math.isfinite(other)
            if not (lost or abs(loss - other) <= allowed):
                if evaluated:
                    raise UnfitError("its validation loss comes out different")
                raise UnfitError(f"its loss comes out different at update {number}")

    def tensors(
        self, alone: dict[str, Tensor], fused: dict[str, Tensor], start: dict[str, Tensor]
    ) -> None:
        """Compare where parameters and buffers moved to.

        But for elements whose gradient is rounding, as that of a bias before BatchNorm: Adam moves
        them by the lr in a direction of chance.
        """
        largest = max(
            (float(seen.max()) for seen in self._seen.values() if seen.numel()), default=0.0
        )
        clear = {
            name: seen > self._rounding * NEGLIGIBLE * largest for name, seen in self._seen.items()
        }
        self._chance = math.fsum(
            float((alone[name] - start[name])[~sure].norm()) for name, sure in clear.items()
        )
        for name, end in alone.items():
            own, other, before = (_wide(each) for each in (end, fused[name], start[name]))
            if name in clear:
                sure = clear[name]
                own, other, before = own[sure], other[sure], before[sure]
                allowed = self._rounding * float(before.norm())
            else:  # a buffer or a frozen parameter: as it was, or moved as in the loop
                allowed = 2 * self._chance
            moved = float((own - before).norm())
            if not (float((own - other).norm()) <= GROWTH * moved + allowed):
                raise UnfitError(f"its tensor {name!r} comes out different after {UPDATES} updates")
