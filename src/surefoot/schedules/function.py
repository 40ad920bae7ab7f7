"""A Python function as a schedule."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from surefoot._base.units import Duration
from surefoot.errors import InputError
from surefoot.schedules import _checks, _scalar
from surefoot.schedules._phase import Phase

__all__ = ["Function", "function"]


@dataclass(frozen=True, repr=False)
class Function(Phase):
    """Use what a Python function returns for the number of the update.

    factor(j) = target(j),  j = 0 … n − 1

    A function is code. Text and JSON hold only where it can be imported from, and a reader imports
    it only where ``allow_functions=True`` is given. A function that cannot be imported, such as a
    lambda, works as long as the program runs.

    Args:
        target: a function from the update number within the phase to a finite factor ≥ 0, or where
            it is: ``"package.module:name"``. It must always return the same for the same number.
        duration: n; None fills what remains of the run.

    Raises:
        InputError: the target is no function or cannot be imported, or a factor that it returned
            is no finite number ≥ 0.

    Example:
        >>> plan = function("math:sqrt", duration=5)
        >>> plan([0, 1, 4, 1000]).round(6).tolist()
        [0.0, 1.0, 2.0, 2.236068]
        >>> from surefoot.schedules import schedule
        >>> schedule(str(plan), allow_functions=True) == plan
        True
    """

    target: Callable[[float], float]
    duration: Duration | None = None

    name = "function"
    words = "follow the function {target} for {duration}"

    def __post_init__(self) -> None:
        self._check(target=_function, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        j = self._local(t, xp)
        if xp is _scalar:
            return self._factor(j)
        if xp is np:
            return np.asarray([self._factor(each) for each in j.ravel().tolist()]).reshape(j.shape)
        return self.target(j)

    def _factor(self, j: float) -> float:
        whole = int(j)
        return _checks.factor(
            f"what {where(self.target)} returned for {j:g}",
            self.target(whole if whole == j else j),
        )

    def _fields(self) -> dict[str, Any]:
        return {"target": where(self.target), "duration": self.duration}

    def __getstate__(self) -> dict[str, Any]:
        return {"target": self.target, "duration": self.duration}


def where(target: Callable[..., Any]) -> str:
    """Return where a function can be imported from, as ``"package.module:name"``."""
    kind = cast("Any", target if hasattr(target, "__qualname__") else type(target))
    return f"{kind.__module__}:{kind.__qualname__}"


def _function(name: str, value: Any) -> Callable[[float], float]:
    target = _imported(name, value) if isinstance(value, str) else value
    if not callable(target):
        raise InputError(
            f"{name} must be a function or where it is, 'package.module:name', not {value!r:.80}."
        )
    return cast("Callable[[float], float]", target)


def _imported(name: str, text: str) -> Any:
    module, colon, path = text.partition(":")
    if not (module and colon and path):
        raise InputError(f"{name} must be 'package.module:name', not {text!r:.80}.")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{name} {text!r:.80} cannot be imported ({error}).") from None
    return found


function = Function
