"""Ranges, ticks, numbers and the places of labels."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import InputError
from surefoot.plots import Axis, FigureData, Mark, Panel, Series
from surefoot.plots._canvas import Canvas
from surefoot.plots._layout import CHARACTER, clipped, frame
from surefoot.plots._palette import CYCLE, HEAT, faded, style
from surefoot.plots._scale import at, edges, fit, place, short, tick_texts, ticks

FINITE = st.floats(-1e12, 1e12)
POSITIVE = st.floats(1e-12, 1e12)


@given(st.lists(FINITE, max_size=9))
def test_a_range_holds_its_values(values):
    low, high = fit(values)
    assert low < high
    assert all(low <= value <= high for value in values)


@given(st.lists(POSITIVE, max_size=9))
def test_a_log_range_holds_its_values(values):
    low, high = fit(values, log=True)
    assert 0 < low < high
    slack = 1 + 1e-9
    assert all(low / slack <= value <= high * slack for value in values)


@given(FINITE, st.floats(1e-3, 1e9))
def test_linear_ticks_are_few_inside_and_told_apart(low, width):
    ends = fit([low, low + width])
    found = ticks(ends)
    assert 2 <= len(found) <= 10
    slack = 1e-6 * (ends[1] - ends[0]) + 1e-9 * abs(low)
    assert all(ends[0] - slack <= tick <= ends[1] + slack for tick in found)
    assert len(set(tick_texts(found))) == len(set(found))


@given(POSITIVE, st.floats(2, 1e9))
def test_log_ticks_are_few_inside_and_told_apart(low, ratio):
    found = ticks((low, low * ratio), log=True)
    assert 1 <= len(found) <= 9
    assert all(low * 0.999 <= tick <= low * ratio * 1.001 for tick in found)
    assert len(set(tick_texts(found))) == len(found)


@pytest.mark.parametrize(
    ("ends", "texts"),
    [
        ((1e-6, 10), ["1e-6", "1e-5", "1e-4", "1e-3", "0.01", "0.1", "1", "10"]),
        ((0.01, 1), ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]),
        ((1e-4, 0.1), ["1e-4", "3e-4", "1e-3", "0.003", "0.01", "0.03", "0.1"]),
    ],
)
def test_lr_axes_read_well(ends, texts):
    assert tick_texts(ticks(ends, log=True)) == texts


@given(POSITIVE, st.integers(2, 6))
def test_short_numbers_keep_their_digits(value, digits):
    text = short(value, digits).replace("k", "e3").replace("M", "e6")
    assert float(text) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


@given(st.floats(0, 1), POSITIVE, st.floats(1.5, 1e6), st.booleans())
def test_at_is_the_inverse_of_place(share, low, ratio, log):
    ends = (low, low * ratio)
    assert place(at(share, ends, log=log), ends, log=log) == pytest.approx(share, abs=1e-6)


def panel(marks=(), series=()):
    x, y = Axis("x", range=(0.0, 1.0)), Axis("y", range=(0.0, 1.0))
    return Panel(x, y, tuple(series), tuple(marks))


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 40)), max_size=7))
def test_labels_above_do_not_overlap(given_marks):
    marks = [Mark("vertical", x, "m" * size) for x, size in given_marks]
    shown = panel(marks)
    found = frame(FigureData("t", (shown,)), shown, width=560)
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}
    boxes = []
    for label in found.top:
        size = len(label.text) * CHARACTER / 560
        start = label.x - shift[label.anchor] * size
        boxes.append((label.row, start, start + size))
    for (row, start, end), (other, first, last) in itertools.combinations(boxes, 2):
        assert row != other or end <= first + 1e-9 or last <= start + 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_labels_beside_keep_their_distance_order_and_bounds(heights):
    lines = [Series(f"{k}", [0, 1], [0, y], label=f"{y:.17g}") for k, y in enumerate(heights)]
    shown = panel(series=lines)
    side = frame(FigureData("t", (shown,)), shown, height=300).side
    places = [label.at for label in side]
    gap = min(16 / 300, 1 / max(len(places) - 1, 1))
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(places))
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in places)
    assert [float(label.text) for label in side] == pytest.approx(sorted(heights))


def test_a_lone_label_stands_at_its_line():
    shown = panel(series=[Series("a", [0, 1], [0, 0.25], label="a")])
    (label,) = frame(FigureData("t", (shown,)), shown).side
    assert label.at == pytest.approx(0.25)


@given(st.text(max_size=90), st.integers(5, 40))
def test_clipped_text_is_short_enough(text, longest):
    assert len(clipped(text, longest)) <= longest


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("role", ["main", "good", "low", "high", "very_high", "muted", *CYCLE])
def test_colours_can_be_read_on_white_and_on_dark(role):
    own = luminance(style(role).colour)
    assert 1.05 / (own + 0.05) >= 3
    assert (own + 0.05) / (luminance("#14171b") + 0.05) >= 3


def test_a_heat_map_grows_darker_and_its_ridge_can_be_read_on_the_light_end():
    steps = [luminance(colour) for colour in HEAT]
    assert all(later < 0.8 * before for before, later in itertools.pairwise(steps))
    ink = luminance(style("ink").colour)
    assert all((light + 0.05) / (ink + 0.05) >= 4.5 for light in steps[:4])


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8, unique=True), st.booleans())
def test_cells_hold_their_places_and_touch(places, log):
    places = sorted(places)
    found = edges(places, log=log)
    assert len(found) == len(places) + 1
    assert all(found[:-1] <= places)
    assert all(places <= found[1:])


def test_an_unknown_role_is_told():
    with pytest.raises(InputError, match="'very_high'"):
        style("red")


def test_faded_is_css():
    assert faded("muted", 0.5).startswith("rgba(")


@given(*[st.floats(-5, 5) | st.just(math.nan) | st.just(math.inf)] * 4)
def test_the_canvas_takes_any_line(x0, y0, x1, y1):
    canvas = Canvas(10, 4)
    canvas.line(x0, y0, x1, y1)
    canvas.sign(x0, y0, "x")
    assert [len(line) for line in canvas.lines()] == [10] * 4


def test_a_diagonal_goes_from_corner_to_corner():
    canvas = Canvas(6, 6)
    canvas.line(-1.0, -1.0, 2.0, 2.0)
    lines = canvas.lines()
    assert all(lines[row][5 - row] != " " for row in range(6))
    assert lines[0][0] == " "
