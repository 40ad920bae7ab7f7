"""Make the pictures of the README again, from real trainings: ``make docs``."""

import tempfile
from pathlib import Path

import surefoot as sf
from surefoot._cli import demo_story as story
from surefoot._cli.demo import ROLES
from surefoot.plots import figure, learning_curves, save

IMAGES = Path(__file__).parent / "images"


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


if __name__ == "__main__":
    main()
