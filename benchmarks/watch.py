"""What watching costs: CPU time of watched updates over that of unwatched ones, side by side.

Each arm trains a model of its own from the same start; short blocks of all arms take turns in one
process, so that a machine that changes its speed changes it for all. A ratio is that of a block to
the plain block beside it. `python benchmarks/watch.py [--blocks 60]`
"""

import argparse
import statistics
import tempfile
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import surefoot as sf

VALUES = 8


class Transformer(nn.Module):
    """4.8 M parameters."""

    def __init__(self, width=256, layers=6, words=200):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.embed = nn.Embedding(words, width)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, words)

    def forward(self, x):
        return self.head(self.body(self.embed(x)))


def mlp():
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    x, y = torch.randn(64, 64), torch.randint(0, 10, (64,))
    return model, lambda: cross_entropy(model(x), y)


def transformer():
    model = Transformer()
    x = torch.randint(0, 200, (4, 64))
    return model, lambda: cross_entropy(model(x).flatten(0, 1), x.flatten())


TASKS = {"MLP, 6.6 k": (mlp, 200), "transformer, 4.8 M": (transformer, 5)}


class Arm:
    """One training, and what is called after each update."""

    def __init__(self, make, after):
        torch.manual_seed(0)
        self.model, self.loss = make()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.after = after(self.model, self.optimizer)
        self.watch = getattr(self.after, "__self__", None)

    def pause(self):
        """Let the watch not take what the other arms did for time of its own training."""
        if self.watch is not None:
            self.watch._budget._ended = None

    def block(self, updates):
        self.pause()
        started = time.process_time()
        for _ in range(updates):
            self.optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            self.optimizer.step()
            self.after(loss)
        return time.process_time() - started


def plain(_model, _optimizer):
    return lambda _loss: None


def watched(model, optimizer):
    return sf.watch(model, optimizer, to=f"{tempfile.mkdtemp()}/run").step


def tensorboard(_model, _optimizer):
    from torch.utils.tensorboard import SummaryWriter

    writer, count = SummaryWriter(tempfile.mkdtemp()), iter(range(10**9))

    def after(loss):
        step, value = next(count), loss.item()
        for index in range(VALUES):
            writer.add_scalar(f"train/{index}", value, step)

    return after


ARMS = {"plain": plain, "watch": watched, f"TensorBoard, {VALUES} scalars": tensorboard}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=60)
    blocks = parser.parse_args().blocks
    torch.set_num_threads(1)
    print("| task | update | arm | CPU time over plain, median (quartiles) | own account |")
    print("|---|--:|---|--:|--:|")
    for task, (make, updates) in TASKS.items():
        arms = {name: Arm(make, after) for name, after in ARMS.items()}
        for arm in arms.values():
            arm.block(2 * updates)
        times = {name: [] for name in arms}
        for number in range(blocks):
            order = list(arms) if number % 2 else list(arms)[::-1]
            for name in order:
                times[name].append(arms[name].block(updates))
        update = 1e3 * statistics.median(times["plain"]) / updates
        for name in list(arms)[1:]:
            pairs = zip(times[name], times["plain"], strict=True)
            low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
            watch = arms[name].watch
            own = "" if watch is None else f"{1 + watch.overhead:.3f}"
            total = sum(times[name]) / sum(times["plain"])
            print(
                f"| {task} | {update:.2f} ms | {name} | {middle:.3f} ({low:.3f} … {high:.3f}), "
                f"of all blocks together {total:.3f} | {own} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
