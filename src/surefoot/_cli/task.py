"""``file.py:name``: how a command is told what to train."""

import inspect

from surefoot._engine.source import load_task
from surefoot._engine.trial import Trial
from surefoot.errors import TaskError

__all__ = ["load_task", "load_trial"]


def load_trial(where: str) -> Trial:
    """Return the trial that ``file.py:name`` leads to; a function is called for it.

    Raises:
        TaskError: there is no such file or name, the file does not run, it is no trial, or the
            function needs arguments.
    """
    task = load_task(where)
    if isinstance(task, Trial):
        return task
    needed = [
        parameter.name
        for parameter in inspect.signature(task).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise TaskError(
            f"{where} needs {', '.join(needed)}: give it defaults, or sweep over its values with "
            f"--over {needed[0]}=…."
        )
    return task()
