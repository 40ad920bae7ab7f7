"""What the demo trains: a small MLP with BatchNorm on scikit-learn's handwritten digits."""

from typing import Any

import torch
from torch import nn

from surefoot._base.lazy import need
from surefoot._engine.trial import Trial
from surefoot.schedules import Schedule

__all__ = ["STEPS", "digits_trial"]

STEPS = 300
BATCH = 64
HELD_OUT = 397


def digits_trial(*, seed: int = 0, schedule: Schedule | None = None, name: str = "") -> Trial:
    """Return the trial: 64 – 128 – 10 with BatchNorm, SGD with momentum, 300 updates of 64 images.

    Args:
        seed: seed of the first member.
        schedule: what multiplies the rate; None is a constant one.
        name: what to call it.
    """
    train, validate = _digits()
    return Trial(
        model=_mlp,
        loss=nn.functional.cross_entropy,
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),
        train=train,
        validate=[validate],
        steps=STEPS,
        schedule=schedule,
        seed=seed,
        name=name or "digits MLP with BatchNorm",
    )


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))


class _Shuffled:
    """Batches in another order at each pass, drawn from the generator of whoever iterates."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self._images, self._labels = images, labels

    def __iter__(self) -> Any:
        for picks in torch.randperm(len(self._images)).split(BATCH):
            if len(picks) == BATCH:
                yield self._images[picks], self._labels[picks]


def _digits() -> tuple[_Shuffled, tuple[torch.Tensor, torch.Tensor]]:
    datasets = need("sklearn.datasets", "for the demo's data")
    digits = datasets.load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held_out, kept = order[:HELD_OUT], order[HELD_OUT:]
    return _Shuffled(images[kept], labels[kept]), (images[held_out], labels[held_out])
