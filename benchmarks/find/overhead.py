"""What a search takes beyond its updates and its passes without training.

    python benchmarks/find/overhead.py [blocks]

Each block times ``find``, and plain torch that makes as many updates, passes over the validation
set and forward passes, with batches drawn from the same loader as often; ratios are within a block.
"""

import statistics
import sys
import time
import warnings

import torch
import workloads

import surefoot as sf

NAMES = "digits MLP, momentum", "text transformer, AdamW"


def plain(trial, finding):
    """Return the seconds of a loop as users write it with the same work."""
    trainings = [attempt.updates for attempt in finding.attempts]
    test = len(finding.sweep)
    passes = 1 + sum(len(attempt.judged) for attempt in finding.attempts)
    started = time.perf_counter()
    kept = []
    while len(kept) < max(*trainings, test):
        kept += list(trial.train)
    for updates in (test, *trainings):
        model = trial.model()
        optimizer = trial.optimizer(model, 1e-6)
        for x, y in kept[:updates]:
            optimizer.zero_grad()
            trial.loss(model(x), y).backward()
            optimizer.step()
    with torch.no_grad():
        for x, y in kept[: round(3 * finding.cost.updates) - 3 * (test + sum(trainings))]:
            trial.loss(model(x), y)
        for _ in range(passes):
            for x, y in trial.validate:
                trial.loss(model(x), y)
    return time.perf_counter() - started


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    chosen = {workload.name: workload for workload in workloads.tuning()}
    for name in NAMES:
        trial = chosen[name].trial
        sf.find(trial, progress=False)
        for effort in ("quick", "thorough"):
            ratios, seconds = [], []
            for _ in range(blocks):
                started = time.perf_counter()
                finding = sf.find(trial, effort=effort, progress=False)
                seconds.append(time.perf_counter() - started)
                ratios.append(seconds[-1] / plain(trial, finding) - 1)
            print(
                f"{name:28} {effort:9} overhead {statistics.median(ratios):.1%} "
                f"({min(ratios):.1%} … {max(ratios):.1%}), {statistics.median(seconds):.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
