"""How the best learning rate moves with other settings: one U curve for each combination."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surefoot._base.codec import Record
from surefoot._curves.power_law import fit_power_law
from surefoot.errors import InputError
from surefoot.records.cost import Cost
from surefoot.records.sensitivity import Sensitivity
from surefoot.records.table import Table

__all__ = ["Cell", "Failure", "Interaction", "RidgePoint", "Slope", "is_positive", "label"]

_LEVEL = 0.9
_QUANTILE = 1.6449  # of the normal distribution, two-sided, at this level
_LEAST = 0.01  # no rate is known better than to 1 %
_TOLD_APART = 4  # combinations of the other settings that a sentence can hold
_BENT = 1.5  # from this misfit on the points bend away from one power law


@dataclass(frozen=True)
class Cell(Record):
    """One combination of settings and its U curve.

    Args:
        settings: value by name: text, numbers, truth values or None.
        sensitivity: what the sweep at these settings returned.
    """

    settings: Mapping[str, Any]
    sensitivity: Sensitivity


@dataclass(frozen=True)
class Failure(Record):
    """One combination of settings whose sweep failed.

    Args:
        settings: value by name.
        error: what it raised, such as ``"InputError: …"``.
    """

    settings: Mapping[str, Any]
    error: str


@dataclass(frozen=True)
class RidgePoint(Record):
    """The best learning rate at one value.

    Args:
        value: of the setting along which the ridge runs.
        lr: the best rate: the optimum of the fit, or without one the best of the grid.
        low, high: its interval; without a fit the neighbouring rates of the grid (at the end of
            the grid, where one is missing, it counts as being as far away as the other).
        loss: the loss there.
        settings: all settings of the cell.
        open_low, open_high: the best rate may lie beyond that end of the interval, where the grid
            ends.
    """

    value: Any
    lr: float
    low: float
    high: float
    loss: float
    settings: Mapping[str, Any]
    open_low: bool = False
    open_high: bool = False


@dataclass(frozen=True)
class Slope(Record):
    """The exponent b of best lr ∝ value^b.

    Args:
        exponent: d log(best lr) / d log(value).
        low, high: its interval; wider where the points bend away from one power law.
        misfit: how far they do: about 1 where they scatter as their intervals say, 3 where a
            power law does not describe them; NaN with two points.
        level: probability of the interval, in (0, 1).
    """

    exponent: float
    low: float
    high: float
    misfit: float
    level: float = _LEVEL

    def __str__(self) -> str:
        exponent, low, high = (f"{value:.2f}" for value in (self.exponent, self.low, self.high))
        return f"{exponent} ({low} … {high})".replace("-0.00", "0.00")


@dataclass(frozen=True)
class Interaction(Record):
    """The U curves of all combinations of some settings.

    Args:
        names: of the settings.
        cells: one per combination, in the order of the sweep.
        reason: how the best rate moves with each name.
        cost: what it cost.
        name: of the trials.
        metric: what ``loss`` is: "validation loss" or "training loss".
        failures: the combinations whose sweep failed.

    Example:
        >>> from surefoot.records import Basin, Point
        >>> cost = Cost(updates=1, seconds=1.0, trainings=1.0)
        >>> def cell(batch, lr):
        ...     u = [(lr / 2, 2.0), (lr, 1.0), (lr * 2, 2.0)]
        ...     points = tuple(Point(lr, loss, loss, loss, 1, 0) for lr, loss in u)
        ...     found = (points, points[1], Basin(lr, lr, 0.1), None, 3.0, "loss", "", cost)
        ...     return Cell({"batch": batch}, Sensitivity(*found))
        >>> result = Interaction(("batch",), (cell(8, 0.1), cell(16, 0.2)), "", cost)
        >>> [(point.value, point.lr) for point in result.ridge()]
        [(8, 0.1), (16, 0.2)]
        >>> print(result.slope())
        1.00 (-0.41 … 2.41)
    """

    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    reason: str
    cost: Cost
    name: str = ""
    metric: str = "loss"
    failures: tuple[Failure, ...] = ()

    def values(self, name: str) -> tuple[Any, ...]:
        """Return the values of a setting, each once, in the order of the sweep.

        Raises:
            InputError: there is no setting of that name.
        """
        self._known(name)
        return tuple(dict.fromkeys(cell.settings[name] for cell in self.cells))

    def ridge(self, along: str | None = None, **at: Any) -> tuple[RidgePoint, ...]:
        """Return the best rate for each value of one setting.

        Args:
            along: the setting that varies; None is the one that ``at`` leaves.
            at: the other settings, each at one of its values.

        Raises:
            InputError: a name or a value is not there, or another setting varies too.

        Example:
            >>> Interaction((), (), "", Cost(0, 0.0, 0.0)).ridge("width")
            Traceback (most recent call last):
            surefoot.errors.InputError: There is no setting 'width'; there is none at all.
        """
        along, cells = self._picked(along, at)
        free = [name for name in self.names if name != along and name not in at]
        if free:
            raise InputError(
                f"along {along!r} the ridge is one line only at one value of {free[0]!r}: give "
                f"{free[0]}=…, one of {_listed(self.values(free[0]))}."
            )
        return tuple(_ridge_point(cell, along) for cell in cells)

    def slope(self, along: str | None = None, **at: Any) -> Slope | None:
        """Return the exponent b of best lr ∝ value^b, or None where there is none.

        The logarithms of the best rates are fitted by a line, weighted by their intervals. Where
        other settings vary too, each of their combinations has a factor of its own. A U curve that
        the end of its grid cut off takes no part: its best rate lies somewhere beyond.

        Args:
            along: the setting; None is the one that ``at`` leaves.
            at: settings to hold at one of their values.

        Returns:
            The exponent with its interval; None for a setting whose values are not all numbers
            > 0, or of which no two were swept together.

        Raises:
            InputError: a name or a value is not there.
        """
        along, cells = self._picked(along, at)
        points = [_ridge_point(cell, along) for cell in cells if not _is_cut_off(cell)]
        if not points or not all(is_positive(point.value) for point in points):
            return None
        law = fit_power_law(
            [point.value for point in points],
            [point.lr for point in points],
            [max(math.log(p.high / p.low) / 2, _LEAST) / _QUANTILE for p in points],
            [tuple(p.settings[name] for name in self.names if name != along) for p in points],
        )
        if law is None:
            return None
        reach = law.reach(_LEVEL)
        return Slope(law.exponent, law.exponent - reach, law.exponent + reach, law.misfit)

    def law(self, along: str | None = None, **at: Any) -> str:
        """Return in a sentence how the best rate moves with one setting.

        Where other settings vary, the exponent stands there for each of their combinations, or
        for all together where there are more than four.

        Args:
            along: the setting; None is the one that ``at`` leaves.
            at: settings to hold at one of their values.

        Raises:
            InputError: a name or a value is not there.
        """
        along, cells = self._picked(along, at)
        others = [name for name in self.names if name not in (along, *at)]
        means = _means([_ridge_point(cell, along) for cell in cells])
        slope = self.slope(along, **at)
        combinations = dict.fromkeys(tuple(c.settings[name] for name in others) for c in cells)
        if slope is not None and 1 < len(combinations) <= _TOLD_APART:
            each = [dict(zip(others, values, strict=True)) for values in combinations]
            slopes = {label(one): self.slope(along, **at, **one) for one in each}
            said = "; ".join(f"{found or 'unknown'} at {name}" for name, found in slopes.items())
            bent = [name for name, found in slopes.items() if found and found.misfit > _BENT]
            where = f" No single power fits well at {'; '.join(bent)}." if bent else ""
            return f"Best lr ∝ {along}^b, with b = {said}.{where}{_without(cells)}"
        if slope is None:
            listed = ", ".join(f"{lr:.3g} at {value}" for value, lr in means.items())
            return f"Best lr by {along}: {listed}."
        (first, from_lr), *_, (last, to_lr) = sorted(means.items())
        ends = f"{from_lr:.3g} at {first:g}, {to_lr:.3g} at {last:g}"
        if slope.low <= 0 <= slope.high:
            said = f"Best lr shows no sure dependence on {along}, ∝ {along}^{slope}: {ends}."
        else:
            said = f"Best lr ∝ {along}^{slope}: {ends}."
        bent = f" No single power fits well: the ridge bends along {along}."
        said += bent if slope.misfit > _BENT else ""
        return said + _without(cells)

    def table(self) -> Table:
        """Return one row per combination: the settings and what its U curve came to.

        Where a best rate may lie beyond the end of the grid, a column says on which side; where
        sweeps failed, one says why.
        """
        points = [_ridge_point(cell, self.names[0]) for cell in self.cells]
        beyond = [_beyond(point) for point in points]
        columns = [*self.names, "best lr", "low", "high", "loss", "basin low", "basin high"]
        columns += ["diverges at", *["beyond grid"] * any(beyond), *["error"] * bool(self.failures)]
        rows: list[list[Any]] = []
        for cell, point, side in zip(self.cells, points, beyond, strict=True):
            found = cell.sensitivity
            row = [*cell.settings.values(), point.lr, point.low, point.high, point.loss]
            row += [found.basin.low, found.basin.high, found.diverges_at, *[side] * any(beyond)]
            rows.append(row + [""] * bool(self.failures))
        bad = range(len(rows), len(rows) + len(self.failures))
        for failed in self.failures:
            empty = [None] * (len(columns) - len(self.names) - 1)
            rows.append([*failed.settings.values(), *empty, failed.error])
        title = f"{self.name}: {self.metric}" if self.name else self.metric
        losses = [cell.sensitivity.best.loss for cell in self.cells]
        best = losses.index(min(losses)) if losses else None
        return Table(columns, rows, title, best=best, bad=bad)

    def __str__(self) -> str:
        return self.reason

    def _picked(self, along: str | None, at: Mapping[str, Any]) -> tuple[str, list[Cell]]:
        """Return the setting that varies, and the cells where the others are as ``at`` says."""
        for name, value in at.items():
            if value not in self.values(name):
                raise InputError(
                    f"{name} must be one of {_listed(self.values(name))}, not {value!r:.60}."
                )
        left = [name for name in self.names if name not in at]
        if along is None:
            if len(left) != 1:
                raise InputError(
                    f"along must name one of the settings {_listed(self.names)}; "
                    f"{len(left)} of them vary."
                )
            (along,) = left
        self._known(along)
        if along in at:
            raise InputError(f"{along} cannot both vary and be held at {at[along]!r:.60}.")
        cells = self.cells
        return along, [c for c in cells if all(c.settings[n] == v for n, v in at.items())]

    def _known(self, name: str) -> None:
        if name not in self.names:
            listed = f"they are {_listed(self.names)}" if self.names else "there is none at all"
            raise InputError(f"There is no setting {name!r}; {listed}.")


def _is_cut_off(cell: Cell) -> bool:
    fit = cell.sensitivity.optimum
    beyond = fit is not None and (fit.open_low or fit.open_high)
    return beyond or cell.sensitivity.extend_to is not None


def _without(cells: list[Cell]) -> str:
    """Return which cells took no part in an exponent."""
    cut = [label(cell.settings) for cell in cells if _is_cut_off(cell)]
    return f" Without {'; '.join(cut)}, where the grid ends too early." if cut else ""


def _beyond(point: RidgePoint) -> str:
    """Return on which sides of the grid the best rate may lie beyond it."""
    sides = {"below": point.open_low, "above": point.open_high}
    return " or ".join(side for side, is_open in sides.items() if is_open)


def label(settings: Mapping[str, Any]) -> str:
    """Return settings as a person writes them: ``batch_size=8, width=64``."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def is_positive(value: Any) -> bool:
    """Return whether a setting is a number > 0, so that it has a logarithm."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _ridge_point(cell: Cell, along: str) -> RidgePoint:
    found, settings = cell.sensitivity, cell.settings
    fit = found.optimum
    if fit is not None and 0 < fit.low <= fit.high < math.inf:
        ends = (fit.low, fit.high, fit.loss, settings, fit.open_low, fit.open_high)
        return RidgePoint(settings[along], fit.lr, *ends)
    lr = found.best.lr
    below = max((point.lr for point in found.points if point.lr < lr), default=0.0)
    above = min((point.lr for point in found.points if point.lr > lr), default=0.0)
    low = below or (lr * lr / above if above else lr)
    high = above or (lr * lr / below if below else lr)
    ends = (low, high, found.best.loss, settings, not below, not above)
    return RidgePoint(settings[along], lr, *ends)


def _means(points: list[RidgePoint]) -> dict[Any, float]:
    """Return the geometric mean of the best rates for each value."""
    rates: dict[Any, list[float]] = {}
    for point in points:
        rates.setdefault(point.value, []).append(math.log(point.lr))
    return {value: math.exp(sum(logs) / len(logs)) for value, logs in rates.items()}


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(repr(value) for value in values)
