"""What a search leaves behind, and what it does where others fail, with the packages of ``peers``.

    python benchmarks/find/forced.py

The model is linear, BatchNorm and dropout; SGD with momentum and two groups, at 1e-3 and 1e-2, that
has made a few updates. Each row is done with each finder, and what was there before and after is
compared bit for bit by a hash.
"""

import contextlib
import hashlib
import importlib
import io
import logging
import os
import pickle
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf

RATES = 1e-3, 1e-2


class Job:
    """A training that has begun.

    Args:
        fails_at: so many calls of the loss later it raises; None never.
        batches: of the loader.
    """

    def __init__(self, fails_at=None, batches=32):
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 1)
        )
        first, *_, last = self.model
        rest = [*self.model[1].parameters(), *last.parameters()]
        groups = [{"params": first.parameters(), "lr": RATES[0]}, {"params": rest, "lr": RATES[1]}]
        self.optimizer = torch.optim.SGD(groups, momentum=0.9)
        x = torch.randn(8 * batches, 6)
        self.loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 8, shuffle=True)
        self.fails_at, self.calls, self.seen = None, 0, set()
        for batch in list(self.loader)[:4]:
            self.update(batch)
        self.optimizer.zero_grad()
        self.optimizer.register_step_pre_hook(self.note)
        self.fails_at, self.calls, self.seen = fails_at, 0, set()

    def note(self, optimizer, *_):
        low, high = (group["lr"] for group in optimizer.param_groups)
        if low:
            self.seen.add(float(f"{high / low:.3g}"))

    def loss(self, output, target):
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("forced")
        return mse_loss(output, target)

    def update(self, batch):
        loss = self.loss(self.model(batch[0]), batch[1])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def facts(self):
        """Return the hash of each part of the state."""
        grads = [parameter.grad for parameter in self.model.parameters()]
        parts = {
            "weights and buffers": self.model.state_dict(),
            "momentum and rates": self.optimizer.state_dict(),
            "gradients": [None if grad is None else grad.tolist() for grad in grads],
            "random generator": torch.get_rng_state(),
        }
        return {
            name: hashlib.sha256(pickle.dumps(plain(part))).hexdigest()
            for name, part in parts.items()
        }


def plain(value):
    """Return nested lists, so that equal content has equal bytes."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return [(str(key), plain(each)) for key, each in value.items()]
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def surefoot(job, count):
    batches = sf.replay(job.loader)
    endless = (batch for _ in iter(int, 1) for batch in batches)
    restore = [job.model, batches]
    return sf.find(
        lambda: job.update(next(endless)),
        job.optimizer,
        restore=restore,
        steps=count,
        progress=False,
    )


def torch_lr_finder(job, count):
    finder = importlib.import_module("torch_lr_finder").LRFinder(job.model, job.optimizer, job.loss)
    finder.range_test(job.loader, start_lr=1e-7, end_lr=10, num_iter=count)
    axes = importlib.import_module("matplotlib.pyplot").subplots()[1]
    told = finder.plot(ax=axes, suggest_lr=True)
    finder.reset()
    return told[1] if isinstance(told, tuple) else None


def lightning(job, count):
    pl = importlib.import_module("lightning.pytorch")
    tuner = importlib.import_module("lightning.pytorch.tuner")

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.lr = job.model, RATES[0]

        def training_step(self, batch, _):
            return job.loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return job.optimizer

    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        max_epochs=1 if count < 50 else -1,
    )
    found = tuner.Tuner(trainer).lr_find(Module(), job.loader, attr_name="lr", num_training=count)
    return None if found is None else found.suggestion()


def fastai(job, count):
    optimizers = importlib.import_module("fastai.optimizer")
    loaders = importlib.import_module("fastai.data.core").DataLoaders
    learner = importlib.import_module("fastai.learner").Learner(
        loaders(job.loader, job.loader),
        job.model,
        loss_func=job.loss,
        opt_func=lambda *_, **__: optimizers.OptimWrapper(opt=job.optimizer),
    )
    importlib.import_module("fastai.callback.schedule")
    learner.path = Path.cwd()
    with learner.no_bar(), learner.no_logging():
        return learner.lr_find(show_plot=False, num_it=count).valley


FINDERS = {
    "Surefoot": surefoot,
    "torch-lr-finder, reset()": torch_lr_finder,
    "Lightning": lightning,
    "fastai": fastai,
}


def run(finder, job, count=100):
    """Return what it answered, or the error."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            found = finder(job, count)
    except Exception as error:  # the table tells it
        return f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
    if isinstance(found, sf.Finding):
        return f"{found.lr:.2g} ({found.source})"
    return "None" if found is None else f"{found:.2g}"


def restored(finder, **options):
    """Return for each part of the state whether it is as it was."""
    job = Job(**options)
    before = job.facts()
    run(finder, job)
    after = job.facts()
    return {name: "yes" if after[name] == before[name] else "no" for name in before}


def ratio(finder):
    job = Job()
    run(finder, job)
    return "in proportion" if job.seen == {RATES[1] / RATES[0]} else f"as {sorted(job.seen)} to 1"


def scheduled(finder):
    job = Job()
    scheduler = torch.optim.lr_scheduler.StepLR(job.optimizer, 10)
    before = plain(scheduler.state_dict())
    told = run(finder, job)
    return told + (", it is as it was" if plain(scheduler.state_dict()) == before else ", changed")


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    importlib.import_module("matplotlib").use("Agg")
    rows = {}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, finder in FINDERS.items():
            for part, told in restored(finder).items():
                rows.setdefault(f"{part} restored", {})[name] = told
            for part, told in restored(finder, fails_at=30).items():
                rows.setdefault(f"… after an exception: {part}", {})[name] = told
            rows.setdefault("groups at 1e-3 and 1e-2 during the search", {})[name] = ratio(finder)
            rows.setdefault("a scheduler attached", {})[name] = scheduled(finder)
            rows.setdefault("12 updates", {})[name] = run(finder, Job(), 12)
            rows.setdefault("8 batches, 100 updates", {})[name] = run(finder, Job(batches=8))
        os.chdir(before)
    print(f"| | {' | '.join(FINDERS)} |\n|---|{'---|' * len(FINDERS)}")
    for name, told in rows.items():
        print(f"| {name} | {' | '.join(told[each] for each in FINDERS)} |")


if __name__ == "__main__":
    main()
