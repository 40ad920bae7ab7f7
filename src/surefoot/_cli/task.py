"""``file.py:name``: how a command is told what to train."""

import difflib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from surefoot._engine.trial import Trial
from surefoot.errors import SurefootError, TaskError

__all__ = ["load_trial"]


def load_trial(where: str) -> Trial:
    """Return the trial that ``file.py:name`` leads to; a function is called for it.

    Raises:
        TaskError: there is no such file or name, the file does not run, or it is no trial.
    """
    file, colon, name = where.rpartition(":")
    if not colon or not file or not name:
        raise TaskError(f"Name the trial as FILE.py:NAME, such as task.py:trial, not {where!r}.")
    path = Path(file)
    if not path.is_file():
        raise TaskError(f"There is no file {file!r}.")
    module = _run_file(path)
    if not hasattr(module, name):
        trials = [key for key, value in vars(module).items() if isinstance(value, Trial)]
        close = difflib.get_close_matches(name, trials, 1) or trials[:1]
        hint = f" It has the trial {close[0]!r}." if close else " It defines no surefoot.Trial."
        raise TaskError(f"{file} has no {name!r}.{hint}")
    return _as_trial(getattr(module, name), where)


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
    return module


def _as_trial(value: Any, where: str) -> Trial:
    if callable(value) and not isinstance(value, type):
        value = value()
    if not isinstance(value, Trial):
        raise TaskError(f"{where} must be a surefoot.Trial, not a {type(value).__name__}.")
    return value
