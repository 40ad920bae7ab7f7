"""One model in training at one learning rate and seed, advanced as far as one asks."""

import cmath
import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._engine import groups
from surefoot._engine.batches import Batches, copied, plain, sample_count
from surefoot._engine.random_state import RandomState
from surefoot._engine.snapshot import Snapshot
from surefoot._engine.trial import Trial
from surefoot.errors import InputError

__all__ = [
    "DETACHED",
    "Training",
    "check_rates",
    "evaluate",
    "first_change",
    "judge",
    "sums",
    "untrained_loss",
    "usual_rate",
]

DETACHED = (
    "the loss does not depend on any trainable parameter (it was detached, or computed under "
    "no_grad): no learning rate could change it."
)


class Training:
    """One training of a trial: built under its seed, advanced update by update, judged when asked.

    Its random generators are its own: whatever runs between two calls changes nothing in it, and
    it changes nothing outside.

    Args:
        trial: how to build and train.
        lr: learning rate that the trial's optimizer function is given, > 0.
        seed: seed of the weights and of all that is random in training.
        batches: the batches of that seed.
        noise: seed of all that is random once the model is built; None goes on from there.
    """

    def __init__(
        self, trial: Trial, lr: float, seed: int, batches: Batches, *, noise: int | None = None
    ) -> None:
        self.trial = trial
        self.lr = lr
        self.seed = seed
        self.losses: list[float] = []
        self._batches = batches
        self._random = RandomState.seeded(seed)
        with self._random.active():
            self.model, self.optimizer = trial.build(lr)
            self.model.train()
        if noise is not None:
            self._random = RandomState.seeded(noise)
        self._base = groups.read(self.optimizer)

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return len(self.losses) - (0 if self.finite else 1)

    @property
    def finite(self) -> bool:
        """Whether every loss so far was finite; a member that is not stops."""
        return not self.losses or math.isfinite(self.losses[-1])

    def advance(
        self,
        updates: int,
        factor: Callable[[int], float],
        *,
        stop: Callable[[list[float]], bool] | None = None,
    ) -> None:
        """Make up to ``updates`` further updates.

        Args:
            updates: how many, ≥ 0.
            factor: update number → what to multiply the base learning rates by.
            stop: asked after each update with all losses so far; True ends the call.
        """
        with self._random.active():
            for _ in range(updates):
                if not self.finite:
                    return
                self._update(factor(len(self.losses)))
                if stop is not None and stop(self.losses):
                    return

    def look(self, count: int) -> list[float]:
        """Return the losses that ``count`` updates would begin with, but make none of them."""
        trial, parts, found = self.trial, self.trial.accumulate, []
        with self._random.active(), torch.set_grad_enabled(trial.objective is not None):
            for first in range(0, count * parts, parts):
                batches = (self._batches[first + part] for part in range(parts))
                losses = [trial.compute_loss(self.model, batch).item() for batch in batches]
                found.append(sum(losses) / parts)
        return found

    def judge(self) -> float:
        """Return the loss that it is judged by; see :func:`judge`."""
        return judge(self.trial, self.model, self.losses, self._random)

    def judge_on_the_way(self) -> float:
        """Return the same, and leave model and generators as if it had not been asked."""
        random = copy.copy(self._random)
        with Snapshot([self.model]):
            return judge(self.trial, self.model, self.losses, random)

    def _update(self, factor: float) -> None:
        trial = self.trial
        groups.write(self.optimizer, [base * factor for base in self._base])
        self.optimizer.zero_grad()
        total = 0.0
        parts = trial.accumulate
        first = len(self.losses) * parts
        for number in range(first, first + parts):
            loss = trial.compute_loss(self.model, self._batches[number])
            if not loss.requires_grad:
                raise InputError(DETACHED)
            total += loss.item() / parts
            if not math.isfinite(total):
                break
            (loss if parts == 1 else loss / parts).backward()
        self.losses.append(total)
        if not math.isfinite(total):
            return
        if trial.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), trial.clip_norm)
        self.optimizer.step()


def judge(trial: Trial, model: nn.Module, losses: Sequence[float], random: RandomState) -> float:
    """Return the loss that a training is judged by: lower is better; inf if it is not finite.

    That is the validation loss where there is a validation set, else the mean training loss of
    the last tenth of its updates.

    Args:
        trial: how it was trained.
        model: the trained model.
        losses: the training loss before each update; the last is not finite if it stopped there.
        random: the generators that validation draws from.
    """
    if losses and not math.isfinite(losses[-1]):
        return math.inf
    if trial.validate is None:
        last = losses[-max(1, len(losses) // 10) :]
        return sum(last) / len(last)
    with random.active():
        value = evaluate(trial, model)
    return value if math.isfinite(value) else math.inf


def usual_rate(trial: Trial, optimizer: Optimizer | None = None) -> float:
    """Return the rate at which the trial's fastest group has the usual one of its optimizer.

    Args:
        trial: how to build it.
        optimizer: what :func:`check_rates` returned, if that was called already.

    Raises:
        InputError: see :func:`check_rates`.
    """
    optimizer = optimizer or check_rates(trial)
    return groups.default_lr(optimizer) * 1e-3 / max(groups.read(optimizer))


def check_rates(trial: Trial) -> Optimizer:
    """Return an optimizer of the trial, built at 1e-3; refuse one that does not follow its rate.

    Raises:
        InputError: built at a rate ten times larger, a group's lr is not ten times larger.
    """
    with RandomState.seeded(trial.seed).active():
        optimizers = [trial.build(lr)[1] for lr in (1e-3, 1e-2)]
    low, high = map(groups.read, optimizers)
    follows = (math.isclose(b, 10 * a, rel_tol=1e-2) for a, b in zip(low, high, strict=False))
    if len(low) != len(high) or not all(follows):
        raise InputError(
            "optimizer must use the lr that it is given, in every parameter group in proportion; "
            f"given 1e-3 its groups have {list(low)}, given 1e-2 they have {list(high)}."
        )
    return optimizers[0]


def evaluate(trial: Trial, model: nn.Module) -> float:
    """Return the validation loss, averaged over samples, in eval mode; flags are put back.

    Raises:
        InputError: the validation set is empty, or the validation function returns no number or
            changes the model.
    """
    if trial.validate is None:
        raise InputError("the trial has no validate to evaluate on.")
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            if callable(trial.validate):
                return _ask(trial.validate, model)
            return _average(trial, model)
    finally:
        for module, flag in flags:
            module.training = flag


def _ask(validate: Callable[[nn.Module], float], model: nn.Module) -> float:
    """Return what the user's function says of the model, which it must leave as it was."""
    before = sums(_tensors(model))
    value = checks.number("validate(model)", plain(validate(model)), finite=False)
    changed = first_change(before, sums(_tensors(model)))
    if changed is not None:
        raise InputError(
            f"validate must only measure; it changed {changed!r} of the model. Does it train, "
            "or put the model into train mode, so that BatchNorm's statistics move?"
        )
    return value


def sums(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, complex]:
    """Return the sum of each named tensor, which takes no memory and shows a change."""
    return {name: _sum(each.detach()) for name, each in tensors}


def first_change(before: dict[str, complex], after: dict[str, complex]) -> str | None:
    """Return the name of the first tensor whose sum changed, None if none did."""
    return next((name for name in after if not _same(after[name], before.get(name))), None)


def _sum(tensor: torch.Tensor) -> complex:
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    return complex(tensor.sum(dtype=wide).item())


def _same(a: complex, b: complex | None) -> bool:
    return b is not None and (a == b or (cmath.isnan(a) and cmath.isnan(b)))


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _average(trial: Trial, model: nn.Module) -> float:
    total, samples = 0.0, 0
    for batch in trial.validate:  # type: ignore[union-attr]
        count = sample_count(batch)
        with torch.set_grad_enabled(trial.objective is not None):  # which may ask for gradients
            total += float(trial.compute_loss(model, copied(batch)).detach()) * count
        samples += count
    if not samples:
        raise InputError("validate must hold at least one batch; it is empty.")
    return total / samples


def untrained_loss(trial: Trial, seed: int, batches: Batches) -> float:
    """Return the loss of the untrained model, measured as :meth:`Training.judge` measures it.

    Without a validation set: on the batches of the first tenth of the budget, ten updates at most.
    """
    training = Training(trial, 1e-3, seed, batches)
    if trial.validate is not None:
        with training._random.active():
            return evaluate(trial, training.model)
    count = min(max(1, trial.steps // 10), 10) * trial.accumulate
    with training._random.active(), torch.set_grad_enabled(trial.objective is not None):
        losses = [trial.compute_loss(training.model, batches[i]).detach() for i in range(count)]
    return sum(map(float, losses)) / count
