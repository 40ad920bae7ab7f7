"""What the figures of interactions show, checked as data."""

import math

import numpy as np
import pytest

from surefoot.errors import InputError
from surefoot.plots import Heat, figure
from surefoot.records import Cell, Interaction

from .example_figures import COST, LONG_WORDS, interaction, opened, sensitivity


def named(data, name):
    (series,) = [s for panel in data.panels for s in panel.series if s.name == name]
    return series


def kinds(data, kind):
    return [s for panel in data.panels for s in panel.series if s.kind == kind]


def test_a_heat_map_has_a_row_for_each_value_and_shows_how_far_above_its_best_a_rate_is():
    data = figure(interaction(batch=[8, 80]))
    heat = data.panels[0].heat
    assert heat.y.tolist() == [8, 80]
    row = dict(zip(heat.x.tolist(), heat.z[0].tolist(), strict=True))
    assert row[0.03] == 0.0
    assert row[0.3] == pytest.approx((1.9 - 0.8) / 0.8)
    assert math.isnan(row[1.0])


def test_a_row_colours_a_rate_of_another_row_by_its_nearest_own():
    heat = figure(interaction(batch=[8, 16])).panels[0].heat
    row = dict(zip(heat.x.tolist(), heat.z[0].tolist(), strict=True))
    assert row[0.02] == row[0.03]


def test_the_colours_of_negative_losses_are_shares_of_what_was_learned():
    heat = figure(interaction(shift=-7.0, batch=[8])).panels[0].heat
    row = dict(zip(heat.x.tolist(), heat.z[0].tolist(), strict=True))
    assert row[1e-4] == pytest.approx((2.2 - 0.8) / (2.3 - 0.8))


def test_rates_that_fail_are_crossed_and_left_without_a_colour():
    data = figure(interaction(batch=[8]))
    crosses = named(data, "training fails, at least for one seed")
    assert crosses.x.tolist() == [1.0, 3.0]
    assert crosses.role == "very_high"
    assert np.isnan(data.panels[0].heat.z[0, -2:]).all()


def test_without_failures_there_are_no_crosses():
    cell = Cell({"batch": 8}, sensitivity({0.1: 2.0, 1.0: 1.0}))
    data = figure(Interaction(("batch",), (cell,), "", COST))
    assert [series.name for series in data.panels[0].series] == [
        "interval",
        "best lr, with its interval",
        "may lie beyond the end of the grid",
    ]
    assert kinds(data, "right")[0].y.tolist() == data.panels[0].heat.y.tolist()


def test_the_ridge_and_its_intervals_lie_on_the_heat_map():
    data = figure(interaction(batch=[8, 16]))
    ridge, bars = named(data, "best lr, with its interval"), named(data, "interval")
    assert ridge.x == pytest.approx([0.03, 0.06])
    assert ridge.y.tolist() == [8, 16]
    assert bars.x[:2].tolist() == pytest.approx([0.01, 0.1])
    assert np.isnan(bars.x[2::3]).all()


def test_the_law_is_the_caption_and_the_values_are_the_ticks():
    data = figure(interaction(batch=[8, 16, 80]))
    assert data.caption.startswith("Best lr ∝ batch^1.00")
    assert data.panels[0].y.log
    assert [tick.text for tick in data.panels[0].y.ticks] == ["8", "16", "80"]


def test_words_stand_at_equal_distances_the_first_on_top_and_no_line_joins_them():
    data = figure(interaction(kind=["SGD", "Adam", "Lion"]))
    axis = data.panels[0].y
    assert not axis.log
    assert [(tick.at, tick.text) for tick in axis.ticks] == [(0, "Lion"), (1, "Adam"), (2, "SGD")]
    assert named(data, "best lr, with its interval").kind == "points"


def test_numbers_of_which_one_is_zero_stand_at_equal_distances_and_ascend():
    axis = figure(interaction(kind=["x"], decay=[0.1, 0.0, 0.01]), along="decay").panels[0].x
    assert [tick.text for tick in axis.ticks] == ["0", "0.01", "0.1"]
    assert not axis.log


def test_values_too_near_each_other_are_not_all_labelled():
    data = figure(interaction(batch=[8, 8.01, 80]))
    assert [tick.text for tick in data.panels[0].y.ticks] == ["8", "80"]


def test_several_settings_show_a_ridge_for_each_combination():
    data = figure(interaction(width=[8, 16], kind=["SGD", "Adam"]))
    assert [series.label for series in data.panels[0].series] == ["kind=SGD", "kind=Adam"]
    (line, _) = data.panels[0].series
    assert line.x == pytest.approx([8, 16], rel=0.03)
    assert line.y == pytest.approx([0.03, 0.06])
    assert line.low == pytest.approx([0.01, 0.02])
    assert data.title == "Best learning rate by width: digits"


def test_ridges_stand_beside_each_other_and_each_near_its_value():
    given = interaction(width=[8, 16, 32], batch=[4, 64], kind=["SGD", "Adam"])
    lines = figure(given).panels[0].series
    places = np.array([line.x for line in lines])
    assert len(lines) == 4
    assert (np.diff(places, axis=0) > 0).all()
    assert np.exp(np.log(places).mean(axis=0)) == pytest.approx([8, 16, 32])
    assert (np.abs(np.log2(places / [8, 16, 32])) < 0.2).all()
    many = interaction(width=[8, 16], seed=list(range(30)))
    places = np.array([line.x for line in figure(many).panels[0].series])
    assert (np.abs(np.log2(places / [8, 16])) <= 0.2).all()


def test_on_an_axis_of_words_ridges_stand_beside_each_other_too():
    given = interaction(kind=["SGD", "Adam", "Lion"], width=[8, 16, 32])
    panel = figure(given, along="kind").panels[0]
    assert [(tick.at, tick.text) for tick in panel.x.ticks] == [
        (0, "SGD"), (1, "Adam"), (2, "Lion"),
    ]  # fmt: skip
    places = np.array([line.x for line in panel.series])
    assert places[:, 1] == pytest.approx([0.94, 1.0, 1.06])


def test_open_ends_of_a_ridge_are_triangles_on_the_heat_map():
    data = figure(opened(interaction(batch=[8, 16, 80])))
    (left,), (right,) = kinds(data, "left"), kinds(data, "right")
    assert (left.x.tolist(), left.y.tolist()) == ([0.015], [8])
    assert (right.x == pytest.approx([0.6]), right.y.tolist()) == (True, [80])
    assert (left.in_legend, right.in_legend) == (True, False)


def test_open_ends_of_ridges_are_triangles_of_their_colours():
    given = opened(interaction(width=[8, 16], kind=["SGD", "Adam"]))
    data = figure(given)
    (down,), (up,) = kinds(data, "down"), kinds(data, "up")
    first, last = (s for s in data.panels[0].series if s.kind == "linked")
    assert (down.x.tolist(), down.y.tolist(), down.role) == ([first.x[0]], [0.015], first.role)
    assert (up.x.tolist(), up.y.tolist(), up.role) == ([last.x[-1]], [0.12], last.role)
    assert (down.in_legend, up.in_legend) == (True, False)


def test_long_words_have_short_lines_and_ridges_of_them_stand_in_the_legend():
    rows = figure(interaction(optimizer=LONG_WORDS)).panels[0].y.ticks
    assert [tick.text for tick in reversed(rows)] == [
        "stochastic\ngradient descent,\nnesterov",
        "adamw with\ndecoupled weight\ndecay",
        "lion",
    ]
    endless = figure(interaction(kind=["word " * 40, "x" * 90])).panels[0].y.ticks
    lines = [line for tick in endless for line in tick.text.split("\n")]
    assert max(map(len, lines)) <= 18
    assert len(lines) <= 6
    long = figure(interaction(width=[8, 16], optimizer=LONG_WORDS)).panels[0].series
    assert [series.in_legend for series in long] == [True] * 3
    assert long[0].name == f"best lr, optimizer={LONG_WORDS[0]}"


def test_a_setting_that_is_held_leaves_a_heat_map_of_the_other():
    given = interaction(width=[8, 16], kind=["SGD", "Adam"])
    data = figure(given, kind="Adam")
    assert data.title == "Best learning rate by width, kind=Adam: digits"
    assert data.panels[0].heat.z.shape[0] == 2
    assert figure(given, along="kind", width=8).panels[0].y.label == "kind"


def test_a_wrong_setting_is_told():
    with pytest.raises(InputError, match="There is no setting 'depth'"):
        figure(interaction(batch=[8]), depth=3)


def test_shades_grow_with_the_logarithm_and_stop_at_the_top():
    heat = Heat("x", [1], [1, 2, 3, 4], [[0.0], [0.1], [9.9], [1e9]], 9.9)
    assert heat.shades[:, 0] == pytest.approx([0, math.log(2) / math.log(100), 1, 1])
    assert heat.value(float(heat.shades[1, 0])) == pytest.approx(0.1)


def test_a_heat_map_of_another_shape_is_told():
    with pytest.raises(InputError, match="must have 2 rows of 1 values"):
        Heat("x", [1], [1, 2], [[0.0, 1.0]], 1.0)
