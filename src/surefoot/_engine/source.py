"""``file.py:name``: what it leads to, and how a trial that came so is loaded again elsewhere."""

import difflib
import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from surefoot._engine.trial import Trial
from surefoot.errors import SurefootError, TaskError

__all__ = ["Origin", "load_again", "load_task", "modules", "origin", "renamed"]

_ORIGIN = "_origin"
"""Where a trial keeps its origin. It is no field, so that ``dataclasses.replace`` forgets it."""

_loaded: dict[str, ModuleType] = {}
"""The modules of all files run here, by name."""


@dataclass(frozen=True)
class Origin:
    """Where a trial came from.

    Args:
        file: its file, an absolute path.
        name: its name there, or that of the function that made it.
        written: when the file was last written, in ns; one written later holds another trial.
        settings: what the function was called with.
    """

    file: str
    name: str
    written: int
    settings: Mapping[str, Any] = field(default_factory=dict)


def load_task(where: str) -> Trial | Callable[..., Trial]:
    """Return what ``file.py:name`` leads to: a trial, or a function that makes one.

    The trial, and each that the function makes from keywords, knows its :func:`origin`.

    Raises:
        TaskError: there is no such file or name, the file does not run, or it is neither.
    """
    file, colon, name = where.rpartition(":")
    if not colon or not file or not name:
        raise TaskError(f"Name the trial as FILE.py:NAME, such as task.py:trial, not {where!r}.")
    path = Path(file)
    if not path.is_file():
        raise TaskError(f"There is no file {file!r}.")
    found = Origin(str(path.resolve()), name, path.stat().st_mtime_ns)
    value = _look_up(_run_file(path), file, name)
    if isinstance(value, Trial):
        return _remember(value, found)
    if not callable(value) or isinstance(value, type):
        raise TaskError(
            f"{where} must be a surefoot.Trial, or a function that returns one, not a "
            f"{type(value).__name__}."
        )

    @functools.wraps(value)
    def make(**settings: Any) -> Trial:
        return _remember(value(**settings), replace(found, settings=settings))

    return make


def origin(trial: Trial) -> Origin | None:
    """Return where a trial can be loaded again, None if nowhere: its file has changed, say."""
    found = getattr(trial, _ORIGIN, None)
    if found is None or not Path(found.file).is_file():
        return None
    return found if Path(found.file).stat().st_mtime_ns == found.written else None


def renamed(trial: Trial, name: str) -> Trial:
    """Return the trial under another name, which changes nothing of where it can be loaded."""
    found = origin(trial)
    named = replace(trial, name=name)
    return named if found is None else _remember(named, found)


def load_again(found: Origin) -> Trial:
    """Return the trial that came from there; its file runs once in this process.

    Raises:
        TaskError: it leads to no trial any more.
    """
    value = _look_up(_run_once(found.file, found.written), found.file, found.name)
    trial = value if isinstance(value, Trial) else value(**found.settings)
    return _remember(trial, found)


def modules() -> tuple[ModuleType, ...]:
    """Return the modules of all files run here; no other process can import them by name."""
    return tuple(_loaded.values())


@functools.lru_cache(maxsize=1)
def _run_once(file: str, written: int) -> ModuleType:  # noqa: ARG001  a later one runs again
    return _run_file(Path(file))


def _run_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"{path} is no Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that what it defines can be pickled
    sys.path.insert(0, str(path.resolve().parent))  # as if it were run as a script
    try:
        spec.loader.exec_module(module)
    except SurefootError:
        raise
    except Exception as error:
        raise TaskError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    _loaded[path.stem] = module
    return module


def _look_up(module: ModuleType, file: str, name: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    trials = [key for key, value in vars(module).items() if isinstance(value, Trial)]
    close = difflib.get_close_matches(name, trials, 1) or trials[:1]
    hint = f" It has the trial {close[0]!r}." if close else " It defines no surefoot.Trial."
    raise TaskError(f"{file} has no {name!r}.{hint}")


def _remember(trial: Any, found: Origin) -> Trial:
    if not isinstance(trial, Trial):
        raise TaskError(
            f"{Path(found.file).name}:{found.name} must return a surefoot.Trial, not a "
            f"{type(trial).__name__}."
        )
    object.__setattr__(trial, _ORIGIN, found)
    return trial
