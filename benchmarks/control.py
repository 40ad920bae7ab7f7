"""Control by performance against torch's and Transformers' on small real tasks.

Each run makes the same updates; the validation set is cut in two halves, one that control observes
(40 times) and one that scores the end of the run. Every method starts from the best constant rate
of a grid (3 per decade, scored on the observed half), from a fourth of it and from four times it.

Score = loss of the method ÷ loss of the best constant rate, mean of three seeds that chose no rate.
Defaults were chosen on the tuning tasks (``control.py candidates`` prints what was tried); the
report tasks chose nothing.
"""

import argparse
import importlib
import math
import statistics
import time
from unittest import mock

import numpy as np
import tasks
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from transformers.optimization import GreedyLR

import surefoot as sf
from surefoot.schedules import gradient_dependent, plateau

UPDATES, OBSERVATIONS = 1200, 40
EVERY = UPDATES // OBSERVATIONS
SEEDS = 3
STARTS = (0.25, 1.0, 4.0)


class Fold:
    """A schedule and controllers of ours, applied to an optimizer with one group."""

    def __init__(self, optimizer, *controls, schedule=None):
        self.group = optimizer.param_groups[0]
        self.base = self.group["lr"]
        self.controls = {control.needs: control for control in controls}
        self.states = {needs: control.start() for needs, control in self.controls.items()}
        plan = sf.schedule(schedule).resolve(UPDATES) if schedule else None
        self.plan = plan.values() if plan else [1.0] * UPDATES
        self.needs_norm = "grad_norm" in self.controls

    def observe(self, **observation):
        for needs, control in self.controls.items():
            if needs in observation:
                self.states[needs], _ = control.update(self.states[needs], observation)

    def write(self, update):
        factor = math.prod(state["factor"] for state in self.states.values())
        self.group["lr"] = self.base * self.plan[update] * factor


class Library:
    """A scheduler of torch or Transformers, stepped with the metric."""

    needs_norm = False

    def __init__(self, scheduler):
        self.scheduler = scheduler

    def observe(self, metric):
        self.scheduler.step(metric)

    def write(self, update):
        pass


def ours(**arguments):
    return lambda optimizer: Fold(optimizer, plateau(on_nan="bad", **arguments))


def by_gradient(**arguments):
    return lambda optimizer: Fold(optimizer, gradient_dependent(on_nan="ignore", **arguments))


def torchs(**arguments):
    return lambda optimizer: Library(ReduceLROnPlateau(optimizer, **arguments))


def greedy(optimizer):
    lr = optimizer.param_groups[0]["lr"]
    bounds = {"min_lr": 1e-4 * lr, "max_lr": lr}
    return Library(
        GreedyLR(optimizer, factor=0.5, patience=4, threshold=1e-3, threshold_mode="rel", **bounds)
    )


METHODS = {
    "constant": Fold,
    "cosine (knows the end)": lambda optimizer: Fold(optimizer, schedule="cosine"),
    "torch plateau, defaults": torchs(),
    "torch plateau, as ours": torchs(factor=0.5, patience=4, threshold=1e-3),
    "GreedyLR, defaults": lambda optimizer: Library(GreedyLR(optimizer)),
    "GreedyLR, as ours": greedy,
    "plateau": ours(),
    "plateau, raises after 2": ours(raise_after=2),
    "plateau, never raises": ours(raise_after=None),
    "plateau, smoothing 0.5": ours(smoothing=0.5),
    "gradient_dependent": by_gradient(),
    "gradient_dependent, high 1": by_gradient(high=1),
    "gradient_dependent and cosine": lambda optimizer: Fold(
        optimizer, gradient_dependent(on_nan="ignore"), schedule="cosine"
    ),
}
CANDIDATES = {
    **{
        f"plateau patience {patience} smoothing {smoothing} raise {after}": ours(
            patience=patience, smoothing=smoothing, raise_after=after
        )
        for patience in (3, 5, 8)
        for smoothing in (0.0, 0.5)
        for after in (None, 3)
    },
    **{
        f"plateau patience 3 raise {after}": ours(patience=3, raise_after=after)
        for after in (0, 1, 2)
    },
    **{f"plateau patience 3 threshold {t}": ours(patience=3, threshold=t) for t in (1e-4, 1e-2)},
    **{f"plateau patience 3 factor {f}": ours(patience=3, factor=f) for f in (0.1, 0.3, 0.7)},
    "plateau raise 0 high 4": ours(raise_after=0, high=4),
    **{
        f"gradient_dependent power {power} high {high}": by_gradient(power=power, high=high)
        for power in (0.25, 0.5, 1.0)
        for high in (1.0, 2.0)
    },
    **{f"gradient_dependent memory {m}": by_gradient(memory=m) for m in (30, 400)},
}


def losses_of(trial, lr, method, seed):
    """Train once; return the losses on the observed half and on the scored half at the end."""
    torch.manual_seed(seed)
    model = trial.model()
    optimizer = trial.optimizer(model, lr)
    control = method(optimizer)
    x, y = trial.train.dataset.tensors
    ((vx, vy),) = trial.validate
    order = torch.randint(len(x), (UPDATES, tasks.BATCH))

    def evaluate(part):
        model.eval()
        with torch.no_grad():
            loss = trial.loss(model(vx[part]), vy[part]).item()
        model.train()
        return loss

    observed, scored = slice(0, None, 2), slice(1, None, 2)
    parameters = list(model.parameters())
    for update in range(UPDATES):
        control.write(update)
        optimizer.zero_grad()
        trial.loss(model(x[order[update]]), y[order[update]]).backward()
        if control.needs_norm:
            control.observe(grad_norm=nn.utils.get_total_norm([p.grad for p in parameters]).item())
            control.write(update)
        optimizer.step()
        if (update + 1) % EVERY == 0:
            control.observe(metric=evaluate(observed))
    ends = evaluate(observed), evaluate(scored)
    return tuple(end if math.isfinite(end) else math.inf for end in ends)


def mean_losses(trial, lr, method, first_seed):
    runs = [losses_of(trial, lr, method, first_seed + k) for k in range(SEEDS)]
    return tuple(statistics.mean(ends) for ends in zip(*runs, strict=True))


def table(split, trials, methods):
    scores = {name: {start: [] for start in STARTS} for name in methods}
    for trial in trials:
        grid = sf.grid(1e-3, 10, per_decade=3)
        best = min(grid, key=lambda lr: mean_losses(trial, lr, Fold, 0)[0])
        reference = mean_losses(trial, best, Fold, 100)[1]
        for name, method in methods.items():
            for start in STARTS:
                loss = mean_losses(trial, start * best, method, 100)[1]
                scores[name][start].append(loss / reference)
        cells = ", ".join(f"{name} {scores[name][1.0][-1]:.2f}" for name in methods)
        print(f"  {split}: {trial.name}: best constant rate {best:.3g}: {cells}", flush=True)
    print(
        f"\n| {split} | median, from ¼ | from the best rate | from 4 × | worst of all | mean log |"
    )
    print("|---|--:|--:|--:|--:|--:|")
    for name, columns in scores.items():
        medians = [f"{statistics.median(columns[start]):.2f}" for start in STARTS]
        every = [score for column in columns.values() for score in column]
        mean = statistics.mean(math.log(min(score, 100)) for score in every)
        print(f"| {name} | {' | '.join(medians)} | {max(every):.3g} | {mean:+.3f} |", flush=True)


def simulated(control, line, lr, spike, seed, size=20, updates=4000):
    """Return the loss at the end of a noisy quadratic that is thrown off at half time, or not."""
    rng = np.random.default_rng(seed)
    curvature, x = np.logspace(-2.5, 0, size), np.full(size, 3.0)
    state = control.start()
    module = importlib.import_module("surefoot.schedules.plateau")
    with mock.patch.object(module, "_falls", module._falls if line else lambda *_: False):
        for update in range(updates):
            gradient = curvature * x + rng.normal(size=size) * np.sqrt(curvature)
            x = x - lr * state["factor"] * gradient
            if spike and update == updates // 2:
                x = x + 20
            if (update + 1) % 40 == 0:
                loss = 0.5 * (curvature * x * x).sum()
                metric = float(loss * (1 + 0.05 * rng.normal()))
                state, _ = control.update(state, {"metric": metric})
    return 0.5 * (curvature * x * x).sum()


def simulation():
    """Print what the line and the raise do; without both, the rule is torch's."""
    rules = {
        "constant": (plateau(low=1), True),
        "neither line nor raise": (plateau(raise_after=None), False),
        "raise, no line": (plateau(), False),
        "line, no raise": (plateau(raise_after=None), True),
        "plateau": (plateau(), True),
        "plateau, smoothing 0.5": (plateau(smoothing=0.5), True),
    }
    cases = [(lr, spike) for lr in (1.0, 0.1, 0.01) for spike in (False, True)]
    for name, (control, line) in rules.items():
        losses = [
            statistics.median(simulated(control, line, *case, seed) for seed in range(30))
            for case in cases
        ]
        print(f"| {name} | {' | '.join(f'{loss:.2g}' for loss in losses)} |", flush=True)


def cost():
    """Print what one update costs, beside one step of torch's."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    metrics = [1 + math.sin(k) for k in range(100_000)]
    theirs = ReduceLROnPlateau(optimizer)
    start = time.process_time()
    for metric in metrics:
        theirs.step(metric)
    seconds = {"torch's ReduceLROnPlateau": time.process_time() - start}
    for control in (plateau(), gradient_dependent()):
        state = control.start()
        start = time.process_time()
        for metric in metrics:
            state, _ = control.update(state, {control.needs: 1 + metric})
        seconds[control.name] = time.process_time() - start
    for name, value in seconds.items():
        print(f"{name}: {1e6 * value / len(metrics):.2f} µs per observation")


PARTS = {
    "cost": cost,
    "simulation": simulation,
    "candidates": lambda: table("tuning", tasks.tuning_tasks(), CANDIDATES),
    "tuning": lambda: table("tuning", tasks.tuning_tasks(), METHODS),
    "report": lambda: table("report", tasks.report_tasks(), METHODS),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", help=", ".join(PARTS))
    torch.set_num_threads(1)
    for part in parser.parse_args().what or ["cost", "simulation", "tuning", "report"]:
        PARTS[part]()


if __name__ == "__main__":
    main()
