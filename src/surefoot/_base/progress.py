"""Progress of long work: a bar on a terminal, a callback, or nothing."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from surefoot.errors import InputError

__all__ = ["Advance", "Callback", "ProgressOption", "track"]

Callback = Callable[[int, int, str], None]
ProgressOption = bool | Callback | None
Advance = Callable[[int, str], None]


@contextmanager
def track(progress: ProgressOption, title: str, total: int) -> Generator[Advance]:
    """Yield a function (work done, what is going on) that shows the progress of long work.

    Args:
        progress: None shows a bar where standard error is a terminal, True always, False never; a
            function is called with (done so far, total, what is going on).
        title: what the work is.
        total: how much there is to do, in the unit of the work done.
    """
    done = 0
    if callable(progress):
        callback = progress

        def call(work: int, text: str = "") -> None:
            nonlocal done
            done += work
            callback(done, total, text)

        yield call
    elif progress is True or (progress is None and sys.stderr.isatty()):
        with _bar(title, total) as advance:
            yield advance
    elif progress is None or progress is False:
        yield _silent
    else:
        raise InputError(f"progress must be True, False, None or a function, not {progress!r}.")


def _silent(work: int, text: str = "") -> None:
    """Show nothing."""


@contextmanager
def _bar(title: str, total: int) -> Generator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, what="")
        yield lambda work, text="": bar.update(task, advance=work, what=text)
        bar.update(task, completed=total)
