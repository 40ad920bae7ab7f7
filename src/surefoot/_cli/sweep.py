"""``surefoot sweep``: the U curve of a trial, or one for each combination of some settings."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from surefoot._base.lazy import need
from surefoot._cli.output import (
    JsonOption,
    OutOption,
    TaskArgument,
    check_out,
    complain,
    draw,
    save_noun,
    say,
    show,
    tell_json,
)
from surefoot.errors import InputError, Interrupted
from surefoot.records import Engine, Interaction, Sensitivity

__all__ = ["command", "read_lrs", "read_over"]


KeepOption = Annotated[
    int | None,
    typer.Option(
        help="Stop the worse half of the rates at 1/8, 1/4 and 1/2 of the budget, but let at "
        "least so many go on: for the best rate alone.",
        show_default=False,
    ),
]


def command(
    task: TaskArgument,
    lrs: Annotated[
        str | None,
        typer.Option(
            help="LOW:HIGH:PER_DECADE, or a list such as 0.001,0.01,0.1; by default three for each "
            "decade around the usual rate of the optimizer."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings for each rate.")] = 3,
    refine: Annotated[
        int, typer.Option(help="Rounds that each add two rates around the best.")
    ] = 0,
    keep: KeepOption = None,
    tolerance: Annotated[
        float, typer.Option(help="How much worse than the best is in the basin: 0.1 is 10 %.")
    ] = 0.1,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V1,V2",
            help="One sweep for each of these values, passed to the function by name; "
            "with several, for each combination.",
        ),
    ] = None,
    backend: Annotated[
        Literal["auto", "loop", "processes", "fused", "compiled"],
        typer.Option(help="How members are trained; auto takes what is right and quicker."),
    ] = "auto",
    exact: Annotated[
        bool | None,
        typer.Option(
            help="Of fused members: an optimizer for each, or one for all where that holds; by "
            "default what is quicker.",
            show_default=False,
        ),
    ] = None,
    randomness: Annotated[
        Literal["same", "different"],
        typer.Option(help="Whether the members of a seed draw the same numbers, for dropout say."),
    ] = "same",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; by default one for each core where that is quicker."),
    ] = None,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Train at many learning rates and draw the U curve.

    Examples:
      surefoot sweep task.py:trial

      surefoot sweep task.py:trial --lrs 1e-4:1:4 --seeds 5 --refine 2 -o results

      surefoot sweep task.py:make_trial --over batch_size=32,128,512 --over width=64,256
    """
    check_out(out)
    need("torch", "to train")
    settings = read_over(over or [])

    def train() -> Sensitivity | Interaction:
        from surefoot._cli.task import load_task, load_trial
        from surefoot._sweep import sweep

        return sweep(
            load_task(task) if settings else load_trial(task),  # type: ignore[arg-type]
            None if lrs is None else read_lrs(lrs),
            over=settings or None,  # type: ignore[arg-type]
            seeds=seeds,
            refine=refine,
            keep=keep,
            tolerance=tolerance,
            backend=backend,
            exact=exact,
            randomness=randomness,
            workers=workers,
        )

    result, interrupted = _run(train)
    if result is not None:
        _tell(result, out, json)
    if interrupted:
        complain(interrupted, mark="interrupted")
        raise typer.Exit(INTERRUPTED)


INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def _run(
    train: Callable[[], Sensitivity | Interaction],
) -> tuple[Sensitivity | Interaction | None, str]:
    """Return the result, if there is one, and what is to be said of an interruption."""
    try:
        return train(), ""
    except InputError as error:
        said = _in_options(str(error))
        if said == str(error):
            raise
        raise InputError(said) from error
    except Interrupted as error:
        said, result = str(error), error.result
    except KeyboardInterrupt:
        return None, "no member had finished."
    if result is None:
        return None, said.removeprefix("Sweep interrupted").lstrip(": ")
    where = result.reason.partition(". ")[0].removeprefix("Interrupted ")
    return result, f"{where}; this is what had finished."


def _in_options(said: str) -> str:
    """Return what an error says of the argument ``over``, said of the option."""
    said = f"--{said}" if said.startswith("over ") else said
    return said.replace(": give it values in over,", ": give it values with --over,")


def _tell(result: Sensitivity | Interaction, out: Path | None, json: bool) -> None:
    """Save, and print the document, or the figure, the table and the cost."""
    files = [] if out is None else save_noun(result, out, table=result.table())
    if json:
        tell_json(result)
        return
    draw(result)
    show(result.table())
    for engine in _engines(result):
        say(engine)
    say(f"Cost: {result.cost}.")
    for file in files:
        say(f"saved {file}")


def read_lrs(words: str) -> tuple[float, ...]:
    """Return the rates that ``LOW:HIGH:PER_DECADE`` or a list with commas stands for.

    Raises:
        InputError: it is neither.

    Example:
        >>> read_lrs("1e-3:1:1")
        (0.001, 0.01, 0.1, 1.0)
        >>> read_lrs("0.1, 0.3")
        (0.1, 0.3)
    """
    from surefoot._sweep import grid

    try:
        if ":" in words:
            low, high, *rest = words.split(":")
            (per_decade,) = rest or ["3"]
            return grid(float(low), float(high), int(per_decade))
        return tuple(float(word) for word in words.split(","))
    except InputError:
        raise
    except ValueError:
        raise InputError(
            "--lrs must be LOW:HIGH:PER_DECADE, such as 1e-5:1:4, or rates with commas, not "
            f"{words!r}."
        ) from None


def read_over(words: list[str]) -> dict[str, list[int | float | str]]:
    """Return the values of each setting that ``NAME=V1,V2`` gives: whole numbers, numbers or text.

    Raises:
        InputError: one of the words is something else, or names a setting again.

    Example:
        >>> read_over(["batch_size=32,128", "decay=0,1e-2", "kind=wide,deep"])
        {'batch_size': [32, 128], 'decay': [0, 0.01], 'kind': ['wide', 'deep']}
    """
    found: dict[str, list[int | float | str]] = {}
    for word in words:
        name, equals, listed = word.partition("=")
        name, values = name.strip(), [value.strip() for value in listed.split(",")]
        if not equals or not name.isidentifier() or not all(values):
            raise InputError(f"--over must be NAME=V1,V2, such as batch_size=32,128, not {word!r}.")
        if name in found:
            raise InputError(f"--over names {name!r} twice; give all its values at once.")
        found[name] = [_value(value) for value in values]
    return found


def _value(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def _engines(result: Sensitivity | Interaction) -> list[str]:
    """Return a line for each backend that trained members, with the reason of its first sweep."""
    if isinstance(result, Sensitivity):
        return [f"Engine: {engine.backend}, {engine.reason}." for engine in _known(result)]
    used = [engine for cell in result.cells for engine in _known(cell.sensitivity)]
    counts = Counter(engine.backend for engine in used)
    first = {engine.backend: engine.reason for engine in reversed(used)}
    return [
        f"Engine of {count} of {len(used)} sweeps: {backend}, {first[backend]}."
        for backend, count in counts.items()
    ]


def _known(result: Sensitivity) -> list[Engine]:
    return [] if result.engine is None else [result.engine]
