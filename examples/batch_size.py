"""Smaller batches want smaller rates: the best lr against the batch size, for SGD and for Adam.

Theory: the best rate is lr_max / (1 + B_noise / B)^a with a = 1 for SGD and about 0.5 for Adam. So
for small batches it grows as B for SGD and as √B for Adam, and for large ones it stays.

Try it (a minute; --full takes two):

    python examples/batch_size.py
    python examples/batch_size.py --full

Reference: S. McCandlish et al., "An Empirical Model of Large-Batch Training", 2018.
"""

import argparse
import math
from pathlib import Path

import torch
from digits import load
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf

EPOCHS = 6
OPTIMIZERS = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}
POWERS = {"SGD": (-5, 1), "Adam": (-9, -3)}
PUBLISHED = {
    "SGD": {8: -2.28, 16: -1.44, 32: -1.23, 64: -1.14, 128: -0.91, 256: -0.46},
    "Adam": {8: -6.15, 16: -5.62, 32: -5.24, 64: -5.00, 128: -4.90, 256: -4.87},
}
"""log2 of the best rate by batch size, as another program measured it on this task."""


def standardized() -> tuple[TensorDataset, TensorDataset]:
    """Return the digits with pixels of mean 0 and variance 1 over the training set."""
    training, validation = (part.tensors for part in load())
    mean, deviation = training[0].mean(), training[0].std()
    training_set = TensorDataset((training[0] - mean) / deviation, training[1])
    return training_set, TensorDataset((validation[0] - mean) / deviation, validation[1])


def mlp() -> nn.Module:
    """Return a fresh classifier: 64 – 32 – 32 – 10."""
    return nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )


training_set, validation_set = standardized()


def make_trial(batch_size: int, optimizer: str = "SGD", epochs: float = EPOCHS) -> sf.Trial:
    """Return the task: the rate falls in a straight line to zero over ``epochs``."""
    kind = OPTIMIZERS[optimizer]
    return sf.Trial(
        model=mlp,
        loss=nn.functional.cross_entropy,
        optimizer=lambda model, lr: kind(model.parameters(), lr=lr),
        train=DataLoader(training_set, batch_size=batch_size, shuffle=True, drop_last=True),
        validate=DataLoader(validation_set, batch_size=397),
        schedule="linear()",
        steps=round(epochs * len(training_set) / batch_size),
        name=f"digits MLP, {optimizer}",
    )


def rates(first: int, last: int, per_octave: int) -> list[float]:
    """Return learning rates from 2^first to 2^last, so many for each factor of two."""
    return [2 ** (first + k / per_octave) for k in range((last - first) * per_octave + 1)]


def sweep(
    optimizer: str,
    sizes: list[int],
    seeds: int = 3,
    epochs: float = EPOCHS,
    per_octave: int = 2,
) -> sf.Interaction:
    """Return the U curve of each batch size."""
    return sf.sweep(
        lambda batch_size: make_trial(batch_size, optimizer, epochs),
        rates(*POWERS[optimizer], per_octave),
        over={"batch_size": sizes},
        seeds=seeds,
    )


def exponent(values: tuple[float, float], lrs: tuple[float, float]) -> float:
    """Return b of lr ∝ value^b from one value to another."""
    return math.log(lrs[1] / lrs[0]) / math.log(values[1] / values[0])


def compare(result: sf.Interaction, published: dict[int, float]) -> str:
    """Return a table of log2 of the best rates beside the published ones, and the laws."""
    lines = ["batch size   best lr   log2 (90 %)              published   difference"]
    ridge = result.ridge("batch_size")
    for point in ridge:
        own, low, high = (math.log2(lr) for lr in (point.lr, point.low, point.high))
        known = published[point.value]
        lines.append(
            f"{point.value:>10} {point.lr:>9.3g}   {own:+.2f} ({low:+.2f} … {high:+.2f})   "
            f"{known:>+9.2f} {own - known:>+12.2f}"
        )
    first, second = ridge[:2]
    ends = (first.value, second.value)
    own = exponent(ends, (first.lr, second.lr))
    known = exponent(ends, (2 ** published[ends[0]], 2 ** published[ends[1]]))
    lines.append(f"exponent from {ends[0]} to {ends[1]}: {own:.2f}; published {known:.2f}")
    return "\n".join([*lines, result.reason])


def main() -> None:
    """Sweep both optimizers, print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all batch sizes and eight seeds")
    parser.add_argument("--to", type=Path, default=Path(), help="folder of the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for optimizer, published in PUBLISHED.items():
        if options.full:
            result = sweep(optimizer, list(published), seeds=8)
        else:
            result = sweep(optimizer, [8, 16, 64, 256])
        path = sf.plots.save(result, options.to / f"batch_size_{optimizer.lower()}.png")
        print(f"{optimizer}\n{compare(result, published)}\nIt cost {result.cost}. See {path}.\n")


if __name__ == "__main__":
    main()
