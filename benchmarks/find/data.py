"""The data of the workloads: bundled, generated, or the text of Python's own library."""

import argparse
import ast
import functools
import heapq
import textwrap
from pathlib import Path

import numpy as np
import torch
from sklearn import datasets

__all__ = ["bundled", "characters", "digits", "generated", "pictures", "ratings", "rows", "waves"]

LENGTH = 32
"""Characters in a row of text."""


def scaled(array):
    array = np.asarray(array, dtype=np.float64)
    return torch.tensor((array - array.mean(0)) / (array.std(0) + 1e-6), dtype=torch.float32)


@functools.cache
def digits(only=None):
    """Return 8 × 8 pictures of digits in 0 … 1, and which they are."""
    found = datasets.load_digits()
    x, y = torch.tensor(found.data / 16, dtype=torch.float32), torch.tensor(found.target)
    if only is None:
        return x, y
    kept = torch.isin(y, torch.tensor(only))
    return x[kept], y[kept] - min(only)


@functools.cache
def bundled(name, *, regression=False):
    """Return the features and the target of one of scikit-learn's small data sets."""
    found = getattr(datasets, f"load_{name}")()
    y = scaled(found.target[:, None]) if regression else torch.tensor(found.target)
    return scaled(found.data), y


@functools.cache
def generated(name, samples, *, regression=False, **options):
    """Return what one of scikit-learn's generators makes."""
    x, y = getattr(datasets, f"make_{name}")(n_samples=samples, random_state=0, **options)
    if regression:
        return scaled(x), scaled(y[:, None])
    return scaled(x), torch.tensor(np.unique(y, return_inverse=True)[1])


@functools.cache
def ill_conditioned(samples=1000, features=20, condition=100.0, *, classes=False):
    """Return features of very different scale, and what is linear in them, with noise."""
    rng = np.random.default_rng(0)
    scales = np.geomspace(1, condition**-0.5, features)
    x = rng.normal(size=(samples, features)) * scales
    y = x @ (rng.normal(size=features) / scales) + 0.7 * rng.normal(size=samples)
    x = torch.tensor(x, dtype=torch.float32)
    if classes:
        return x, torch.tensor((y > 0).astype(int))
    return x, torch.tensor(y[:, None] / 2, dtype=torch.float32)


@functools.cache
def characters(which=0):
    """Return rows of text and, of each character, the next one; and how many kinds there are."""
    kinds = {chr(code): code - 31 for code in range(32, 127)}
    file = (argparse, textwrap, heapq, ast)[which].__file__
    text = [kinds.get(each, 0) for each in Path(file).read_text(encoding="utf-8")]
    whole = torch.tensor(text[: len(text) // LENGTH * LENGTH + 1])
    x, y = whole[:-1].view(-1, LENGTH), whole[1:].view(-1, LENGTH)
    return x[:2500], y[:2500]


KINDS = 96


def rows(length=8):
    """Return short stretches of text and the character after each."""
    x, _y = characters()
    return x[:, :length], x[:, length]


@functools.cache
def ratings(users=120, items=80, count=6000):
    """Return who rated what, and the ratings: of low rank, with biases and noise."""
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(users, 4)), rng.normal(size=(items, 4))
    who, what = rng.integers(users, size=count), rng.integers(items, size=count)
    bias = 0.5 * rng.normal(size=users)[who] + 0.5 * rng.normal(size=items)[what]
    y = (u[who] * v[what]).sum(1) / 2 + bias + 0.3 * rng.normal(size=count)
    pairs = torch.tensor(np.stack([who, what], 1))
    return pairs, torch.tensor(y[:, None], dtype=torch.float32)


@functools.cache
def waves(samples=2000, length=24):
    """Return stretches of noisy waves and the number after each."""
    rng = np.random.default_rng(0)
    time = np.arange(length + 1) + 20 * rng.random((samples, 1))
    pace = rng.uniform(0.2, 0.6, (samples, 1))
    y = np.sin(pace * time) + 0.5 * np.sin(2.7 * pace * time) + 0.1 * rng.normal(size=time.shape)
    y = torch.tensor(y, dtype=torch.float32)
    return y[:, :-1, None], y[:, -1:]


@functools.cache
def pictures():
    """Return places in a picture made of waves, and how bright it is there."""
    x = torch.cartesian_prod(*2 * [torch.linspace(-1, 1, 48)])
    a, b = x.T
    return x, (torch.sin(6 * a * b) * torch.cos(9 * a) + torch.sin(12 * b**2)).unsqueeze(1) / 2


@functools.cache
def counts(samples=2000, features=12):
    """Return features, and counts whose mean is an exponential of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, features))
    y = rng.poisson(np.exp(np.clip(x @ rng.normal(size=features) / 4, -3, 3)))
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y[:, None], dtype=torch.float32)


@functools.cache
def spread(samples=2000):
    """Return numbers, and others whose spread depends on them."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (samples, 2))
    y = np.sin(2 * x[:, 0]) * x[:, 1] + (0.05 + 0.1 * np.abs(x[:, 0])) * rng.normal(size=samples)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y[:, None], dtype=torch.float32)
