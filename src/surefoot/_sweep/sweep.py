"""Train a trial at many learning rates and read the U curve."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, overload

from surefoot._base import checks
from surefoot._base.progress import Advance, ProgressOption, track
from surefoot._engine.backends._backend import Job, Randomness
from surefoot._engine.backends.choose import BACKENDS, run_job
from surefoot._engine.backends.loop import raise_again
from surefoot._engine.training import untrained_loss, usual_rate
from surefoot._engine.trial import Trial
from surefoot._sweep.grid import check_lrs, default_grid, middle_of_least, midpoints
from surefoot._sweep.over import MakeTrial, sweep_over
from surefoot._sweep.reading import read_sensitivity
from surefoot.errors import InputError, Interrupted
from surefoot.records import Cost, Engine, Interaction, Member, Sensitivity

__all__ = ["sweep"]

BackendName = Literal["auto", "loop", "processes", "fused", "compiled"]


@overload
def sweep(
    trial: Trial,
    lrs: Iterable[float] | None = None,
    *,
    seeds: int = 3,
    refine: int = 0,
    keep: int | None = None,
    tolerance: float = 0.1,
    backend: BackendName = "auto",
    exact: bool | None = None,
    randomness: Randomness = "same",
    workers: int | None = None,
    progress: ProgressOption = None,
) -> Sensitivity: ...


@overload
def sweep(
    trial: MakeTrial,
    lrs: Iterable[float] | None = None,
    *,
    over: Mapping[str, Iterable[Any]],
    seeds: int = 3,
    refine: int = 0,
    keep: int | None = None,
    tolerance: float = 0.1,
    backend: BackendName = "auto",
    exact: bool | None = None,
    randomness: Randomness = "same",
    workers: int | None = None,
    progress: ProgressOption = None,
) -> Interaction: ...


def sweep(
    trial: Trial | MakeTrial,
    lrs: Iterable[float] | None = None,
    *,
    over: Mapping[str, Iterable[Any]] | None = None,
    seeds: int = 3,
    refine: int = 0,
    keep: int | None = None,
    tolerance: float = 0.1,
    backend: BackendName = "auto",
    exact: bool | None = None,
    randomness: Randomness = "same",
    workers: int | None = None,
    progress: ProgressOption = None,
) -> Sensitivity | Interaction:
    """Train the trial at each learning rate, with each seed, and return the U curve.

    Members of one seed share weights at the start, batches and (unless told otherwise) all other
    random numbers, so that they differ by the rate alone. Each has the trial's whole budget; one
    whose loss is no longer finite stops there. One that raises an exception is told in the result,
    and the others go on. Global random generators are left as they were.

    Args:
        trial: how to build and train; with ``over``, a function of the settings that returns it.
        lrs: learning rates > 0; by default three for each decade (four with ``keep``), from a
            thousandth of the optimizer's usual rate to a thousand times it, but not above 10.
        over: values of settings, such as ``{"batch_size": [32, 128]}``: one sweep for each
            combination, by ``trial(batch_size=32)`` and so on.
        seeds: how many seeds, ≥ 1: ``trial.seed``, ``trial.seed + 1``, …
        refine: rounds of refinement, ≥ 0; each adds the two rates halfway between the best so far
            and its neighbours, which are trained to the end.
        keep: for who wants only the best rate, successive halving: after 1/8, 1/4 and 1/2 of the
            budget the worse half of the rates is stopped, by the mean loss over the seeds there,
            but at least so many go on, ≥ 1; None, or as many as there are rates, trains all to the
            end. The result says what was stopped when.
        tolerance: how much worse than the best is still in the basin: 0.1 is 10 % of the distance
            between the best loss and 0 (of what the best learned, where losses are negative).
        backend: ``"loop"`` trains one after another, ``"processes"`` spreads them over the cores,
            ``"fused"`` stacks the models of a seed into one, ``"compiled"`` compiles the update of
            the stack (or is fused, and says why, where that fails); ``"auto"`` times on the first
            updates what applies, takes the quickest and says in ``engine`` of the result why.
        exact: of fused members: True updates each by an optimizer of its own, to the last bit as
            alone with the same gradients; False allows one optimizer for all where the update is
            proportional to the lr (relative error ≤ 1e-5); None takes what is quicker.
        randomness: ``"same"`` draws the same numbers (dropout masks) for all members of a seed;
            ``"different"`` draws for each its own.
        workers: how many processes, ≥ 1; None is one for each core with ``"processes"`` and
            ``"auto"``, which need not take them, and this process alone otherwise.
        progress: see :func:`surefoot.find`.

    Returns:
        The points with their intervals, the best rate with its interval, the basin, the edge of
        divergence, the cost; with ``over``, all of that for each combination.

    Raises:
        InputError: an argument is not what is allowed, no member stayed finite, or the backend
            asked for cannot train the trial.
        Exception: what the trial's own code raises, if it does so in every member.
        Interrupted: Ctrl-C, or another KeyboardInterrupt; the result of the members that had
            finished is its ``result``.

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
    options = _Options(
        lrs=None if lrs is None else check_lrs(lrs),
        seeds=checks.count("seeds", seeds, least=1),
        refine=checks.count("refine", refine),
        tolerance=checks.positive("tolerance", tolerance),
        backend=checks.one_of("backend", backend, BACKENDS),
        exact=exact,
        keep=None if keep is None else checks.count("keep", keep, least=1),
        randomness=randomness,
        workers=None if workers is None else checks.count("workers", workers, least=1),
    )
    checks.one_of("randomness", randomness, ("same", "different"))
    if exact is not None and not isinstance(exact, bool):
        raise InputError(f"exact must be True, False or None, not {exact!r}.")
    if over is None:
        if not isinstance(trial, Trial):
            hint = "; a function of settings needs over" if callable(trial) else ""
            raise InputError(f"trial must be a surefoot.Trial, not a {type(trial).__name__}{hint}.")
        return _sweep_one(trial, options, progress)
    rates = options.lrs

    def one(made: Trial, tell: ProgressOption) -> Sensitivity:
        nonlocal rates
        # those of the first, so that all have one axis
        rates = rates or _default_lrs(made, options.keep)
        return _sweep_one(made, replace(options, lrs=rates), tell)

    return sweep_over(cast("MakeTrial", trial), over, one, progress)


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The arguments of :func:`sweep`, checked."""

    lrs: tuple[float, ...] | None
    seeds: int
    refine: int
    tolerance: float
    backend: str
    exact: bool | None
    keep: int | None
    randomness: Randomness
    workers: int | None


def _sweep_one(trial: Trial, options: _Options, progress: ProgressOption) -> Sensitivity:
    started = time.perf_counter()
    usual = _default_lrs(trial, options.keep)
    rates = options.lrs or usual
    every = range(trial.seed, trial.seed + options.seeds)
    job = Job(
        trial,
        [(lr, seed) for seed in every for lr in rates],
        options.randomness,
        options.exact,
        options.keep if options.keep and options.keep < len(rates) else None,
    )
    count = (len(rates) + 2 * options.refine * (len(rates) > 1)) * options.seeds
    tell = _Teller(count)
    untrained: list[float] = []
    engine: Engine | None = None

    def read(members: Sequence[Member]) -> Sensitivity:
        if not any(map(math.isfinite, [*untrained, *(member.loss for member in members)])):
            raise InputError(
                f"The {trial.metric} of the untrained model is not finite already, so that no rate "
                "can help: look for NaN in the data, the model, the loss or validate."
            )
        updates = sum(member.updates for member in members)
        return read_sensitivity(
            members,
            untrained=sum(untrained) / len(untrained),
            tolerance=options.tolerance,
            metric=trial.metric,
            cost=Cost(updates, time.perf_counter() - started, updates / trial.steps),
            steps=trial.steps,
            name=trial.name,
            engine=engine,
        )

    try:
        untrained += [untrained_loss(trial, seed, job.batches[seed]) for seed in every]
        with track(progress, f"sweep {trial.name}".strip(), trial.steps * count) as tell.advance:
            members, engine = run_job(job, options.backend, options.workers, tell)
            if all(member.error for member in members):
                raise_again(job, members)
            for _ in range(options.refine):
                tell.keep()
                members += _refined(job, members, options, tell)
            tell.finish(trial.steps * count)
    except KeyboardInterrupt as error:
        raise _interrupted(tell.finished, count, read) from error
    return read(members)


def _interrupted(
    members: Sequence[Member], count: int, read: Callable[[Sequence[Member]], Sensitivity]
) -> Interrupted:
    """Return what ends a sweep that was interrupted, with the U curve of what had finished."""
    if not members:
        return Interrupted("Sweep interrupted before any of its members had finished.")
    done = f"{len(members)} of {count} members"
    stopped = sum(member.stopped is not None for member in members)
    how = f"had finished, {stopped} of them stopped by halving" if stopped else "had finished"
    try:
        result = read(sorted(members, key=lambda member: (member.seed, member.lr)))
    except InputError as error:
        return Interrupted(f"Sweep interrupted: {done} {how}, without a result. {error}")
    reason = f"Interrupted after {done}. {result.reason}"
    return Interrupted(
        f"Sweep interrupted: {done} {how}; they are in .result of this exception.",
        replace(result, reason=reason),
    )


def _default_lrs(trial: Trial, keep: int | None) -> tuple[float, ...]:
    return default_grid(usual_rate(trial), 3 if keep is None else 4)


def _refined(
    job: Job, members: Sequence[Member], options: _Options, tell: "_Teller"
) -> list[Member]:
    """Train at the rates halfway between the best so far and its neighbours."""
    lrs = sorted({member.lr for member in members})
    ran = [member for member in members if not member.error and member.stopped is None]
    losses = {lr: [member.loss for member in ran if member.lr == lr] for lr in lrs}
    means = {lr: sum(found) / len(found) for lr, found in losses.items() if found}
    if not any(map(math.isfinite, means.values())):
        return []
    best = list(means)[middle_of_least(list(means.values()))]
    seeds = sorted({member.seed for member in members})
    new = [(lr, seed) for seed in seeds for lr in midpoints(lrs, best) if lr not in lrs]
    if not new:
        return []
    return run_job(replace(job, members=new, keep=None), options.backend, options.workers, tell)[0]


class _Teller:
    """Remembers what a backend reports as finished, and shows it as progress.

    Args:
        count: how many members there will be.
    """

    def __init__(self, count: int) -> None:
        self.advance: Advance = lambda _work, _text: None
        self._count = count
        self._updates = 0
        self._kept: list[Member] = []
        self._new: dict[tuple[float, int], Member] = {}

    def __call__(self, updates: int, finished: Sequence[Member]) -> None:
        if updates < 0:  # another backend begins again
            self._new.clear()
        self._updates += updates
        self._new |= {(member.lr, member.seed): member for member in finished}
        self.advance(updates, self._text())

    @property
    def finished(self) -> list[Member]:
        """Every member that finished."""
        return [*self._kept, *self._new.values()]

    def keep(self) -> None:
        """Hold on to what finished, whatever begins again after this."""
        self._kept, self._new = self.finished, {}

    def finish(self, total: int) -> None:
        """Count what was planned and is not there to be made."""
        if total > self._updates:
            self(total - self._updates, [])

    def _text(self) -> str:
        found = self.finished
        if not found:
            return ""
        ended = [member for member in found if member.stopped is None]
        if not ended:
            return f"{len(found)} of {self._count} stopped"
        best = min(ended, key=lambda member: member.loss)
        rate = f"{best.lr:.3g}" if math.isfinite(best.loss) else "none"
        return f"{len(found)} of {self._count}, best so far {rate}"
