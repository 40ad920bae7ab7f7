"""Every exception that Surefoot raises on purpose.

The tree::

    SurefootError                 anything a user can mend; the command exits with code 2
    ├── InputError  (ValueError)  an argument, a file or a text is not what is allowed
    │   ├── ScheduleTextError     a schedule text has a mistake at a known character
    │   ├── LogError              a log cannot be read: missing, foreign or damaged
    │   └── TaskError             a ``file.py:name`` does not lead to a trial
    ├── StateError  (RuntimeError) things are not in the state that the call needs
    └── MissingExtraError (ImportError) an optional library is not installed

    Interrupted (KeyboardInterrupt) Ctrl-C ended a sweep; it holds what was finished

A message names the argument, says what was given and what is allowed, and ends with what to do.
"""

from typing import Any

__all__ = [
    "InputError",
    "Interrupted",
    "LogError",
    "MissingExtraError",
    "ScheduleTextError",
    "StateError",
    "SurefootError",
    "TaskError",
]


class SurefootError(Exception):
    """Base of all errors that the user can mend."""


class InputError(SurefootError, ValueError):
    """An argument, a file or a text is not what is allowed."""


class StateError(SurefootError, RuntimeError):
    """Things are not in the state that the call needs."""


class LogError(InputError):
    """A log cannot be read: it is missing, of another kind, or damaged."""


class TaskError(InputError):
    """A ``file.py:name`` does not lead to a trial."""


class MissingExtraError(SurefootError, ImportError):
    """An optional library is not installed; the message gives the pip command."""


class ScheduleTextError(InputError):
    """A schedule text has a mistake at a known character.

    Args:
        message: what is wrong and what is allowed.
        text: the whole schedule text.
        position: index of the first wrong character, 0 … len(text).
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        self.message = message
        self.text = text
        self.position = position
        start = text.rfind("\n", 0, position) + 1
        line = text[start:].split("\n", 1)[0]
        column = position - start
        cut = max(0, column - 60)  # of a long line, the part around the place
        super().__init__(f"{message}\n  {line[cut : column + 40]}\n  {' ' * (column - cut)}^")

    def __reduce__(self) -> tuple[type["ScheduleTextError"], tuple[str, str, int]]:
        """Pickle what it was made of: it comes out of worker processes."""
        return type(self), (self.message, self.text, self.position)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a sweep before all of its members had finished.

    Args:
        message: how far it had come.
        result: what :func:`surefoot.sweep` would have returned, of the members that had finished;
            None if none of them tells anything.

    Example:
        >>> try:
        ...     raise Interrupted("12 of 42 members had finished.", "the U curve of these")
        ... except KeyboardInterrupt as error:
        ...     print(error.result)
        the U curve of these
    """

    def __init__(self, message: str, result: Any = None) -> None:
        self.result = result
        super().__init__(message)
