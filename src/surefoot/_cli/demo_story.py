"""The chapters of the demo; each one trains, and returns what it found."""

from dataclasses import dataclass
from pathlib import Path

import torch

from surefoot._base.progress import ProgressOption, track
from surefoot._cli.demo_task import STEPS, digits_trial
from surefoot._diagnose import diagnose_log
from surefoot._engine.batches import Batches
from surefoot._engine.scheduler import Scheduler
from surefoot._engine.training import evaluate
from surefoot._find import find
from surefoot._sweep import grid, sweep
from surefoot._watch import watch
from surefoot.records import Diagnosis, Finding, RunLog, Sensitivity, read
from surefoot.schedules import Schedule, cosine, warmup

__all__ = ["Classic", "Plan", "Search", "classic", "schedules", "search", "sensitivity"]

LRS = grid(1e-6, 10.0, per_decade=2)
SCORING_SEED = 100
"""The sweep and every score use seeds from here on; ``find`` uses seed 0 and saw none of them."""

SEEDS = 3


@dataclass(frozen=True)
class Search:
    """What ``find`` answered, and what that is worth.

    Args:
        finding: the answer.
        loss: mean validation loss of a whole training at that rate, on seeds that chose nothing.
        regret: (loss ÷ loss at the sweep's best rate) − 1, on the same seeds.
    """

    finding: Finding
    loss: float
    regret: float


@dataclass(frozen=True)
class Classic:
    """One run of the classic picture.

    Args:
        label: what the rate is: low, good, high or very high.
        lr: the rate.
        log: the record.
        diagnosis: what ``diagnose`` says of the record alone.
    """

    label: str
    lr: float
    log: RunLog
    diagnosis: Diagnosis


@dataclass(frozen=True)
class Plan:
    """One schedule in use.

    Args:
        label: its name.
        log: the record of one run.
        loss: mean validation loss over the scoring seeds.
        low, high: 90 % interval of that mean.
    """

    label: str
    log: RunLog
    loss: float
    low: float
    high: float


def sensitivity(progress: ProgressOption) -> Sensitivity:
    """Return the U curve of the digits MLP: 15 rates × 3 seeds."""
    return sweep(digits_trial(seed=SCORING_SEED), LRS, seeds=SEEDS, progress=progress)


def search(curve: Sensitivity, progress: ProgressOption) -> dict[str, Search]:
    """Return the findings of both efforts, with their regret against the sweep."""
    found: dict[str, Search] = {}
    for effort in ("quick", "thorough"):
        finding = find(digits_trial(), effort=effort, progress=progress)
        scored = sweep(digits_trial(seed=SCORING_SEED), [finding.lr], seeds=SEEDS, progress=False)
        loss = scored.best.loss
        found[effort] = Search(finding, loss, loss / curve.best.loss - 1)
    return found


def classic(curve: Sensitivity, lr: float, folder: Path, progress: ProgressOption) -> list[Classic]:
    """Train at a low, the good, a high and a very high rate under watch; diagnose each record."""
    edge = curve.diverges_at or 10.0
    rates = {"low": lr / 100, "good": lr, "high": edge / 10**0.25, "very high": edge * 10**0.5}
    runs: list[Classic] = []
    with track(progress, "four rates", STEPS * len(rates)) as advance:
        for label, rate in rates.items():
            log = _train(rate, None, folder / label.replace(" ", "-"))
            runs.append(Classic(label, rate, log, diagnose_log(log)))
            advance(STEPS, label)
    return runs


def schedules(lr: float, folder: Path, progress: ProgressOption) -> list[Plan]:
    """Train at a fixed rate and with warm-up and decay, both at the peak ``lr``."""
    plans: dict[str, Schedule | None] = {
        "fixed": None,
        "warm-up + cosine": warmup("5%") >> cosine(),
    }
    made: list[Plan] = []
    with track(progress, "two schedules", STEPS * (SEEDS + 1) * len(plans)) as advance:
        for label, plan in plans.items():
            trial = digits_trial(seed=SCORING_SEED, schedule=plan)
            best = sweep(trial, [lr], seeds=SEEDS, progress=False).best
            advance(STEPS * SEEDS, label)
            log = _train(lr, plan, folder / label.replace(" + ", "-"))
            advance(STEPS, label)
            made.append(Plan(label, log, best.loss, best.low, best.high))
    return made


def _train(lr: float, plan: Schedule | None, folder: Path) -> RunLog:
    """Train once the way a user does: a plain loop, a scheduler and a watch."""
    trial = digits_trial(seed=SCORING_SEED)
    torch.manual_seed(SCORING_SEED)
    model, optimizer = trial.build(lr)
    scheduler = None if plan is None else Scheduler(optimizer, plan, total=STEPS)
    batches = Batches(trial.train, SCORING_SEED)
    with watch(model, optimizer, to=folder, tags={"lr": lr}) as record:
        for update in range(STEPS):
            loss = trial.compute_loss(model, batches[update])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            record.step(loss)
            if scheduler is not None:
                scheduler.step()
            if (update + 1) % 50 == 0:
                record.validation(evaluate(trial, model))
    return read(record.path)
