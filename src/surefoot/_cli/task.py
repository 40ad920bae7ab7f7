"""``file.py:name``: how a command is told what to train."""

from surefoot._engine.source import load_task
from surefoot._engine.trial import Trial

__all__ = ["load_trial"]


def load_trial(where: str) -> Trial:
    """Return the trial that ``file.py:name`` leads to; a function is called for it.

    Raises:
        TaskError: there is no such file or name, the file does not run, or it is no trial.
    """
    task = load_task(where)
    return task if isinstance(task, Trial) else task()
