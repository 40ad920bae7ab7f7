"""Small real tasks for the benchmarks: no download, seconds each on one core.

The split into tuning and report tasks was fixed before the first result: thresholds and defaults
are chosen on TUNING, numbers are reported on REPORT.
"""

import itertools

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
