"""Optuna: a study read as a U curve, and a trial as the objective of a study."""

import dataclasses
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from surefoot._base import checks
from surefoot._base.lazy import need
from surefoot.errors import InputError
from surefoot.records import Cost, Curve, Member, Sensitivity

__all__ = ["from_optuna", "to_optuna"]

_ATTRIBUTE = "surefoot"
"""The user attribute in which :func:`to_optuna` leaves what :func:`from_optuna` reads."""

_OVER = ("COMPLETE", "FAIL")
"""States of the trials that say something of their rate."""


def from_optuna(
    study: Any,
    lr: str = "lr",
    *,
    seed: str | None = None,
    where: Mapping[str, Any] | None = None,
    loss: Callable[[float], float] | None = None,
    untrained: float | None = None,
    tolerance: float = 0.1,
) -> Sensitivity:
    """Return the trials of an Optuna study as a U curve.

    Trials that were pruned stopped at other budgets, so they are left out, as are unfinished ones;
    the reason counts them. A failed trial (an exception, or NaN, which Optuna takes as a failure)
    is a member that failed. A value of inf, and a failure whose last report was not finite, is a
    training that diverged.

    Args:
        study: an ``optuna.Study`` with one objective.
        lr: name of the parameter that is the learning rate.
        seed: name of the parameter or user attribute that is the seed; without one the trials of
            a rate count as seeds 0, 1, … in the order in which they ran.
        where: values of other parameters; only trials that have them are read.
        loss: function from the study's value to a loss, lower is better; needed for a study that
            maximizes, such as ``lambda accuracy: 1 - accuracy``.
        untrained: loss before training; needed where losses are negative. Without one, in a study
            not made by :func:`to_optuna`, only a loss that is not finite counts as diverged.
        tolerance: see :func:`surefoot.sweep`.

    Raises:
        InputError: an argument is not what is allowed, no trial has a learning rate, or parameters
            besides it vary.
        MissingExtraError: Optuna or torch is not installed.

    Example::

        result = from_optuna(study, where={"batch_size": 64})
        sf.plot(result)
    """
    optuna = need("optuna", "for surefoot.integrations.from_optuna")
    need("torch", "for surefoot.integrations.from_optuna")
    from surefoot._sweep.reading import read_sensitivity

    if not isinstance(study, optuna.study.Study):
        raise InputError(
            f"study must be an optuna.Study, not a {type(study).__name__}; one that is stored is "
            "loaded with optuna.load_study(study_name=…, storage=…)."
        )
    convert = _conversion(study, loss)
    trials, left_out = _selected(study, lr, dict(where or {}))
    _refuse_others(trials, {lr, seed, *(where or {})})
    members, repeated = _members(trials, lr, seed, convert)
    left_out += [f"{repeated} repeated"] if repeated else []
    notes = [trial.user_attrs.get(_ATTRIBUTE, {}) for trial in trials]
    if untrained is not None:
        untrained = checks.number("untrained", untrained)
    else:
        untrained = _mean([note.get("untrained", math.nan) for note in notes])
    if math.isnan(untrained) and any(member.loss < 0 for member in members):
        raise InputError(
            "untrained must be given, the loss before training, where losses are negative: the "
            "basin is then a share of what the best learned."
        )
    result = read_sensitivity(
        members,
        untrained=untrained,
        tolerance=checks.positive("tolerance", tolerance),
        metric=_metric(study, notes),
        cost=_cost(trials, notes),
        steps=max(note.get("steps", 0) for note in notes),
        name=study.study_name,
    )
    if not left_out:
        return result
    said = f"{result.reason} Left out of the study: {', '.join(left_out)}."
    return dataclasses.replace(result, reason=said)


def to_optuna(
    trial: Any,
    low: float,
    high: float,
    *,
    lr: str = "lr",
    report_every: int | None = None,
) -> Callable[[Any], float]:
    """Return an objective for ``study.optimize`` that trains this trial at the rate it is given.

    Every member has the weights and the batches of ``trial.seed``, so that they differ by the rate
    alone. The mean training loss since the last report is reported with the number of updates
    made, so that pruners work. A training that diverges returns inf, which Optuna accepts; NaN
    would fail the trial. Threads (``n_jobs``) wait for each other, for torch has one global random
    generator; processes that share a storage do not.

    Args:
        trial: a :class:`surefoot.Trial`.
        low: smallest rate, > 0; rates are suggested on a log scale.
        high: largest rate, ≥ ``low``.
        lr: what the parameter is called in the study.
        report_every: updates between two reports, ≥ 1; None reports twenty times. In a database a
            report costs as much as many small updates.

    Returns:
        A function from an ``optuna.Trial`` to the judged loss.

    Raises:
        InputError: an argument is not what is allowed.
        MissingExtraError: Optuna or torch is not installed.

    Example::

        study = optuna.create_study(pruner=optuna.pruners.MedianPruner())
        study.optimize(to_optuna(trial, 1e-5, 1.0), n_trials=30)
        result = from_optuna(study)
    """
    optuna = need("optuna", "for surefoot.integrations.to_optuna")
    need("torch", "for surefoot.integrations.to_optuna")
    from surefoot._engine.batches import Batches
    from surefoot._engine.training import Training, check_rates, untrained_loss
    from surefoot._engine.trial import Trial

    if not isinstance(trial, Trial):
        raise InputError(f"trial must be a surefoot.Trial, not a {type(trial).__name__}.")
    low, high = checks.learning_rate("low", low), checks.learning_rate("high", high)
    if high < low:
        raise InputError(f"high must be at least low ({low:g}), not {high:g}.")
    every = max(trial.steps // 20, 1) if report_every is None else report_every
    checks.count("report_every", every, least=1)
    check_rates(trial)
    batches = Batches(trial.train, trial.seed)
    note = {
        "seed": trial.seed,
        "steps": trial.steps,
        "metric": trial.metric,
        "untrained": untrained_loss(trial, trial.seed, batches),
    }
    one_at_a_time = threading.Lock()

    def objective(suggested: Any) -> float:
        rate = suggested.suggest_float(lr, low, high, log=True)
        with one_at_a_time:
            training = Training(trial, rate, trial.seed, batches)
            factors = trial.factors(training.optimizer)
            while training.updates < trial.steps:
                made = training.updates
                training.advance(min(every, trial.steps - made), factors)
                if not training.finite:
                    break
                suggested.report(_mean(training.losses[made:]), training.updates)
                if training.updates < trial.steps and suggested.should_prune():
                    raise optuna.TrialPruned
            found = training.judge()
        suggested.set_user_attr(_ATTRIBUTE, {**note, "updates": training.updates})
        return found

    return objective


def _conversion(study: Any, loss: Callable[[float], float] | None) -> Callable[[float], float]:
    """Return the function from the study's value to a loss."""
    if len(study.directions) != 1:
        raise InputError(
            f"study must have one objective, not {len(study.directions)}: a U curve has one loss."
        )
    if loss is None and study.direction.name == "MAXIMIZE":
        raise InputError(
            "study maximizes, and a U curve shows a loss, whose least value must be known: give "
            "loss=, such as loss=lambda accuracy: 1 - accuracy."
        )
    if loss is not None and not callable(loss):
        raise InputError(f"loss must be a function from a value to a loss, not {loss!r:.60}.")
    return loss or float


def _selected(study: Any, lr: str, where: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Return the trials that are to be read, and what is left out in words."""
    every = study.get_trials(deepcopy=False)
    _check_names(every, lr, where)
    every = [t for t in every if all(t.params.get(name) == value for name, value in where.items())]
    if not every:
        said = ", ".join(f"{name}={value!r}" for name, value in where.items())
        raise InputError(f"where must name values that were tried together; no trial has {said}.")
    kept = [t for t in every if lr in t.params and t.state.name in _OVER]
    counts = {
        "pruned": sum(t.state.name == "PRUNED" for t in every),
        "unfinished": sum(t.state.name in ("RUNNING", "WAITING") for t in every),
        f"without {lr}": sum(lr not in t.params for t in every if t.state.name in _OVER),
    }
    if not kept:
        listed = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        raise InputError(f"study must hold trials that finished; it has {listed or 'none'}.")
    return kept, [f"{count} {kind}" for kind, count in counts.items() if count]


def _check_names(trials: Sequence[Any], lr: str, where: dict[str, Any]) -> None:
    names = sorted({name for trial in trials for name in trial.params})
    for argument, name in (("lr", lr), *(("where", name) for name in where)):
        if name not in names:
            listed = ", ".join(map(repr, names)) or "none"
            raise InputError(
                f"{argument} must name a parameter of the study, not {name!r}; it has {listed}."
            )
    if lr in where:
        raise InputError(f"where must leave the learning rate {lr!r} free.")


def _refuse_others(trials: Sequence[Any], known: set[str | None]) -> None:
    """Refuse parameters that vary besides the rate: their curves are not one."""
    names = {name for trial in trials for name in trial.params} - known
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    varying = {
        name: values
        for name in sorted(names)
        if len(values := dict.fromkeys(repr(t.params.get(name)) for t in complete)) > 1
    }
    if varying:
        listed = "; ".join(f"{name}: {', '.join(list(v)[:5])}" for name, v in varying.items())
        first = next(iter(varying))
        raise InputError(
            f"study must vary the learning rate alone; these vary too: {listed:.300}. Select one "
            f"value of each, such as where={{{first!r}: {next(iter(varying[first]))}}}."
        )


def _members(
    trials: Sequence[Any], lr: str, seed: str | None, convert: Callable[[float], float]
) -> tuple[list[Member], int]:
    """Return one member for each rate and seed, and how many trials ran one of them again."""
    members: dict[tuple[float, int], Member] = {}
    runs: dict[float, int] = {}
    for trial in trials:
        rate = checks.learning_rate(
            f"the parameter {lr!r} of trial {trial.number}", trial.params[lr]
        )
        runs[rate] = runs.get(rate, 0) + 1
        number = _seed(trial, seed, runs[rate] - 1)
        members[rate, number] = _member(trial, rate, number, convert)
    return list(members.values()), len(trials) - len(members)


def _seed(trial: Any, name: str | None, number: int) -> int:
    if name is None:
        return int(trial.user_attrs.get(_ATTRIBUTE, {}).get("seed", number))
    given = {**trial.user_attrs, **trial.params}
    if name not in given:
        raise InputError(
            f"seed must name a parameter or a user attribute; trial {trial.number} has no {name!r}."
        )
    return checks.count(f"the seed {name!r} of trial {trial.number}", given[name])


def _member(trial: Any, lr: float, seed: int, convert: Callable[[float], float]) -> Member:
    steps = sorted(trial.intermediate_values)
    reported = [float(trial.intermediate_values[step]) for step in steps]
    updates = trial.user_attrs.get(_ATTRIBUTE, {}).get("updates", 0)
    curve = Curve(steps, reported)
    lost = bool(reported) and not math.isfinite(reported[-1])
    if trial.state.name == "FAIL" and not lost:
        said = f"trial {trial.number} failed in Optuna: an exception, or NaN"
        return Member(lr, seed, math.inf, False, curve, updates, said)
    value = math.inf if trial.value is None else convert(float(trial.value))
    finite = math.isfinite(value)
    return Member(lr, seed, value if finite else math.inf, not finite, curve, updates)


def _metric(study: Any, notes: Sequence[Mapping[str, Any]]) -> str:
    named = cast("Sequence[str] | None", study.metric_names)
    known = {note["metric"] for note in notes if "metric" in note}
    if named:
        return named[0]
    return known.pop() if len(known) == 1 else "objective value"


def _cost(trials: Sequence[Any], notes: Sequence[Mapping[str, Any]]) -> Cost:
    """Return what the trials cost; updates are 0 where the study does not know them."""
    spans = [trial.duration for trial in trials if trial.duration is not None]
    return Cost(
        updates=sum(note.get("updates", 0) for note in notes),
        seconds=sum(span.total_seconds() for span in spans),
        trainings=float(len(trials)),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
