"""One run as columns: what every reader returns and every rule looks at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast, overload

import numpy as np

from surefoot._base.codec import Record
from surefoot.errors import InputError
from surefoot.records._lazy import LazyCurves
from surefoot.records._tags import CANONICAL
from surefoot.records.curve import Curve

__all__ = ["RunLog"]


@dataclass(frozen=True, repr=False)
class RunLog(Record):
    """One run: its curves by name, and what is known about it.

    The canonical names are ``loss``, ``validation_loss``, ``lr``, ``grad_norm`` and
    ``update_ratio``; every other curve keeps the name under which it was recorded. A curve that
    was renamed on reading is found under both names.

    Args:
        name: what the run is called, usually its folder.
        curves: the curves by name; canonical names are put first.
        tags: what is known beside the curves, in JSON types: the optimizer, the base lr, …
            ``tags["names"]`` maps each canonical name to the recorded one where they differ.
        source: where the log was read from; empty for one made in memory.
        notes: what the reader left out or repaired, one sentence each.

    Raises:
        InputError: ``curves`` holds something that is no Curve.

    Example:
        >>> log = RunLog("digits", {"accuracy": Curve([0], [0.1]), "loss": Curve([0, 1], [2, 1])})
        >>> log.names, log.last_step, "lr" in log
        (('loss', 'accuracy'), 1, False)
        >>> step, value = log["loss"]
        >>> log[1:]["loss"].to_dict()
        {'steps': [1.0], 'values': [1.0]}
        >>> log["lr"]
        Traceback (most recent call last):
            ...
        surefoot.errors.InputError: The run 'digits' has no curve 'lr'; it has loss, accuracy.
    """

    name: str
    curves: Mapping[str, Curve] = field(default_factory=dict[str, Curve])
    tags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        first = [name for name in CANONICAL if name in self.curves]
        names = first + [name for name in self.curves if name not in CANONICAL]
        if isinstance(self.curves, LazyCurves):
            object.__setattr__(self, "curves", self.curves.chosen((name, name) for name in names))
        else:
            for name, curve in self.curves.items():
                if not isinstance(cast("object", curve), Curve):
                    raise InputError(f"curves[{name!r}] must be a Curve, not {curve!r:.60}.")
            object.__setattr__(self, "curves", {name: self.curves[name] for name in names})
        object.__setattr__(self, "tags", dict(self.tags))
        object.__setattr__(self, "notes", tuple(self.notes))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the curves, canonical ones first."""
        return tuple(self.curves)

    @property
    def unit(self) -> str:
        """What the steps count: "update", or "epoch" or "row" where a file had no updates."""
        unit = self.tags.get("step_unit")
        return unit if unit in ("epoch", "row") else "update"

    @property
    def last_step(self) -> int | None:
        """The largest update at which anything was recorded; None for a run without values."""
        steps = [curve.steps[np.isfinite(curve.steps)] for curve in self.curves.values()]
        return max((int(step.max()) for step in steps if step.size), default=None)

    def get(self, name: str) -> Curve | None:
        """Return the curve of that name, or None."""
        own = self._own_name(name)
        return None if own is None else self.curves[own]

    def _own_name(self, name: str) -> str | None:
        """Return under which name a curve is kept that was recorded under another."""
        if name in self.curves:
            return name
        names = self.tags.get("names")
        if isinstance(names, Mapping):
            for canonical, recorded in cast("Mapping[Any, Any]", names).items():
                if recorded == name and canonical in self.curves:
                    return canonical
        return None

    def between(self, start: float | None = None, stop: float | None = None) -> "RunLog":
        """Return the run at steps from ``start`` on and before ``stop``; also ``log[100:200]``."""
        low, high = -np.inf if start is None else start, np.inf if stop is None else stop
        curves = {name: curve.between(low, high) for name, curve in self.curves.items()}
        return replace(self, curves=curves)

    def thin(self, points: int = 1000) -> "RunLog":
        """Return the run with at most about ``points`` points of each curve; spikes survive."""
        return replace(self, curves={name: each.thin(points) for name, each in self.curves.items()})

    @overload
    def __getitem__(self, name: str) -> Curve: ...

    @overload
    def __getitem__(self, name: slice) -> "RunLog": ...

    def __getitem__(self, name: str | slice) -> "Curve | RunLog":
        if isinstance(name, slice):
            if name.step is not None:
                raise InputError("A slice of a run has a start and a stop only; see RunLog.thin.")
            return self.between(name.start, name.stop)
        curve = self.get(name)
        if curve is None:
            has = f"it has {', '.join(self.names)}" if self.curves else "it is empty"
            raise InputError(f"The run {self.name!r} has no curve {name!r}; {has}.")
        return curve

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._own_name(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.curves)

    def __len__(self) -> int:
        return len(self.curves)

    def __repr__(self) -> str:
        return f"RunLog({self.name!r}, {len(self)} curves, last step {self.last_step})"
