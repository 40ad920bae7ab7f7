"""How often the diagnosis of a finished run is right, from its record alone.

Each task is trained at 22 rates from 1e-6 to 10 with two seeds under watch. What a run *is* comes
from measurement: its final loss lies above the best rate's by more than 10 % of what the best rate
learned (a fault, in the direction of the best rate), by less than 3 % (healthy), or between (not
scored). Thresholds of the rules were chosen on the tuning tasks; the report tasks chose nothing.
"""

import math
import tempfile
from pathlib import Path

import tasks
import torch

import surefoot as sf
from surefoot._engine.batches import Batches
from surefoot._engine.training import Training, untrained_loss
from surefoot.records import RunLog

LRS = sf.grid(1e-6, 10, per_decade=3)
SEEDS = (0, 1)
FAULT, HEALTHY = 0.10, 0.03


def record(trial, lr, seed, batches, folder):
    member = Training(trial, lr, seed, batches)
    with sf.watch(member.model, member.optimizer, to=folder) as watch:
        for _ in range(trial.steps):
            member.advance(1, lambda _: 1.0)
            watch.step(member.losses[-1])
            if not member.finite:
                break
    return member.judge(), sf.read(watch.path)


def runs_of(trial):
    """Yield (lr, loss, log) of every run, then the mean untrained loss."""
    runs, untrained = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            batches = Batches(trial.train, seed)
            untrained.append(untrained_loss(trial, seed, batches))
            for lr in LRS:
                where = Path(folder) / f"{seed}-{lr:g}"
                runs.append((lr, *record(trial, lr, seed, batches, where)))
    return runs, sum(untrained) / len(untrained)


def label(lr, mean, best_lr, best, untrained):
    """Return "raise", "lower", "healthy" or None (not scored)."""
    share = (mean - best) / (untrained - best)
    if share < HEALTHY:
        return "healthy"
    if not share > FAULT and math.isfinite(mean):
        return None
    return "raise" if lr < best_lr else "lower"


def score(runs, untrained, names):
    """Return (truth, what was said, error of the estimate) of every run, seen through ``names``."""
    means = {lr: sum(r[1] for r in runs if r[0] == lr) / len(SEEDS) for lr in LRS}
    best_lr = min(means, key=means.get)
    rows = []
    for lr, _, log in runs:
        truth = label(lr, means[lr], best_lr, means[best_lr], untrained)
        seen = log if names is None else RunLog("", {name: log[name] for name in names})
        diagnosis = sf.diagnose(seen)
        said = "healthy" if diagnosis.healthy else diagnosis.verdicts[0].direction
        rows.append((truth, said, diagnosis.lr_over_best_log10 - math.log10(lr / best_lr)))
    return rows


def show(title, rows):
    scored = [(truth, said) for truth, said, _ in rows if truth is not None]
    faults = [(truth, said) for truth, said in scored if truth != "healthy"]
    called = [(truth, said) for truth, said in scored if said != "healthy"]
    healthy = [said for truth, said in scored if truth == "healthy"]
    errors = sorted(abs(error) for _, _, error in rows if not math.isnan(error))
    recall = sum(truth == said for truth, said in faults) / max(len(faults), 1)
    precision = sum(truth == said for truth, said in called) / max(len(called), 1)
    alarms = sum(said != "healthy" for said in healthy) / max(len(healthy), 1)
    shares = (errors[len(errors) // 2], errors[8 * len(errors) // 10]) if errors else ()
    typical = " ".join(f"{share:7.2f}" for share in shares) or "–"
    print(
        f"{title:40} {len(scored):4} {recall:7.2f} {precision:10.2f} {alarms:13.2f} {typical}",
        flush=True,
    )


VIEWS = {"all signals": None, "loss and lr": ("loss", "lr")}


def main():
    torch.set_num_threads(1)
    print(f"{'':40} runs  recall  precision  false alarms  |error|: median, 80 % (decades)")
    for split, trials in (("tuning", tasks.tuning_tasks()), ("report", tasks.report_tasks())):
        together = {view: [] for view in VIEWS}
        for trial in trials:
            runs, untrained = runs_of(trial)
            for view, names in VIEWS.items():
                rows = score(runs, untrained, names)
                together[view] += rows
                show(f"  {trial.name}, {view}", rows)
        for view, rows in together.items():
            show(f"{split}, {view}", rows)


if __name__ == "__main__":
    main()
