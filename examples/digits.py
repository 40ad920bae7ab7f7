"""Handwritten digits (1,797 real 8 × 8 images that ship with scikit-learn) and a small MLP.

Try it:

    surefoot find examples/digits.py:trial
    surefoot sweep examples/digits.py:trial --lrs 1e-5:1:4
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf


def load(validation: int = 397) -> tuple[TensorDataset, TensorDataset]:
    """Return the training and the validation set, split under a fixed seed."""
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held_out, kept = order[:validation], order[validation:]
    return (
        TensorDataset(images[kept], labels[kept]),
        TensorDataset(images[held_out], labels[held_out]),
    )


def mlp() -> nn.Module:
    """Return a fresh classifier: 64 – 128 – 10."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


training_set, validation_set = load()

trial = sf.Trial(
    model=mlp,
    loss=nn.functional.cross_entropy,
    optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),
    train=DataLoader(training_set, batch_size=64, shuffle=True, drop_last=True),
    validate=DataLoader(validation_set, batch_size=397),
    steps=300,
    name="digits MLP, SGD with momentum",
)
