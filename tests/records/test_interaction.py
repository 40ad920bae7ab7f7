"""An interaction: its ridge, its exponents and its words, against laws that are known."""

import dataclasses
import itertools
import json
import math

import pytest

from surefoot.errors import InputError
from surefoot.records import (
    Basin,
    Cell,
    Cost,
    Failure,
    Interaction,
    Optimum,
    Point,
    Sensitivity,
    Slope,
)

COST = Cost(10, 1.0, 1.0)


def curve(lr, *, width=None, ratio=2.0, side="both", loss=1.0):
    """Return a U curve whose best is at ``lr``; with ``width`` it has a fitted optimum."""
    places = {"both": (-1, 0, 1), "low": (0, 1), "high": (-1, 0), "alone": (0,)}[side]
    points = tuple(Point(lr * ratio**k, loss + abs(k), loss, loss + 1, 2, 0, 0) for k in places)
    best = points[places.index(0)]
    fit = None if width is None else Optimum(1.1 * lr, lr / width, lr * width, loss - 0.1)
    basin = Basin(lr / 1.5, lr * 1.5, 0.1)
    return Sensitivity(
        points, best, basin, None, 3.0, "validation loss", "", COST, optimum=fit, name="u"
    )


def interaction(lr_of, failures=(), **over):
    """Return the interaction in which the best rate is ``lr_of(**settings)``."""
    combinations = [
        dict(zip(over, values, strict=True)) for values in itertools.product(*over.values())
    ]
    cells = tuple(Cell(settings, curve(lr_of(**settings))) for settings in combinations)
    return Interaction(tuple(over), cells, "why", COST, "digits", "validation loss", failures)


def by_batch():
    return interaction(lambda batch: 0.01 * batch**0.5, batch=[8, 32, 128])


def by_batch_and_kind():
    factor = {"SGD": 1.0, "Adam": 0.1}
    return interaction(
        lambda kind, batch: factor[kind] * batch / 100, kind=["SGD", "Adam"], batch=[8, 16, 32]
    )


def test_it_goes_to_json_and_back():
    given = interaction(
        lambda a, b, c: 0.1, (Failure({"a": 1}, "ValueError: no"),), a=[1, 2.5], b=["x", None],
        c=[True],
    )  # fmt: skip
    again = Interaction.from_json(given.to_json())
    assert again == given
    assert json.loads(given.to_json())["surefoot"] == "Interaction"
    assert [type(value) for value in again.cells[0].settings.values()] == [int, str, bool]


def test_values_come_once_and_in_the_order_of_the_sweep():
    result = by_batch_and_kind()
    assert result.values("batch") == (8, 16, 32)
    assert result.values("kind") == ("SGD", "Adam")


def test_the_ridge_is_the_best_rate_of_each_value():
    ridge = by_batch_and_kind().ridge("batch", kind="Adam")
    assert [point.value for point in ridge] == [8, 16, 32]
    assert [point.lr for point in ridge] == pytest.approx([0.008, 0.016, 0.032])
    assert ridge[0].settings == {"kind": "Adam", "batch": 8}
    assert ridge[0].loss == 1.0


def test_the_ridge_takes_the_fitted_optimum_where_there_is_one():
    cell = Cell({"batch": 8}, curve(0.1, width=1.2))
    (point,) = Interaction(("batch",), (cell,), "", COST).ridge()
    assert (point.lr, point.low, point.high) == pytest.approx((0.11, 0.1 / 1.2, 0.12))
    assert point.loss == 0.9


@pytest.mark.parametrize("low", [0.0, math.nan])
def test_an_optimum_without_an_interval_is_passed_over(low):
    found = dataclasses.replace(curve(0.1), optimum=Optimum(0.3, low, 0.5, 1.0))
    (point,) = Interaction(("b",), (Cell({"b": 8}, found),), "", COST).ridge()
    assert point.lr == 0.1


@pytest.mark.parametrize(
    ("side", "ends"),
    [("both", (0.05, 0.2)), ("low", (0.05, 0.2)), ("high", (0.05, 0.2)), ("alone", (0.1, 0.1))],
)
def test_without_a_fit_the_interval_is_that_of_the_neighbouring_rates(side, ends):
    cell = Cell({"batch": 8}, curve(0.1, side=side))
    (point,) = Interaction(("batch",), (cell,), "", COST).ridge()
    assert (point.low, point.high) == pytest.approx(ends)


def test_the_slope_is_the_exponent_and_its_interval_that_of_the_points():
    slope = by_batch().slope()
    error = math.log(2) / 1.6449 / (math.sqrt(2) * math.log(4))
    assert slope.exponent == pytest.approx(0.5)
    reach = 1.6449 * error
    assert (slope.low, slope.high) == pytest.approx((0.5 - reach, 0.5 + reach), rel=1e-3)
    assert slope.misfit == pytest.approx(0.0, abs=1e-9)


def test_the_slope_over_other_settings_has_one_factor_for_each():
    assert by_batch_and_kind().slope("batch").exponent == pytest.approx(1.0)


def test_a_value_that_is_surer_counts_more():
    cells = [Cell({"b": b}, curve(lr, width=w)) for b, lr, w in ((1, 1, 1.01), (2, 2, 1.01))]
    cells.append(Cell({"b": 4}, curve(400.0, width=50)))
    slope = Interaction(("b",), tuple(cells), "", COST).slope()
    assert slope.exponent == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("values", [["a", "b"], [0.0, 1.0], [True, False], [-1, 2], [None, 2]])
def test_without_positive_numbers_there_is_no_slope(values):
    result = interaction(lambda x: 0.1 if x == values[0] else 0.2, x=values)
    assert result.slope() is None
    assert result.law() == f"Best lr by x: 0.1 at {values[0]}, 0.2 at {values[1]}."


def test_a_single_value_has_no_slope():
    assert interaction(lambda x: 0.1, x=[3]).slope() is None


def test_a_slope_is_written_with_its_interval():
    assert str(Slope(0.8, 0.6, 1.0, 1.0)) == "0.80 (0.60 … 1.00)"
    assert str(Slope(-1e-9, -0.1, 0.1, 1.0)) == "0.00 (-0.10 … 0.10)"


def test_the_law_says_how_the_best_rate_moves():
    said = interaction(lambda batch: 0.01 * batch, batch=[8, 32, 128]).law()
    assert said == "Best lr ∝ batch^1.00 (0.65 … 1.35): 0.08 at 8, 1.28 at 128."


def test_the_law_says_where_nothing_is_sure():
    said = interaction(lambda batch: 0.01, batch=[8, 16]).law()
    assert said.startswith("Best lr shows no sure dependence on batch, ∝ batch^0.00 (-1.41 … 1.41)")


def test_the_law_says_where_the_ridge_bends():
    lrs = {8: 0.1, 16: 0.2, 32: 0.21, 64: 0.21}
    cells = tuple(Cell({"b": b}, curve(lr, width=1.05)) for b, lr in lrs.items())
    said = Interaction(("b",), cells, "", COST).law()
    assert said.endswith("No single power fits well: the ridge bends along b.")


def test_the_law_tells_few_combinations_apart():
    said = by_batch_and_kind().law("batch")
    assert said.startswith("Best lr ∝ batch^b, with b = 1.00 (")
    assert said.endswith(" at kind=Adam.")


def test_the_law_says_at_which_combination_the_ridge_bends():
    lrs = {8: 0.1, 16: 0.2, 32: 0.21, 64: 0.21}
    cells = [Cell({"k": "x", "b": b}, curve(lr, width=1.05)) for b, lr in lrs.items()]
    cells += [Cell({"k": "y", "b": b}, curve(b / 100, width=1.05)) for b in lrs]
    said = Interaction(("k", "b"), tuple(cells), "", COST).law("b")
    assert said.endswith(" at k=y. No single power fits well at k=x.")


def test_the_law_takes_many_combinations_together():
    result = interaction(lambda x, y: 0.1 * y, x=list("abcdef"), y=[1, 2, 4])
    assert "∝ y^1.00 (" in result.law("y")


def test_the_table_has_a_row_for_each_combination():
    table = by_batch().table()
    assert table.columns[:4] == ("batch", "best lr", "low", "high")
    assert [row[0] for row in table.rows] == [8, 32, 128]
    assert table.rows[0][1] == pytest.approx(0.01 * 8**0.5)
    assert table.title == "digits: validation loss"


def test_the_table_shows_what_failed():
    failed = Failure({"batch": 7}, "ValueError: odd")
    table = interaction(lambda batch: 0.1, (failed,), batch=[8]).table()
    assert table.columns[-1] == "error"
    assert (table.rows[1][0], table.rows[1][-1]) == (7, "ValueError: odd")
    assert (table.best, table.bad) == (0, (1,))


def test_an_interaction_without_a_name_has_its_metric_as_title():
    assert Interaction(("x",), (), "", COST).table().title == "loss"
    assert str(Interaction(("x",), (), "why", COST)) == "why"


@pytest.mark.parametrize(
    ("arguments", "at", "said"),
    [
        (("width",), {}, "There is no setting 'width'; they are 'kind', 'batch'"),
        ((), {"width": 3}, "There is no setting 'width'"),
        (("batch",), {}, "only at one value of 'kind': give kind=…, one of 'SGD', 'Adam'"),
        (("batch",), {"kind": "sgd"}, "kind must be one of 'SGD', 'Adam', not 'sgd'"),
        ((), {}, "along must name one of the settings 'kind', 'batch'; 2 of them vary"),
        ((), {"kind": "SGD", "batch": 8}, "along must name one of .*; 0 of them vary"),
        (("batch",), {"kind": "SGD", "batch": 8}, "batch cannot both vary and be held at 8"),
    ],
)
def test_a_wrong_question_is_told(arguments, at, said):
    with pytest.raises(InputError, match=said):
        by_batch_and_kind().ridge(*arguments, **at)


def test_a_curve_that_its_grid_cut_off_takes_no_part_in_the_exponent():
    result = interaction(lambda b: min(0.001 * b, 0.02), b=[1, 4, 16, 64])
    cells = [
        dataclasses.replace(
            cell, sensitivity=dataclasses.replace(cell.sensitivity, extend_to=beyond)
        )
        for cell, beyond in zip(result.cells, [None, None, None, 0.1], strict=True)
    ]
    cut = dataclasses.replace(result, cells=tuple(cells))
    assert cut.slope("b").exponent == pytest.approx(1.0)
    assert result.slope("b").exponent < 0.9
    assert cut.law("b").endswith("Without b=64, where the grid ends too early.")
    lost = [
        dataclasses.replace(cell, sensitivity=dataclasses.replace(cell.sensitivity, extend_to=0.1))
        for cell in result.cells
    ]
    assert dataclasses.replace(result, cells=tuple(lost)).slope("b") is None


def test_the_table_says_where_a_best_rate_may_lie_beyond_the_grid():
    result = by_batch()
    assert "beyond grid" not in result.table().columns
    first, *rest = result.cells
    fit = Optimum(0.1, 0.05, 0.2, 1.0, open_high=True)
    cut = Cell(first.settings, dataclasses.replace(first.sensitivity, optimum=fit))
    table = dataclasses.replace(result, cells=(cut, *rest)).table()
    sides = [row[table.columns.index("beyond grid")] for row in table.rows]
    assert sides == ["above"] + [""] * len(rest)


def test_the_law_says_where_too_much_was_cut_off_for_an_exponent():
    result = by_batch_and_kind()
    cells = [
        dataclasses.replace(
            cell,
            sensitivity=dataclasses.replace(
                cell.sensitivity, extend_to=10.0 if cell.settings["kind"] == "SGD" else None
            ),
        )
        for cell in result.cells
    ]
    said = dataclasses.replace(result, cells=tuple(cells)).law("batch")
    assert "with b = unknown at kind=SGD; 1.00" in said
    assert "Without kind=SGD, batch=8; kind=SGD, batch=16; kind=SGD, batch=32, where" in said
