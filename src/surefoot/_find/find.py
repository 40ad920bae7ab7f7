"""Find a good learning rate, of a trial or inside the user's own loop."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, cast, overload

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot._base import checks
from surefoot._base.progress import ProgressOption, track
from surefoot._engine import groups
from surefoot._engine.loop_probe import KEPT, LoopProbe, check_train_step, first_module
from surefoot._engine.plan import beta2
from surefoot._engine.probe import Probe, compressed
from surefoot._engine.snapshot import Snapshot, listed
from surefoot._engine.trial import Trial
from surefoot._engine.trial_probe import TrialProbe
from surefoot._engine.unlisted import Unlisted, schedulers
from surefoot._find.answer import answer
from surefoot._find.library import first_guess, known
from surefoot._find.search import EFFORTS, SHORTEST, Effort, Evidence, search, trial_updates
from surefoot.errors import InputError
from surefoot.records import Cost, Finding
from surefoot.schedules import Schedule
from surefoot.schedules import schedule as read_schedule

__all__ = ["find"]

DEAR = 0.5
"""Judging that costs as much as this share of a training is told."""

DECAYS_BELOW = 0.2
"""A schedule that ends below this factor is one that decays."""

EffortName = Literal["quick", "thorough"]


@overload
def find(
    trial: Trial,
    /,
    *,
    effort: EffortName = "quick",
    schedule: Schedule | str | None = None,
    progress: ProgressOption = None,
) -> Finding: ...
@overload
def find(
    train_step: Callable[[], Any],
    optimizer: Optimizer,
    /,
    *,
    restore: Iterable[object],
    steps: int,
    validate: Callable[..., Any] | None = None,
    effort: EffortName = "quick",
    schedule: Schedule | str | None = None,
    per_group: bool = False,
    progress: ProgressOption = None,
) -> Finding: ...
def find(
    what: Any,
    optimizer: Optimizer | None = None,
    /,
    *,
    restore: Iterable[object] | None = None,
    steps: int | None = None,
    validate: Callable[..., Any] | None = None,
    effort: EffortName = "quick",
    schedule: Schedule | str | None = None,
    per_group: bool = False,
    progress: ProgressOption = None,
) -> Finding:
    """Find a good learning rate by cheap trial.

    A range test says where to look: one training whose rate grows from 1e-6 to 10 until the loss
    blows up, compared with the same batches without training. Then real trainings from the same
    start, with the same batches, are judged several times. What the whole training will reach at
    each rate is forecast from them and from measured trainings like it; the answer has the least
    expected regret.

    ``find(trial)`` builds a fresh model for each of these. ``find(train_step, optimizer, …)`` runs
    inside your own loop: before each training and at the end, also after an exception or Ctrl-C,
    everything in ``restore``, the optimizer and the schedulers attached to it are put back bit for
    bit, with the random generators of torch, NumPy and Python. (A DataLoader's iterator has no
    state to put back; :func:`surefoot.replay` makes a loader that has.) What several ranks train
    together, all of them must search; they find the same.

    Args:
        what: a :class:`surefoot.Trial`, or a function without arguments that does one whole
            update and returns its loss.
        optimizer: with a function: the optimizer that it steps; its groups keep their ratios.
        restore: with a function: all that it changes: models, GradScaler, schedulers, ….
        steps: with a function: the budget of the real run in updates, ≥ 10 (a trial's own, too).
        validate: with a function: what to judge by, () or (model) → number, lower is better.
        effort: ``"quick"`` makes two or three trainings of an eighth of the budget, in all half a
            training; ``"thorough"`` three of these, two of a quarter and two whole ones, at most
            three trainings. Budgets below 50 updates cost more than that.
        schedule: of the real run: the answer is then its peak rate. By default a trial's own.
        per_group: with a function: search the rate of each parameter group by itself, too, one
            after the other with the others at theirs, for the same cost again each.
        progress: None shows a bar on a terminal; True, False, or a function (done, total, text).

    Returns:
        The rate, the interval, the reason, the cost. Where the evidence is too thin, the usual rate
        of the optimizer (for the group that has the highest), with ``source="default"`` and the
        reason.

    Raises:
        InputError: an argument is not what is allowed.

    Example:
        >>> import torch, surefoot as sf
        >>> data = [(torch.ones(8, 1), torch.full((8, 1), 3.0))]
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        >>> def train_step():
        ...     loss = torch.nn.functional.mse_loss(model(data[0][0]), data[0][1])
        ...     optimizer.zero_grad(); loss.backward(); optimizer.step()
        ...     return loss
        >>> before = model.weight.clone()
        >>> finding = sf.find(train_step, optimizer, restore=[model], steps=200)
        >>> finding.source, finding.lr < 1.0, torch.equal(model.weight, before)
        ('measured', True, True)

    Reference:
        Smith, *Cyclical Learning Rates for Training Neural Networks*, 2017 (the range test).
    """
    gait = EFFORTS[checks.one_of("effort", effort, EFFORTS)]
    if isinstance(what, Trial):
        loop_only = {"optimizer": optimizer, "restore": restore, "steps": steps}
        _refuse_loop_arguments(**loop_only, validate=validate, per_group=per_group or None)
        checks.count("the trial's steps", what.steps, least=SHORTEST)
        probe = TrialProbe(what)
        wanted = schedule if schedule is not None else what.schedule
        plan = _resolved(wanted, what.steps, gait, beta2=probe.beta2)
        return _run(probe, gait, plan, progress, _blind(probe))
    budget, things = _check_loop(what, optimizer, restore, steps)
    checks.flag("per_group", per_group)
    loop = cast("Optimizer", optimizer)
    plan = _resolved(schedule, budget, gait, beta2=beta2(loop))
    ratios = groups.ratios(loop)
    with Snapshot([*things, loop, *schedulers(loop)]) as snapshot:
        unlisted = Unlisted(things, loop)

        def probe_of(**options: Any) -> LoopProbe:
            snapshot.restore()  # a search before this one has left its last rates
            return LoopProbe(
                what,
                loop,
                snapshot,
                steps=budget,
                validate=validate,
                model=first_module(things),
                may_skip=any(isinstance(thing, torch.amp.GradScaler) for thing in things),
                **options,
            )

        together = probe_of(unlisted=unlisted)
        notes = [*_blind(together), _place(snapshot)]
        found = _run(together, gait, plan, progress, notes)
        lrs = tuple(found.lr * ratio for ratio in ratios)
        found = replace(found, lrs=lrs, notes=(*found.notes, *_overwritten(together, plan)))
        if not per_group or len(lrs) == 1:
            return found
        return _one_by_one(found, probe_of, lambda probe: _run(probe, gait, plan, progress, ()))


def _one_by_one(
    found: Finding, probe_of: Callable[..., LoopProbe], run: Callable[[Probe], Finding]
) -> Finding:
    """Search the rate of each group while the others have theirs, and note what was found.

    The finding is that of the first group, as its rate is.
    """
    lrs, notes, cost = list(found.lrs), list(found.notes), found.cost
    usual = [found.default_lr * lr / found.lr for lr in lrs]  # in the proportions that they have
    first = found
    for group in range(len(lrs)):
        if not usual[group]:
            notes.append(f"Group {group} keeps 0: it is not trained.")
            continue
        own = run(probe_of(group=group, others=tuple(lrs), usual=usual[group]))
        cost += own.cost
        if own.source == "default":
            notes.append(f"Group {group} keeps {lrs[group]:.3g}. {own.reason}")
            continue
        lrs[group] = own.lr
        if group == 0:
            first = own
        notes.append(f"Group {group}: {own.lr:.3g} ({own.low:.2g} … {own.high:.2g}), by itself.")
    return replace(first, lr=lrs[0], lrs=tuple(lrs), notes=tuple(notes), cost=cost)


def _blind(probe: Probe) -> list[str]:
    """Return what a search without validation cannot see."""
    if probe.metric != "training loss":
        return []
    return ["Judged by the training loss, which cannot see over-fitting: give validate=…."]


def _overwritten(probe: LoopProbe, plan: Schedule | None) -> list[str]:
    """Return what to know where ``train_step`` steps a scheduler and no schedule was given."""
    if not probe.rate_moved or plan is not None:
        return []
    said = (
        "train_step changes the rate after optimizer.step(), as a scheduler does; the search put "
        "its own in place, so the answer is for a constant rate: for yours, give it as schedule=…."
    )
    return [said]


def _place(snapshot: Snapshot) -> str:
    """Return where the state was kept, and how large it is."""
    places = [f"{_size(size)} on {place}" for place, size in snapshot.places.items() if size]
    kept = " and ".join(places) or "no memory"
    return (
        f"What train_step changes was kept in {kept}, and as much again for each of up to {KEPT} "
        "trainings that may go on."
    )


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _check_loop(
    what: object, optimizer: object, restore: Iterable[object] | None, steps: int | None
) -> tuple[int, list[object]]:
    """Return the budget and the things to restore, or say what is not allowed."""
    if isinstance(what, (type, nn.Module)) or not callable(what):
        raise InputError(
            "find needs a surefoot.Trial, or a function that does one whole update and returns "
            f"its loss; a {type(what).__name__} was given."
        )
    check_train_step(what)
    if not isinstance(optimizer, Optimizer):
        raise InputError(
            f"optimizer must be the torch optimizer that train_step steps, not {optimizer!r:.60}."
        )
    if restore is None or steps is None:
        missing = "restore" if restore is None else "steps"
        raise InputError(
            f"{missing} must be given: find(train_step, optimizer, restore=[model], steps=1000)."
        )
    return checks.count("steps", steps, least=SHORTEST), listed(restore)


def _run(
    probe: Probe,
    effort: Effort,
    schedule: Schedule | None,
    progress: ProgressOption,
    notes: Sequence[str],
) -> Finding:
    started = time.perf_counter()
    made = 0
    expected = effort.most_updates(probe.steps, probe.reference_cost)
    decays = schedule is not None and float(schedule(10**12)) < DECAYS_BELOW
    kind = "decaying" if decays else "constant"
    with track(progress, f"find {probe.name}".strip(), expected) as advance:

        def count(updates: int, text: str) -> None:
            nonlocal made
            made += updates
            advance(updates, text)

        evidence = search(
            probe,
            effort,
            lambda lr, updates: compressed(schedule, probe.steps, updates, lr),
            known(kind),
            lambda reading: first_guess(reading, probe.default_lr),
            count,
        )
    seconds = time.perf_counter() - started
    cost = Cost(made, seconds, made / probe.steps, _passes(probe, evidence))
    return answer(probe, evidence, cost, [*notes, *_dear(probe, cost)])


def _passes(probe: Probe, evidence: Evidence) -> int:
    """Return how often the validation set was gone through."""
    if probe.metric == "training loss" or evidence.test.reading is None:
        return 0
    return 1 + sum(len(attempt.judged) for attempt in evidence.attempts)


def _dear(probe: Probe, cost: Cost) -> list[str]:
    """Return what to know where judging costs more than half a training."""
    share = cost.passes * (probe.pass_cost or 0.0) / probe.steps
    if share < DEAR:
        return []
    said = (
        f"Judging cost about as much as {share:.1f} trainings, beside those counted: a pass over "
        f"the validation set takes as long as {probe.pass_cost:.0f} updates; part of it would do."
    )
    return [said]


def _resolved(
    schedule: Schedule | str | None, steps: int, effort: Effort, **units: float | None
) -> Schedule | None:
    if schedule is None:
        return None
    resolved = read_schedule(schedule).resolve(steps, **units)
    for share in effort.shares:
        updates = trial_updates(share, steps)
        if not any(compressed(resolved, steps, updates, 1.0)):
            raise InputError(
                f"schedule must not be 0 throughout; {resolved} is, at the {updates} updates of a "
                "short trial through it."
            )
    return resolved


def _refuse_loop_arguments(**given: object) -> None:
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise InputError(
            f"{names[0]} belongs to find(train_step, …); a Trial already says it: leave it out."
        )
