"""Smaller batches want smaller rates: the best lr against the batch size, for SGD and for Adam.

Theory: the best rate is lr_max / (1 + B_noise / B)^a with a = 1 for SGD and about 0.5 for Adam. So
for small batches it grows as B for SGD and as √B for Adam, and for large ones it stays.

Try it (half a minute; --full takes about two):

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
LRS = {"SGD": [2.0**k for k in range(-5, 2)], "Adam": [2.0**k for k in range(-9, -2)]}
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


def sweep(
    optimizer: str, sizes: list[int], seeds: int = 3, epochs: float = EPOCHS
) -> sf.Interaction:
    """Return the U curve of each batch size."""
    return sf.sweep(
        lambda batch_size: make_trial(batch_size, optimizer, epochs),
        LRS[optimizer],
        over={"batch_size": sizes},
        seeds=seeds,
    )


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
    (first, second), known = ridge[:2], [published[point.value] for point in ridge[:2]]
    doublings = math.log2(second.value / first.value)
    own = math.log2(second.lr / first.lr) / doublings
    lines.append(
        f"exponent from {first.value} to {second.value}: {own:.2f}; "
        f"published {(known[1] - known[0]) / doublings:.2f}"
    )
    return "\n".join([*lines, result.reason])


def main() -> None:
    """Sweep both optimizers, print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all six batch sizes, five seeds")
    parser.add_argument("--to", type=Path, default=Path(), help="folder of the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for optimizer, published in PUBLISHED.items():
        sizes = list(published) if options.full else [8, 16, 64, 256]
        result = sweep(optimizer, sizes, seeds=5 if options.full else 3)
        path = sf.plots.save(result, options.to / f"batch_size_{optimizer.lower()}.png")
        print(f"{optimizer}\n{compare(result, published)}\nIt cost {result.cost}. See {path}.\n")


if __name__ == "__main__":
    main()
