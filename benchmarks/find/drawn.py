"""Trainings drawn at random whose rate decays, from which ``find`` learns.

Few of the tuning workloads have a schedule, so these are added: small models of many kinds on
bundled and generated data that no workload of the report uses (but for the digits, which both do).
Training number n is drawn from a generator seeded with n, so the list never changes.
"""

import data
import numpy as np
import torch
import workloads
from models import Residual, cnn, mlp
from torch import nn

__all__ = ["drawn"]

NUMBERS = range(2, 50, 3)

ACTIVATIONS = (nn.ReLU, nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.SiLU)
NORMS = (None, None, None, nn.BatchNorm1d, nn.LayerNorm)
DECAYS = (
    "linear()",
    "cosine()",
    "warmup('10%') >> cosine()",
    "warmup('5%') >> hold() >> linear('30%')",
)
OPTIMIZERS = {
    "SGD": workloads.sgd(),
    "momentum": workloads.MOMENTUM,
    "Nesterov": workloads.NESTEROV,
    "SGD, weight decay": workloads.sgd(0.9, weight_decay=1e-3),
    "Adam": workloads.ADAM,
    "AdamW": workloads.ADAMW,
    "RMSprop": workloads.RMSPROP,
    "Adagrad": workloads.ADAGRAD,
    "NAdam": workloads.of(torch.optim.NAdam),
}
WEIGHTS = np.array([3, 3, 1, 1, 4, 3, 1.5, 1, 0.5])


def drawn():
    """Return the drawn trainings."""
    return [_draw(number) for number in NUMBERS]


def _draw(number):
    rng = np.random.default_rng(number)
    source = SOURCES[int(rng.integers(len(SOURCES)))]
    (x, y), classes = source(rng)
    scale = float(10 ** rng.normal(0, 0.25)) if rng.random() < 0.3 else 1.0
    kind = rng.choice(list(OPTIMIZERS), p=WEIGHTS / WEIGHTS.sum())
    make = _model(rng, x.shape[1], classes or y.shape[1], pictures=x.shape[1] == 64)
    loss = workloads.ENTROPY if classes else workloads.SQUARE
    return workloads.workload(
        *(f"drawn {number}, {kind}", (x * scale, y), make, OPTIMIZERS[str(kind)], loss),
        steps=int(rng.choice([100, 200, 300, 500, 800])),
        batch=int(rng.choice([16, 32, 64, 128])),
        schedule=str(rng.choice(DECAYS)),
        clip_norm=1.0 if rng.random() < 0.15 else None,
    )


def _model(rng, inputs, outputs, *, pictures):
    if pictures and rng.random() < 0.3:
        return cnn(
            norm=bool(rng.random() < 0.4), dropout=float(rng.choice([0, 0.2])), outputs=outputs
        )
    width = int(rng.choice([16, 32, 64, 128]))
    if rng.random() < 0.15:
        blocks = int(rng.integers(1, 5))
        return lambda: Residual(inputs, width, outputs, blocks)
    depth = int(rng.choice([0, 1, 1, 2, 2, 3, 4]))
    activation, norm = (kinds[int(rng.integers(len(kinds)))] for kinds in (ACTIVATIONS, NORMS))
    dropout = float(rng.choice([0, 0, 0, 0.2])) if depth else 0.0
    options = {"activation": activation, "norm": norm if depth else None, "dropout": dropout}
    return mlp(inputs, *[width] * depth, outputs, **options)


def _classes(rng):
    classes = int(rng.integers(2, 8))
    return data.generated(
        *("classification", int(rng.choice([600, 1500, 3000]))),
        n_features=int(rng.integers(10, 60)),
        n_informative=int(rng.integers(5, 10)),
        n_classes=classes,
        class_sep=float(rng.choice([0.5, 1.0, 2.0])),
        flip_y=float(rng.choice([0.0, 0.01, 0.1, 0.3])),
    ), classes


def _regression(rng):
    return data.generated(
        *("regression", int(rng.choice([400, 1500, 3000]))),
        regression=True,
        n_features=int(rng.integers(5, 60)),
        n_informative=5,
        effective_rank=int(rng.choice([3, 8, 20])),
        noise=float(rng.choice([0.0, 0.5, 2.0])),
    ), None


def _friedman(rng):
    name = str(rng.choice(["friedman1", "friedman3"]))
    noise = float(rng.choice([0.0, 0.1, 1.0])) * (1.0 if name == "friedman1" else 0.1)
    return data.generated(name, 2000, noise=noise, regression=True), None


def _plane(rng):
    name = str(rng.choice(["moons", "circles"]))
    return data.generated(name, 1500, noise=float(rng.choice([0.05, 0.1, 0.3]))), 2


def _roll(rng):
    x, y = data.generated("swiss_roll", 2000, noise=float(rng.choice([0.0, 0.5])), regression=True)
    return (x, y), None


def _blobs(rng):
    spread = float(rng.choice([2.0, 5.0, 8.0]))
    return data.generated("blobs", 2000, centers=8, n_features=8, cluster_std=spread), 8


def _bundled(rng):
    name, classes = [("iris", 3), ("wine", 3), ("breast_cancer", 2)][int(rng.integers(3))]
    return data.bundled(name), classes


def _diabetes(_):
    return data.bundled("diabetes", regression=True), None


def _digits(_):
    return data.digits(), 10


def _codes(_):
    x, _ = data.digits()
    return (x, x), None


SOURCES = (
    _classes,
    _classes,
    _regression,
    _friedman,
    _plane,
    _roll,
    _blobs,
    _bundled,
    _diabetes,
    _digits,
    _digits,
    _codes,
)
