"""The base of every controller: a pure fold from what was observed to a factor."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from surefoot._base.checks import number
from surefoot._base.codec import FORMAT
from surefoot.errors import InputError

__all__ = ["Controller", "State", "at_least_one", "controller_from_dict"]

State = dict[str, Any]
"""What a controller remembers: numbers, texts, None and lists of them, ready for JSON."""


class Controller(ABC):
    """A rule that sets a factor from what is observed; the factor multiplies the schedule's.

    state₀ = start(),  (stateₖ, factorₖ) = update(stateₖ₋₁, observationₖ)

    A controller is a value; all that it knows of the run is the state, a flat JSON dictionary whose
    ``"factor"`` is the factor in force. A new one is a frozen dataclass with its fields, a ``name``
    of its own, the key that it ``needs`` in an observation, and ``update``.

    Raises:
        InputError: when the class is made: its name is taken, or it has none of its own. A
            class of the same name in the same module, as when a cell is run twice, replaces it.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Halve(Controller):
        ...     above: float
        ...     name = "halve"
        ...     needs = "metric"
        ...
        ...     def update(self, state, observation):
        ...         high = self.observed(observation) > self.above
        ...         new = {"factor": state["factor"] * (0.5 if high else 1)}
        ...         return new, new["factor"]
        >>> control = Halve(above=9)
        >>> control.update(control.start(), {"metric": 10})
        ({'factor': 0.5}, 0.5)
        >>> controller_from_dict(control.to_dict()) == control
        True
    """

    name: ClassVar[str]
    needs: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """Enter the controller under its name, the ``type`` in JSON."""
        own, inherited = vars(cls), getattr(cls, "name", None)
        if "name" not in own:
            if inherited is not None or "update" in own:
                raise InputError(
                    f"{cls.__name__} needs a name of its own, not {inherited!r}: its JSON would "
                    'be read as another controller; write name = "…" in the class.'
                )
            return
        taken = _KINDS.setdefault(cls.name, cls)
        if (taken.__module__, taken.__name__) != (cls.__module__, cls.__name__):
            raise InputError(
                f"name {cls.name!r} of {cls.__name__} is taken by {taken.__module__}."
                f"{taken.__name__}: give it another."
            )
        _KINDS[cls.name] = cls

    def start(self) -> State:
        """Return the state before the first observation; its key ``"factor"`` is the factor."""
        return {"factor": 1.0}

    @abstractmethod
    def update(self, state: State, observation: Mapping[str, Any]) -> tuple[State, float]:
        """Return a new state and the factor from now on; the state given is not changed.

        Raises:
            InputError: the observation lacks what the controller needs, or cannot be used.
        """

    def describe(self) -> str:
        """Return what the controller does, in words."""
        return f"Control by {self.needs}: {self}."

    def to_dict(self) -> dict[str, Any]:
        """Return the controller in JSON types, which :func:`controller_from_dict` reads back."""
        return {"surefoot": "Controller", "format": FORMAT, "type": self.name, **self._fields()}

    def _fields(self) -> dict[str, Any]:
        fields = dataclasses.fields(cast("Any", self))
        return {field.name: getattr(self, field.name) for field in fields}

    def _check(self, **checks: Callable[[str, Any], Any]) -> None:
        """Replace each field by what its check returns."""
        for field, check in checks.items():
            object.__setattr__(self, field, check(field, getattr(self, field)))

    def observed(self, observation: Mapping[str, Any]) -> float:
        """Return the one number that the controller needs; it may be NaN or infinite."""
        if self.needs not in observation:
            raise InputError(
                f"{self.name} needs {self.needs}: pass it as step({self.needs}=…) or "
                f"observe({self.needs}=…)."
            )
        value = observation[self.needs]
        return value if type(value) is float else number(self.needs, value, finite=False)


_KINDS: dict[str, type[Controller]] = {}
"""Every controller by its name."""


def at_least_one(name: str, value: Any) -> float:
    """Return ``value`` as a finite float ≥ 1, the greatest factor of a controller."""
    result = number(name, value)
    if not result >= 1:
        raise InputError(f"{name} must be at least 1, where control starts, not {value!r:.60}.")
    return result


def controller_from_dict(document: Any) -> Controller:
    """Return the controller that :meth:`Controller.to_dict` wrote.

    Raises:
        InputError: it is no such dictionary, or an argument is out of its range.
    """
    if not isinstance(document, Mapping):
        raise InputError(f"A controller is a JSON object, not {document!r:.60}.")
    fields = dict(cast("Mapping[str, Any]", document))
    if (noun := fields.pop("surefoot", "Controller")) != "Controller":
        raise InputError(f"This JSON holds a {noun}, not a Controller.")
    if (written := fields.pop("format", FORMAT)) != FORMAT:
        raise InputError(
            f"This controller has format {written!r}; this Surefoot reads format {FORMAT}: "
            "update Surefoot."
        )
    kind = fields.pop("type", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"type must be one of {', '.join(_KINDS)}, not {kind!r:.60}.")
    allowed = [field.name for field in dataclasses.fields(cast("Any", _KINDS[kind]))]
    for name in fields:
        if name not in allowed:
            raise InputError(f"{kind} has no field {name!r}; it has {', '.join(allowed)}.")
    return cast("Any", _KINDS[kind])(**fields)
