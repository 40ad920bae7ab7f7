"""Small real tasks for the benchmarks: no download, seconds each on one core.

The split into tuning and report tasks was fixed before the first result: thresholds and defaults
are chosen on TUNING, numbers are reported on REPORT.
"""

import itertools

import numpy as np
import sklearn.utils
import torch
from sklearn import datasets
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf

BATCH = 32


def _tensors(bunch, *, regression=False, standard=True):
    x = torch.tensor(bunch.data, dtype=torch.float32)
    y = torch.tensor(bunch.target)
    x = (x - x.mean(0)) / (x.std(0) + 1e-6) if standard else x / x.max()
    if regression:
        y = ((y.float() - y.float().mean()) / y.float().std()).unsqueeze(1)
    return x, y


def _trial(name, x, y, model, optimizer, loss, steps=400):
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    held_out, kept = order[: len(x) // 5], order[len(x) // 5 :]
    return sf.Trial(
        model=model,
        optimizer=optimizer,
        loss=loss,
        train=DataLoader(TensorDataset(x[kept], y[kept]), BATCH, shuffle=True, drop_last=True),
        validate=[(x[held_out], y[held_out])],
        steps=steps,
        name=name,
    )


def sgd(momentum=0.0):
    return lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)


def adam(model, lr):
    return torch.optim.Adam(model.parameters(), lr=lr)


def rmsprop(model, lr):
    return torch.optim.RMSprop(model.parameters(), lr=lr)


def mlp(*sizes, activation=nn.ReLU, norm=False):
    def make():
        layers = []
        for index, (a, b) in enumerate(itertools.pairwise(sizes)):
            layers.append(nn.Linear(a, b))
            if index < len(sizes) - 2:
                layers += ([nn.BatchNorm1d(b)] if norm else []) + [activation()]
        return nn.Sequential(*layers)

    return make


def cnn():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def tuning_tasks():
    """Four tasks on which thresholds and defaults are chosen."""
    digits, cancer = datasets.load_digits(), datasets.load_breast_cancer()
    x, y = _tensors(digits, standard=False)
    cx, cy = _tensors(cancer)
    entropy = nn.functional.cross_entropy
    return [
        _trial("digits MLP, momentum", x, y, mlp(64, 64, 10), sgd(0.9), entropy),
        _trial("digits MLP, Adam", x, y, mlp(64, 64, 10), adam, entropy),
        _trial("cancer logistic, SGD", cx, cy, mlp(30, 2), sgd(), entropy),
        _trial(
            "digits autoencoder, momentum", x, x, mlp(64, 16, 64), sgd(0.9), nn.functional.mse_loss
        ),
    ]


def report_tasks():
    """Five tasks that chose nothing."""
    digits, wine = datasets.load_digits(), datasets.load_wine()
    diabetes, iris = datasets.load_diabetes(), datasets.load_iris()
    x, y = _tensors(digits, standard=False)
    wx, wy = _tensors(wine)
    dx, dy = _tensors(diabetes, regression=True)
    ix, iy = _tensors(iris)
    generated = datasets.make_classification(
        3000, 40, n_informative=20, n_classes=5, random_state=0
    )
    gx = torch.tensor(generated[0], dtype=torch.float32)
    gy = torch.tensor(generated[1])
    entropy = nn.functional.cross_entropy
    return [
        _trial("digits CNN, SGD", x, y, cnn, sgd(), entropy),
        _trial("wine MLP, RMSprop", wx, wy, mlp(13, 32, 3), rmsprop, entropy),
        _trial(
            "diabetes tanh MLP, momentum",
            dx,
            dy,
            mlp(10, 32, 1, activation=nn.Tanh),
            sgd(0.9),
            nn.functional.mse_loss,
        ),
        _trial("generated BatchNorm, Adam", gx, gy, mlp(40, 64, 64, 5, norm=True), adam, entropy),
        _trial("iris deep MLP, SGD", ix, iy, mlp(4, 32, 32, 32, 3), sgd(), entropy),
    ]


def more_report_tasks():
    """Four more that chose nothing, for the statistics of sweeps."""
    digits, cancer = datasets.load_digits(), datasets.load_breast_cancer()
    x, y = _tensors(digits)
    cx, cy = _tensors(cancer)
    wx, wy = _tensors(datasets.load_wine())
    features, target = datasets.make_friedman1(2000, 10, noise=1.0, random_state=0)
    fx = torch.tensor(features, dtype=torch.float32)
    fy = torch.tensor((target - target.mean()) / target.std(), dtype=torch.float32).unsqueeze(1)
    entropy = nn.functional.cross_entropy
    return [
        _trial("digits BatchNorm MLP, SGD", x, y, mlp(64, 64, 10, norm=True), sgd(), entropy),
        _trial("cancer MLP, momentum", cx, cy, mlp(30, 32, 2), sgd(0.9), entropy),
        _trial("wine tanh MLP, Adam", wx, wy, mlp(13, 32, 3, activation=nn.Tanh), adam, entropy),
        _trial("friedman MLP, Adam", fx, fy, mlp(10, 64, 64, 1), adam, nn.functional.mse_loss),
    ]


class Residual(nn.Module):
    """Two blocks of a linear layer, LayerNorm and ReLU, each beside the identity."""

    def __init__(self, inputs, width, outputs):
        super().__init__()
        self.first, self.last = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU()) for _ in range(2)
        )

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def halving_tasks():
    """Nine made after the rule of halving and its default grid were fixed; they chose nothing."""
    x, y = _tensors(datasets.load_digits(), standard=False)
    cx, cy = _tensors(datasets.load_breast_cancer())
    dx, dy = _tensors(datasets.load_diabetes(), regression=True)
    entropy, square = nn.functional.cross_entropy, nn.functional.mse_loss

    def made(make, size, *, regression=False, **options):
        bunch = sklearn.utils.Bunch(
            **dict(
                zip(
                    ("data", "target"), make(n_samples=size, random_state=0, **options), strict=True
                )
            )
        )
        if not regression:  # classes from 0
            bunch.target = (bunch.target - bunch.target.min()).astype(int)
            bunch.target = np.unique(bunch.target, return_inverse=True)[1]
        return _tensors(bunch, regression=regression)

    moons = made(datasets.make_moons, 1500, noise=0.2)
    hastie = made(datasets.make_hastie_10_2, 3000)
    rings = made(datasets.make_gaussian_quantiles, 3000, n_features=12, n_classes=4)
    second = made(datasets.make_friedman2, 2000, noise=50.0, regression=True)
    third = made(datasets.make_friedman3, 2000, noise=0.1, regression=True)

    def adamw(model, lr):
        return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)

    def adagrad(model, lr):
        return torch.optim.Adagrad(model.parameters(), lr=lr)

    tanh = {"activation": nn.Tanh}
    return [
        _trial("digits residual, AdamW", x, y, lambda: Residual(64, 48, 10), adamw, entropy),
        _trial("digits CNN, Adam", x, y, cnn, adam, entropy),
        _trial("moons MLP, momentum", *moons, mlp(2, 32, 32, 2), sgd(0.9), entropy),
        _trial("hastie MLP, Adam", *hastie, mlp(10, 64, 2), adam, entropy),
        _trial("rings BatchNorm, AdamW", *rings, mlp(12, 64, 64, 4, norm=True), adamw, entropy),
        _trial("friedman2 tanh MLP, RMSprop", *second, mlp(4, 48, 1, **tanh), rmsprop, square),
        _trial("friedman3 MLP, SGD", *third, mlp(4, 48, 48, 1), sgd(), square),
        _trial("diabetes MLP, Adam", dx, dy, mlp(10, 32, 1), adam, square),
        _trial("cancer deep MLP, Adagrad", cx, cy, mlp(30, 32, 32, 2), adagrad, entropy),
    ]
