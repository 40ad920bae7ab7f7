"""Other learning-rate finders, each from its own package and with its own defaults.

    pip install optuna lightning torch-lr-finder==0.2.2
    pip install --no-deps fastai==2.8.12 fastcore "fastprogress<1.1" fasttransform fastdownload \
        "plum-dispatch<2.10" beartype cloudpickle

Each takes (workload, seed) and returns a :class:`Found`. They see what ``find`` sees: a fresh model
under the seed, the optimizer at its usual rate, the training batches, the loss, and the largest
norm of the gradient (for which torch-lr-finder has no place). Where one has no answer, the usual
rate stands in for it. Their updates are counted where the optimizer steps.
"""

import contextlib
import importlib
import io
import logging
import math
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from surefoot import Finding
from surefoot._engine.training import usual_rate
from surefoot._engine.trial_probe import TrialProbe

__all__ = ["PEERS", "Found"]


@dataclass
class Found:
    """What a method found for one workload and seed.

    Args:
        lr: the rate; the usual one where the method had no answer.
        trainings: what it cost, in whole trainings.
        seconds: what it took.
        passes: over the validation set.
        failed: whether it had no answer.
        finding: of ``find``.
    """

    lr: float
    trainings: float = 0.0
    seconds: float = 0.0
    passes: int = 0
    failed: bool = False
    finding: Finding | None = None


def built(workload, seed):
    """Return a fresh model of the seed, its optimizer at the usual rate, and its steps."""
    torch.manual_seed(seed)
    model = workload.trial.model()
    optimizer = workload.trial.optimizer(model, usual_rate(workload.trial))
    steps = []
    optimizer.register_step_pre_hook(lambda *_: steps.append(1))
    return model, optimizer, steps


def torch_lr_finder(workload, seed):
    """torch-lr-finder: the steepest fall of the smoothed loss, which its plot suggests."""
    plt, package = importlib.import_module("matplotlib.pyplot"), "torch_lr_finder"
    model, optimizer, steps = built(workload, seed)
    for group in optimizer.param_groups:
        group["lr"] = 1e-7
    finder = importlib.import_module(package).LRFinder(model, optimizer, workload.trial.loss)
    finder.range_test(workload.trial.train, end_lr=10, num_iter=100)
    axes = plt.subplots()[1]
    told = finder.plot(ax=axes, suggest_lr=True)
    plt.close("all")
    return (told[1] if isinstance(told, tuple) else None), len(steps)


def lightning(workload, seed):
    """Lightning's Tuner."""
    pl = importlib.import_module("lightning.pytorch")
    tuner = importlib.import_module("lightning.pytorch.tuner")
    model, optimizer, steps = built(workload, seed)

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.lr = model, usual_rate(workload.trial)

        def training_step(self, batch, _):
            return workload.trial.loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            for group in optimizer.param_groups:
                group["lr"] = self.lr
            return optimizer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # it writes a checkpoint to where it runs
        try:
            trainer = pl.Trainer(
                accelerator="cpu",
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=False,
                gradient_clip_val=workload.trial.clip_norm,
            )
            module = Module()
            found = tuner.Tuner(trainer).lr_find(module, workload.trial.train, attr_name="lr")
        finally:
            os.chdir(before)
    return (None if found is None else found.suggestion()), len(steps)


def fastai(rule):
    """fastai's ``lr_find`` with one of its rules."""

    def found(workload, seed):
        optimizers = importlib.import_module("fastai.optimizer")
        learners = importlib.import_module("fastai.learner")
        schedule = importlib.import_module("fastai.callback.schedule")
        loaders = importlib.import_module("fastai.data.core").DataLoaders
        model, optimizer, steps = built(workload, seed)
        callbacks = importlib.import_module("fastai.callback.training")
        train, clip = workload.trial.train, workload.trial.clip_norm
        learner = learners.Learner(
            loaders(train, train),
            model,
            loss_func=workload.trial.loss,
            opt_func=lambda *_, **__: optimizers.OptimWrapper(opt=optimizer),
            cbs=[] if clip is None else [callbacks.GradientClip(clip)],
        )
        with tempfile.TemporaryDirectory() as folder, learner.no_bar(), learner.no_logging():
            learner.path = type(learner.path)(folder)
            told = learner.lr_find(show_plot=False, suggest_funcs=getattr(schedule, rule))
        return float(told[0]), len(steps)

    return found


def optuna(trials, share):
    """Optuna's TPE sampler, each trial a training of a share of the budget at a constant rate."""

    def found(workload, seed):
        package = importlib.import_module("optuna")
        package.logging.set_verbosity(package.logging.ERROR)
        trial = workload.trial
        probe, updates = TrialProbe(trial), max(4, round(share * trial.steps))

        def objective(each):
            lr = each.suggest_float("lr", 1e-6, 10.0, log=True)
            loss = probe.train([lr] * updates, [updates]).judged[-1][1]
            return loss if math.isfinite(loss) else 1e9

        study = package.create_study(sampler=package.samplers.TPESampler(seed=seed))
        study.optimize(objective, n_trials=trials)
        return study.best_params["lr"], trials * updates, trials

    return found


def of(method):
    def found(workload, seed):
        started, printed = time.perf_counter(), io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                lr, updates, *passes = method(workload, seed)
        except (RuntimeError, ValueError, IndexError) as error:
            print(f"    {type(error).__name__}: {error}")
            lr, updates, passes = None, 0, []
        seconds = time.perf_counter() - started
        failed = lr is None or not math.isfinite(lr) or lr <= 0
        lr = usual_rate(workload.trial) if failed else float(lr)
        return Found(lr, updates / workload.trial.steps, seconds, sum(passes), failed)

    return found


PEERS = {
    "torch-lr-finder": of(torch_lr_finder),
    "Lightning": of(lightning),
    "fastai, valley": of(fastai("valley")),
    "fastai, minimum": of(fastai("minimum")),
    "Optuna, 0.5 trainings": of(optuna(5, 0.1)),
    "Optuna, 2.5 trainings": of(optuna(10, 0.25)),
}
