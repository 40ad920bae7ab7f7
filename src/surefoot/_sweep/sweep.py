"""Train a trial at many learning rates and read the U curve."""

import math
import time
from collections.abc import Iterable, Sequence

from surefoot._base import checks
from surefoot._base.progress import ProgressOption, track
from surefoot._engine.backends._backend import Plan
from surefoot._engine.backends.loop import Loop
from surefoot._engine.training import check_rates, untrained_loss
from surefoot._engine.trial import Trial
from surefoot._sweep.grid import check_lrs, grid
from surefoot._sweep.reading import read_sensitivity
from surefoot.errors import InputError
from surefoot.records import Cost, Member, Sensitivity

__all__ = ["sweep"]

DEFAULT_LRS = grid(1e-6, 10.0, per_decade=2)


def sweep(
    trial: Trial,
    lrs: Iterable[float] | None = None,
    *,
    seeds: int = 3,
    tolerance: float = 0.1,
    progress: ProgressOption = None,
) -> Sensitivity:
    """Train the trial at each learning rate, with each seed, and return the U curve.

    Members of one seed share weights at the start and batches, so that they differ by the rate
    alone. They run one by one, each for the trial's whole budget; one whose loss is no longer
    finite stops there. Global random generators are left as they were.

    Args:
        trial: how to build and train.
        lrs: learning rates > 0; by default 15 from 1e-6 to 10.
        seeds: how many seeds, ≥ 1: ``trial.seed``, ``trial.seed + 1``, …
        tolerance: how much worse than the best is still in the basin: 0.1 is 10 % of the distance
            between the best loss and 0 (of what the best learned, where losses are negative).
        progress: see :func:`surefoot.find`.

    Returns:
        The points with their intervals, the best, the basin, the edge of divergence, the cost.

    Raises:
        InputError: an argument is not what is allowed, or no member stayed finite.

    Example:
        >>> import torch, surefoot as sf
        >>> data = [(torch.ones(8, 1), torch.full((8, 1), 3.0))]
        >>> trial = sf.Trial(
        ...     model=lambda: torch.nn.Linear(1, 1, bias=False),
        ...     optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        ...     train=data, loss=torch.nn.functional.mse_loss, steps=20)
        >>> result = sf.sweep(trial, [0.01, 0.1, 0.9, 1.1, 10.0], seeds=1)
        >>> result.diverges_at  # theory: gradient descent diverges above 2 / curvature = 1
        1.1
    """
    if not isinstance(trial, Trial):
        raise InputError(f"trial must be a surefoot.Trial, not a {type(trial).__name__}.")
    rates = DEFAULT_LRS if lrs is None else check_lrs(lrs)
    checks.count("seeds", seeds, least=1)
    checks.positive("tolerance", tolerance)
    started = time.perf_counter()
    check_rates(trial)
    every = range(trial.seed, trial.seed + seeds)
    plan = Plan(trial, [(lr, seed) for seed in every for lr in rates])
    untrained = [untrained_loss(trial, seed, plan.batches[seed]) for seed in every]
    best = ""
    finished: list[Member] = []
    with track(progress, f"sweep {trial.name}".strip(), trial.steps * len(plan.members)) as advance:

        def report(updates: int, new: Sequence[Member]) -> None:
            nonlocal best
            finished.extend(new)
            if new:
                best = f"{len(finished)} of {len(plan.members)}, best so far {_best(finished)}"
            advance(updates, best)

        members = Loop().run(plan, report)
    updates = sum(member.updates for member in members)
    seconds = time.perf_counter() - started
    return read_sensitivity(
        members,
        untrained=sum(untrained) / len(untrained),
        tolerance=tolerance,
        metric=trial.metric,
        cost=Cost(updates=updates, seconds=seconds, trainings=updates / trial.steps),
        steps=trial.steps,
        name=trial.name,
    )


def _best(members: Sequence[Member]) -> str:
    best = min(members, key=lambda member: member.loss)
    return f"{best.lr:.3g}" if math.isfinite(best.loss) else "none"
