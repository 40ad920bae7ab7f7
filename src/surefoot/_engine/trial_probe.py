"""Short trainings of a trial: each builds a fresh model under the trial's seed."""

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any

import torch
from torch.utils.data import DataLoader

from surefoot._engine.batches import Batches, sample_count
from surefoot._engine.free import free_memory
from surefoot._engine.plan import beta2
from surefoot._engine.probe import ProbeRun, Stop, judge_at, window
from surefoot._engine.training import Training, check_rates, usual_rate
from surefoot._engine.trial import Trial

__all__ = ["TrialProbe"]

FORWARD = 1 / 3
"""What a forward pass costs, in updates."""

KEPT_SHARE = 0.5
"""Of the memory that is free, so much may be filled with trainings that wait."""


class TrialProbe:
    """Short trainings of a trial; see :class:`~surefoot._engine.probe.Probe`.

    Those at one rate are kept as far as memory allows, so that they can go on.

    Args:
        trial: how to build and train.
    """

    reference_cost = FORWARD

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._batches = Batches(trial.train, trial.seed)
        self._kept: dict[float, Training] = {}
        self.steps = trial.steps
        self.name = trial.name
        self.metric = trial.metric
        optimizer = check_rates(trial)
        self.default_lr = usual_rate(trial, optimizer)
        self.beta2 = beta2(optimizer)
        self.pass_cost = self._pass_cost()

    def reference(self, count: int) -> list[float]:
        """Compute losses without training; see :meth:`Probe.reference`."""
        return self._begin(1e-3).look(count)

    def range_test(self, lrs: Sequence[float], stop: Stop) -> list[float]:
        """Train a fresh model; see :meth:`Probe.range_test`."""
        training = self._begin(max(lrs))
        training.advance(len(lrs), _factors(lrs), stop=stop)
        return training.losses

    def untrained(self) -> float | None:
        """Judge a fresh model; see :meth:`Probe.untrained`."""
        return None if self._trial.validate is None else self._begin(1e-3).judge()

    def updates_of(self, lr: float) -> int:
        """Look for a training that was kept; see :meth:`Probe.updates_of`."""
        return self._kept[lr].updates if lr in self._kept else 0

    def train(self, lrs: Sequence[float], marks: Sequence[int]) -> ProbeRun:
        """Train a fresh model, or one that was kept; see :meth:`Probe.train`."""
        peak, constant = max(lrs), len(set(lrs)) == 1
        goes_on = constant and marks[0] > self.updates_of(peak)
        kept = self._kept.pop(peak, None) if goes_on else None
        training = kept or self._begin(peak)
        before = training.updates

        def train_to(mark: int) -> bool:
            training.advance(mark - len(training.losses), _factors(lrs))
            return training.finite

        judged = judge_at(marks, train_to, lambda _: self._judge(training))
        if constant and training.finite and self._fits(training):
            self._kept[peak] = training
        return ProbeRun(training.updates - before, judged)

    def _begin(self, lr: float) -> Training:
        return Training(self._trial, lr, self._trial.seed, self._batches)

    def _judge(self, training: Training) -> float:
        validated = self._trial.validate is not None
        return training.judge_on_the_way() if validated else window(training.losses)

    def _fits(self, training: Training) -> bool:
        """Return whether one more of these trainings may stay in memory."""
        tensors = [*training.model.parameters(), *training.model.buffers()]
        for state in training.optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
        size = sum(2 * each.nbytes for each in tensors)  # gradients, and what a judgement copies
        return size < KEPT_SHARE * free_memory(tensors[0].device)

    def _pass_cost(self) -> float | None:
        """Return what a validation pass costs, in updates, by the number of samples."""
        trial = self._trial
        samples = _samples(trial.validate)
        if samples is None:
            return None
        batch = sample_count(self._batches[0]) * trial.accumulate
        return FORWARD * samples / batch


def _factors(lrs: Sequence[float]) -> Callable[[int], float]:
    peak = max(lrs)
    return lambda update: lrs[update] / peak


def _samples(source: Iterable[Any] | Callable[..., float] | None) -> int | None:
    """Return how many samples there are to judge on, if that can be told without drawing them."""
    if source is None:
        return 0
    data = source.dataset if isinstance(source, DataLoader) else None
    if isinstance(data, Sized):
        return len(data)
    if isinstance(source, (list, tuple)):
        return sum(map(sample_count, source))
    return None
