"""Make the pictures of the README again, from real trainings: ``make docs``."""

import importlib
import sys
import tempfile
from pathlib import Path

import surefoot as sf
from surefoot._cli import demo_story as story
from surefoot._cli.demo import ROLES
from surefoot.plots import figure, learning_curves, save

IMAGES = Path(__file__).parent / "images"
EXAMPLES = Path(__file__).parent.parent / "examples"


def main() -> None:
    """Train, draw, and write ``docs/images``."""
    curve = story.sensitivity(progress=True)
    save(figure(curve), IMAGES / "u-curve.png")
    with tempfile.TemporaryDirectory() as folder:
        four = story.classic(curve, curve.best.lr / 2, Path(folder), progress=True)
        runs = {f"{run.label}: {run.lr:.2g}": (run.log, ROLES[run.label]) for run in four}
        save(learning_curves(runs, title="Four learning rates"), IMAGES / "four-rates.png")
    plan = sf.schedule("warmup(500) >> hold() >> linear('20%')").resolve(10_000)
    save(figure(plan, lr=3e-4), IMAGES / "schedule.png")
    draw_interactions()


def draw_interactions() -> None:
    """Draw what the two examples on interactions measure."""
    sys.path.insert(0, str(EXAMPLES))
    batch_size, budget = map(importlib.import_module, ("batch_size", "budget"))
    by_size = batch_size.sweep("SGD", list(batch_size.PUBLISHED["SGD"]), seeds=8)
    save(figure(by_size), IMAGES / "batch-size.png")
    by_budget = budget.sweep(seeds=8)
    save(figure(by_budget, along="epochs"), IMAGES / "budget.png")
    save(figure(by_budget, schedule="hold()"), IMAGES / "budget-constant.png")


if __name__ == "__main__":
    main()
