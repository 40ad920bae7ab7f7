"""The workloads on which ``find`` is tuned and reported.

**The split**, written down before the first result: the eleven that ``find`` was compared on before
(:data:`KNOWN`) are for tuning. The others are ordered by the CRC-32 of their names; those at
places 1, 3, 5, … are for tuning, those at 0, 2, 4, … for the report. Nothing may be chosen by a
result on the report's.

No workload needs a download, and each takes seconds on one core.
"""

import functools
import zlib
from dataclasses import dataclass
from typing import Any

import data
import models
import torch
from models import mlp
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf

__all__ = ["WORKLOADS", "Workload", "report", "tuning"]

ADAPTIVE, PLAIN = (1e-5, 10.0), (1e-4, 100.0)
"""The rates of the oracle's grid: for optimizers that scale each step, and for SGD."""

ENTROPY, SQUARE = functional.cross_entropy, functional.mse_loss


@dataclass(frozen=True)
class Workload:
    """How to train one model, and between which rates the oracle looks.

    Args:
        trial: what ``find`` is given.
        rates: ends of the oracle's grid.
        floor: the least value that the loss can take; None if there is none.
    """

    trial: sf.Trial
    rates: tuple[float, float]
    floor: float | None = 0.0

    @property
    def name(self) -> str:
        """What it is called."""
        return self.trial.name


def sgd(momentum=0.0, **options):
    return lambda model, lr: torch.optim.SGD(
        model.parameters(), lr=lr, momentum=momentum, **options
    )


def of(kind, **options):
    return lambda model, lr: kind(model.parameters(), lr=lr, **options)


ADAM, ADAMW = of(torch.optim.Adam), of(torch.optim.AdamW, weight_decay=0.05)
RMSPROP, ADAGRAD = of(torch.optim.RMSprop), of(torch.optim.Adagrad)
MOMENTUM, NESTEROV = sgd(0.9), sgd(0.9, nesterov=True)


def workload(
    name,
    xy,
    model,
    optimizer,
    loss,
    *,
    steps=300,
    batch=32,
    floor=0.0,
    validate=True,
    **options: Any,
):
    """Hold a fifth of the data out, for validation."""
    x, y = xy
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    out, kept = order[: len(x) // 5][:1000], order[len(x) // 5 :]
    probe = optimizer(nn.Linear(1, 1), 1e-3)
    trial = sf.Trial(
        model=model,
        optimizer=optimizer,
        loss=loss,
        train=DataLoader(TensorDataset(x[kept], y[kept]), batch, shuffle=True, drop_last=True),
        validate=[(x[out], y[out])] if validate else None,
        steps=steps,
        name=name,
        **options,
    )
    return Workload(trial, PLAIN if isinstance(probe, torch.optim.SGD) else ADAPTIVE, floor)


def of_words(output, target):
    return ENTROPY(output.flatten(0, 1), target.flatten())


def transformer(**options):
    return lambda: models.Transformer(data.KINDS, **options)


@functools.cache
def pretrained(kind):
    """Return the weights of a model that was trained on other data."""
    made, xy, loss = {
        "transformer": (transformer(), data.characters(3), of_words),
        "CNN": (models.cnn(outputs=5), data.digits((0, 1, 2, 3, 4)), ENTROPY),
    }[kind]
    trial = workload("", xy, made, ADAM, loss, steps=600).trial
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = made()
        optimizer = trial.optimizer(model, 3e-3)
        batches = [batch for _ in range(20) for batch in trial.train][: trial.steps]
        for x, y in batches:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    return model.state_dict()


def tuned(kind, make):
    """Return a function that makes a model with pretrained weights."""

    def made():
        model = make()
        model.load_state_dict(pretrained(kind))
        return model

    return made


def known():
    """Return the eleven on which finders were compared before."""
    x, y = data.digits()
    text = data.characters()
    mixture = data.generated(
        "classification", 3000, n_features=54, n_informative=24, n_classes=7, class_sep=1.0
    )
    norm = {"norm": nn.BatchNorm1d}
    return [
        workload("digits MLP, momentum", (x, y), mlp(64, 64, 10), MOMENTUM, ENTROPY),
        workload("digits MLP, Adam", (x, y), mlp(64, 64, 10), ADAM, ENTROPY),
        workload("digits CNN, SGD", (x, y), models.cnn(), sgd(), ENTROPY),
        workload("cancer logistic, SGD", data.bundled("breast_cancer"), mlp(30, 2), sgd(), ENTROPY),
        workload(
            *("diabetes MLP, Adam", data.bundled("diabetes", regression=True)),
            *(mlp(10, 64, 64, 1), ADAM, SQUARE),
        ),
        workload(
            "mixture BatchNorm, momentum", mixture, mlp(54, 64, 64, 7, **norm), MOMENTUM, ENTROPY
        ),
        workload(
            "text transformer, AdamW", text, transformer(), ADAMW, of_words, steps=200, batch=16
        ),
        workload(
            *("text GRU, Adam", text, lambda: models.Characters(nn.GRU, data.KINDS), ADAM),
            loss=of_words,
            steps=200,
            batch=16,
        ),
        workload("digits autoencoder, momentum", (x, x), mlp(64, 16, 64), MOMENTUM, SQUARE),
        workload("ill-conditioned linear, SGD", data.ill_conditioned(), mlp(20, 1), sgd(), SQUARE),
        workload(
            *("text fine-tuning, AdamW", data.characters(1)),
            *(tuned("transformer", transformer()), ADAMW, of_words),
            steps=200,
            batch=16,
        ),
    ]


def others():
    """Return all others, in no order."""
    x, y = data.digits()
    text, later = data.characters(), (5, 6, 7, 8, 9)
    generated, bundled = data.generated, data.bundled
    noisy = torch.where(
        torch.rand(len(y), generator=torch.Generator().manual_seed(0)) < 0.3, y.roll(1), y
    )
    tanh, norm = {"activation": nn.Tanh}, {"norm": nn.BatchNorm1d}
    moons = generated("moons", 2000, noise=0.15)
    rare = generated("classification", 3000, n_features=20, n_informative=8, weights=(0.93,))
    rings = generated("gaussian_quantiles", 3000, n_features=12, n_classes=4)
    friedman = generated("friedman1", 2000, noise=1.0, regression=True)
    friedman2 = generated("friedman2", 2000, noise=60.0, regression=True)
    users = {"users": 120, "items": 80}
    words = {"loss": of_words, "batch": 16}
    return [
        workload("moons tanh MLP, Nesterov", moons, mlp(2, 32, 32, 2, **tanh), NESTEROV, ENTROPY),
        workload("rings BatchNorm MLP, AdamW", rings, mlp(12, 64, 64, 4, **norm), ADAMW, ENTROPY),
        workload(
            "hastie MLP, Adagrad", generated("hastie_10_2", 3000), mlp(10, 64, 2), ADAGRAD, ENTROPY
        ),
        workload("friedman MLP, RMSprop", friedman, mlp(10, 48, 1), RMSPROP, SQUARE),
        workload(
            "friedman2 tanh MLP, SGD", friedman2, mlp(4, 48, 1, **tanh), sgd(), SQUARE, steps=600
        ),
        workload("rare classes MLP, Adam", rare, mlp(20, 48, 48, 2), ADAM, ENTROPY, batch=64),
        workload(
            "cancer MLP, RMSprop",
            bundled("breast_cancer"),
            mlp(30, 32, 2),
            RMSPROP,
            ENTROPY,
            steps=150,
        ),
        workload(
            "digits residual LayerNorm, AdamW",
            (x, y),
            lambda: models.Residual(64, 48, 10),
            ADAMW,
            ENTROPY,
        ),
        workload(
            *("digits deep sigmoid MLP, RMSprop", (x, y)),
            *(mlp(64, 48, 48, 10, activation=nn.Sigmoid), RMSPROP, ENTROPY),
        ),
        workload(
            "digits CNN BatchNorm, Nesterov",
            (x, y),
            models.cnn(norm=True),
            NESTEROV,
            ENTROPY,
            steps=200,
        ),
        workload("digits CNN dropout, Adam", (x, y), models.cnn(dropout=0.3), ADAM, ENTROPY),
        workload(
            *("digits ResNet, momentum, cosine", (x, y), models.ResNet),
            *(sgd(0.9, weight_decay=5e-4), ENTROPY),
            steps=200,
            schedule="cosine()",
        ),
        workload("digits patches transformer, AdamW", (x, y), models.Patches, ADAMW, ENTROPY),
        workload(
            *("digits noisy labels MLP, SGD", (x, noisy), mlp(64, 128, 10), sgd(), ENTROPY),
            steps=600,
        ),
        workload(
            *("digits fine-tuning CNN, Adam", data.digits(later)),
            *(tuned("CNN", models.cnn(outputs=5)), ADAM, ENTROPY),
            steps=150,
        ),
        workload(
            "digits denoising autoencoder, Adam", (x, x), mlp(64, 32, 64, dropout=0.2), ADAM, SQUARE
        ),
        workload(
            "digits variational autoencoder, Adam",
            (x, x),
            models.Encoder,
            ADAM,
            models.encoder_loss,
        ),
        workload(
            *(
                "text LSTM, RMSprop, clipped",
                text,
                lambda: models.Characters(nn.LSTM, data.KINDS),
                RMSPROP,
            ),
            **{**words, "steps": 200, "clip_norm": 1.0},
        ),
        workload(
            *(
                "text LSTM, Adam, linear decay",
                text,
                lambda: models.Characters(nn.LSTM, data.KINDS),
                ADAM,
            ),
            **{**words, "steps": 200, "schedule": "linear()"},
        ),
        workload(
            "text of eight MLP, Adagrad",
            data.rows(),
            lambda: models.NextOf(data.KINDS),
            ADAGRAD,
            ENTROPY,
        ),
        workload(
            *("text transformer, Adam, warm-up and cosine", text, transformer(dropout=0.1), ADAM),
            **{**words, "steps": 200, "schedule": "warmup('10%') >> cosine(floor=0.1)"},
        ),
        workload(
            *("text fine-tuning, momentum, linear decay", data.characters(2)),
            *(tuned("transformer", transformer()), MOMENTUM),
            **{**words, "steps": 150, "schedule": "linear()"},
        ),
        workload(
            "ratings factors, Adam",
            data.ratings(),
            lambda: models.Factors(**users),
            ADAM,
            SQUARE,
            batch=128,
        ),
        workload(
            "ratings MLP, Adagrad",
            data.ratings(),
            lambda: models.Pairs(**users),
            ADAGRAD,
            SQUARE,
            batch=64,
        ),
        workload(
            *("spread MLP, Adam", data.spread(), lambda: models.Bell(2), ADAM, models.bell_loss),
            floor=None,
            steps=400,
        ),
        workload(
            *("moons flow, AdamW", (moons[0], moons[0]), models.Couplings, ADAMW),
            loss=lambda output, _: output.mean(),
            floor=None,
            batch=64,
        ),
        workload(
            *("counts linear, SGD", data.counts(), mlp(12, 1), sgd(), functional.poisson_nll_loss),
            floor=None,
            steps=500,
        ),
        workload(
            *("ill-conditioned logistic, momentum", data.ill_conditioned(classes=True), mlp(20, 2)),
            *(MOMENTUM, ENTROPY),
            steps=1000,
        ),
        workload(
            *("picture of sines, Adam, not validated", data.pictures(), models.Sines, ADAM, SQUARE),
            validate=False,
            batch=128,
        ),
        workload(
            "waves GRU, Adam", data.waves(), lambda: models.Series(nn.GRU), ADAM, SQUARE, steps=200
        ),
        workload(
            "waves LSTM, momentum, clipped",
            data.waves(),
            lambda: models.Series(nn.LSTM),
            MOMENTUM,
            SQUARE,
            steps=300,
            clip_norm=1.0,
        ),
        workload(
            *(
                "diabetes linear, Nesterov, cosine",
                bundled("diabetes", regression=True),
                mlp(10, 1),
            ),
            *(NESTEROV, SQUARE),
            schedule="cosine()",
        ),
    ]


def _by_sum(each):
    return zlib.crc32(each.name.encode())


KNOWN = known()
OTHERS = sorted(others(), key=_by_sum)
WORKLOADS = {each.name: each for each in (*KNOWN, *OTHERS)}


def tuning():
    """Return the workloads that may choose."""
    return [*KNOWN, *OTHERS[1::2]]


def report():
    """Return the workloads that choose nothing."""
    return OTHERS[::2]
