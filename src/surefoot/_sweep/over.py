"""One sweep for each combination of some settings."""

import dataclasses
import difflib
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from surefoot._base.progress import Callback, ProgressOption, track
from surefoot._engine.said import one_line
from surefoot._engine.source import renamed
from surefoot._engine.trial import Trial
from surefoot.errors import InputError, Interrupted
from surefoot.records import Cell, Cost, Failure, Interaction, Sensitivity
from surefoot.records.interaction import label

__all__ = ["MakeTrial", "SweepOne", "sweep_over"]

MakeTrial = Callable[..., Trial]
SweepOne = Callable[[Trial, Callback], Sensitivity]

INTERRUPTED = "interrupted"
"""The error of settings that were not swept, or whose sweep has no result, for Ctrl-C."""


def sweep_over(
    make_trial: MakeTrial,
    over: Mapping[str, Iterable[Any]],
    sweep_one: SweepOne,
    progress: ProgressOption = None,
) -> Interaction:
    """Sweep ``make_trial(**settings)`` for each combination of the settings in ``over``.

    All trials are made first, so that a mistake in one of them costs no training. Then each is
    swept, in the order of ``itertools.product``. Where a sweep raises an exception the others
    still run, and its settings and its error stand in ``failures``; if all fail the first of
    these exceptions is raised. Where one is interrupted no others run: what finished is in the
    exception, with the U curve of the sweep that was under way.

    Args:
        make_trial: function of the settings, by name, that returns a Trial.
        over: the values of each setting: text, finite numbers, truth values or None, distinct.
        sweep_one: function (trial, progress) → U curve, called for one trial after another; its
            second argument is a callback as :func:`surefoot.sweep` takes for ``progress``.
        progress: see :func:`surefoot.find`; each sweep counts as much as its trial's ``steps``.

    Raises:
        InputError: an argument is not what is allowed, or every sweep failed in this way.
        Interrupted: there was a KeyboardInterrupt.
    """
    settings = _combinations(make_trial, over)
    trials = [_made(make_trial, one) for one in settings]
    done = _Done(tuple(over), settings, trials)
    with track(progress, "sweeps", sum(trial.steps for trial in trials)) as advance:
        for number, (one, trial) in enumerate(zip(settings, trials, strict=True)):
            text = f"{label(one)} ({number + 1} of {len(trials)})"
            bar = _Share(trial.steps, text, advance)
            try:
                done.cells.append(Cell(one, sweep_one(_named(trial, one), bar.show)))
            except KeyboardInterrupt as error:
                raise done.interrupted(number, error) from error
            except Exception as error:
                done.errors.append(error)
                done.failures.append(Failure(one, one_line(error)))
            bar.finish()
    if not done.cells:
        raise done.errors[0]
    return done.result()


class _Share:
    """The part of one sweep in the progress of all.

    Args:
        work: what the whole sweep counts.
        text: which sweep it is.
        advance: told about new work.
    """

    def __init__(self, work: int, text: str, advance: Callable[[int, str], None]) -> None:
        self._work, self._text, self._advance = work, text, advance
        self._told = 0

    def show(self, done: int, total: int, text: str) -> None:
        """Pass on the progress of the sweep: a callback for its ``progress``."""
        reached = int(self._work * min(done / max(total, 1), 1.0))
        new = max(reached - self._told, 0)
        self._told += new
        self._advance(new, f"{self._text}: {text}" if text else self._text)

    def finish(self) -> None:
        """Count what is missing."""
        self.show(1, 1, "")


def _combinations(make_trial: object, over: object) -> list[dict[str, Any]]:
    if isinstance(make_trial, Trial) or not callable(make_trial):
        raise InputError(
            "over needs a function that takes the settings and returns a surefoot.Trial, such as "
            f"make_trial(batch_size), not a {type(make_trial).__name__}."
        )
    if not isinstance(over, Mapping) or not over:
        raise InputError(
            "over must map the names of settings to their values, such as "
            f"{{'batch_size': [16, 64, 256]}}, not {over!r:.60}."
        )
    given = cast("Mapping[Any, Any]", over)
    _check_names(make_trial, [str(name) for name in given])
    values = [_checked(str(name), each) for name, each in given.items()]
    return [dict(zip(given, chosen, strict=True)) for chosen in itertools.product(*values)]


def _check_names(make_trial: Callable[..., Any], names: list[str]) -> None:
    """Check that ``make_trial`` takes these names, and needs no others."""
    try:
        parameters = inspect.signature(make_trial).parameters
    except (TypeError, ValueError):  # some callables written in C say nothing
        return
    kinds = inspect.Parameter
    positional = (kinds.POSITIONAL_ONLY, kinds.VAR_POSITIONAL)
    taken = [n for n, p in parameters.items() if p.kind not in (*positional, kinds.VAR_KEYWORD)]
    anything = any(p.kind is kinds.VAR_KEYWORD for p in parameters.values())
    called = _called(make_trial)
    for name in [] if anything else names:
        if name not in taken:
            close = difflib.get_close_matches(name, taken, 1)
            hint = f"it takes {', '.join(taken)}" if taken else "it takes none by name"
            hint = f"did you mean {close[0]!r}?" if close else f"{hint}."
            raise InputError(f"over gives {name!r}, a setting that {called} does not take; {hint}")
    for name in taken:
        if parameters[name].default is kinds.empty and name not in names:
            raise InputError(f"{called} needs {name!r}: give it values in over, or a default.")


def _called(make_trial: Callable[..., Any]) -> str:
    name = getattr(make_trial, "__name__", "")
    return f"{name}()" if name.isidentifier() else "the function"


def _checked(name: str, values: Any) -> list[Any]:
    example = f"over must give {name!r} a sequence of values, such as [16, 64]"
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise InputError(f"{example}, not {values!r:.60}.")
    found: list[Any] = [_scalar(name, value) for value in cast("Iterable[Any]", values)]
    if not found:
        raise InputError(f"{example}; it is empty.")
    twice = [value for index, value in enumerate(found) if value in found[:index]]
    if twice:
        raise InputError(
            f"over must give {name!r} values that differ from each other; {twice[0]!r} is there "
            "twice."
        )
    return found


def _scalar(name: str, value: Any) -> Any:
    """Return a value that JSON can hold; a NumPy scalar becomes the Python one."""
    plain = value.item() if hasattr(value, "item") else value
    is_finite = isinstance(plain, float) and math.isfinite(plain)
    if plain is None or is_finite or isinstance(plain, (str, int)):
        return plain
    raise InputError(
        f"over must give {name!r} text, finite numbers, truth values or None, not "
        f"{value!r:.60}: give that a name, and let the function look it up."
    )


def _made(make_trial: MakeTrial, settings: Mapping[str, Any]) -> Trial:
    trial: object = make_trial(**settings)
    if not isinstance(trial, Trial):
        raise InputError(
            f"{_called(make_trial)} must return a surefoot.Trial; for {label(settings)} it "
            f"returned a {type(trial).__name__}."
        )
    return trial


def _named(trial: Trial, settings: Mapping[str, Any]) -> Trial:
    return renamed(trial, ", ".join(filter(None, [trial.name, label(settings)])))


@dataclasses.dataclass(frozen=True)
class _Done:
    """What became of the sweeps so far.

    Args:
        names: of the settings.
        settings: of each sweep.
        trials: of each sweep.
    """

    names: tuple[str, ...]
    settings: list[dict[str, Any]]
    trials: list[Trial]
    cells: list[Cell] = dataclasses.field(default_factory=list[Cell])
    failures: list[Failure] = dataclasses.field(default_factory=list[Failure])
    errors: list[Exception] = dataclasses.field(default_factory=list[Exception])

    def result(self, interrupted: str = "") -> Interaction:
        """Return the U curves so far; the reason begins with what interrupted them."""
        found = [cell.sensitivity for cell in self.cells]
        metrics = {one.metric for one in found}
        result = Interaction(
            names=self.names,
            cells=tuple(self.cells),
            reason="",
            cost=sum((one.cost for one in found), Cost(0, 0.0, 0.0)),
            name=_common_name([trial.name for trial in self.trials]),
            metric=metrics.pop() if len(metrics) == 1 else "loss",
            failures=tuple(self.failures),
        )
        said = [interrupted] if interrupted else []
        return dataclasses.replace(result, reason=" ".join([*said, *_sentences(result)]))

    def interrupted(self, number: int, error: KeyboardInterrupt) -> Interrupted:
        """Return what ends everything in the sweep of that number, with what finished."""
        begun, *rest = self.settings[number:]
        partial: Sensitivity | None = getattr(error, "result", None)
        if partial is None:
            rest.insert(0, begun)
        else:
            self.cells.append(Cell(begun, partial))
        self.failures.extend(Failure(one, INTERRUPTED) for one in rest)
        said = f"Sweep interrupted in number {number + 1} of {len(self.settings)}, {label(begun)}"
        if not self.cells:
            return Interrupted(f"{said}, before any of its members had finished.")
        return Interrupted(
            f"{said}; what had finished is in .result of this exception.",
            self.result(f"Interrupted in sweep {number + 1} of {len(self.settings)}."),
        )


def _common_name(names: list[str]) -> str:
    """Return the words with which all names begin: settings may stand in the rest of each.

    Example:
        >>> _common_name(["digits, SGD", "digits, Adam"]), _common_name(["width 8", "width 16"])
        ('digits', 'width')
    """
    words = [name.split() for name in names]
    same = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*words, strict=False))
    return " ".join(each[0] for each in same).rstrip(",;:")


def _sentences(result: Interaction) -> list[str]:
    """Return how the best rate moves with each name, and what to mend."""
    said = [result.law(name) for name in result.names]
    for cell in result.cells:
        beyond, reason = cell.sensitivity.extend_to, cell.sensitivity.reason
        if reason.startswith("Interrupted"):
            said.append(f"At {label(cell.settings)}: {reason.partition('. ')[0]}.")
        elif beyond is not None:
            said.append(f"At {label(cell.settings)} the grid ends too early: go to {beyond:.2g}.")
    halved = [cell for cell in result.cells if cell.sensitivity.was_halved]
    if halved:
        said.append(
            f"Halving stopped rates early in {len(halved)} of {len(result.cells)} sweeps: nothing "
            "is known of these at the end, and no interval of a best rate comes from a fit there."
        )
    failed = [one for one in result.failures if one.error != INTERRUPTED]
    missing = [label(one.settings) for one in result.failures if one.error == INTERRUPTED]
    said += [f"{label(one.settings)} failed: {one.error.rstrip('.')}." for one in failed]
    return [*said, f"Not swept: {'; '.join(missing)}."] if missing else said
