"""Plotly, matplotlib, terminal and files draw every figure."""

import csv
import itertools
import json
import math
import sys

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from surefoot.errors import InputError, MissingExtraError
from surefoot.plots import FigureData, figure, plot, save, text
from surefoot.plots._layout import frame
from surefoot.plots._matplotlib import draw_matplotlib
from surefoot.plots._plotly import plotly_spec
from surefoot.records import Curve, RunLog

from .example_figures import FIGURES, fitted, interaction, loss_curve, run_log, sensitivity


def axes_for(data):
    return list(Figure().subplots(len(data.panels), 1, squeeze=False)[:, 0])


# ---------------------------------------------------------------- Plotly


def test_plotly_takes_every_figure(example):
    drawn = plot(example)
    assert isinstance(drawn, go.Figure)
    document = drawn.to_dict()
    names = {trace["name"] for trace in document["data"]}
    shown = sum(len(panel.series) + (panel.heat is not None) for panel in example.panels)
    assert len(document["data"]) == shown
    assert all(isinstance(name, str) for name in names)
    json.dumps(plotly_spec(example), allow_nan=False)


def test_plotly_shows_marks_and_labels():
    document = plot(sensitivity({0.01: 2.0, 0.1: 1.0, 1.0: math.inf})).to_dict()["layout"]
    texts = [note["text"] for note in document["annotations"]]
    assert {"best tried 0.1", "diverges from 1", "untrained 2.3"} <= set(texts)
    assert [shape["type"] for shape in document["shapes"]] == ["line", "rect", "line", "line"]
    assert document["xaxis"]["ticktext"][0] == "0.01"


def test_plotly_panels_share_their_x_axis():
    document = plot(run_log()).to_dict()["layout"]
    assert document["xaxis2"]["matches"] == "x"
    assert document["yaxis"]["domain"][0] > document["yaxis2"]["domain"][1]


def test_no_figure_offers_to_send_itself_away(tmp_path):
    assert "sendChartToCloud" in plotly_spec(figure(loss_curve()))["layout"]["modebar"]["remove"]
    page = save(loss_curve(), tmp_path / "figure.html").read_text(encoding="utf-8")
    assert '"showSendToCloud": false' in page


def test_what_plotly_takes_for_markup_is_escaped():
    data = figure(RunLog("<a href='x'>&", {"loss": Curve([0, 1], [1, 2])}))
    assert plotly_spec(data)["layout"]["title"]["text"] == "&lt;a href='x'&gt;&amp;"


def test_a_gap_is_null():
    spec = plotly_spec(figure(Curve([0, 1, 2], [1.0, math.nan, 2.0]), name="x"))
    (line,) = [trace for trace in spec["data"] if trace["name"] == "x"]
    assert line["y"] == [1.0, None, 2.0]


def test_lost_points_stand_just_inside_the_top():
    data = figure(sensitivity({0.01: 2.0, 0.1: 1.0, 1.0: math.inf}))
    (trace,) = [t for t in plotly_spec(data)["data"] if t["name"].startswith("diverged")]
    top = frame(data, data.panels[0]).y[1]
    assert 0.99 * top < trace["y"][0] < top


# ---------------------------------------------------------------- matplotlib


def test_matplotlib_takes_every_figure(example, tmp_path):
    path = save(example, tmp_path / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_matplotlib_draws_on_the_given_axes_and_touches_nothing_else():
    sys.modules.pop("matplotlib.pyplot", None)
    (ax,) = axes_for(figure(loss_curve(), name="loss"))
    assert plot(loss_curve(), ax=ax, name="loss") is ax
    assert "matplotlib.pyplot" not in sys.modules
    assert ax.get_title(loc="left") == "loss"
    assert ax.get_xlabel() == "updates"
    assert len(ax.lines) == 2


def test_matplotlib_axis_is_that_of_the_figure():
    data = figure(sensitivity({1e-3: 2.0, 1e-2: 1.0, 1.0: 2.0}))
    (ax,) = axes_for(data)
    draw_matplotlib(data, ax)
    assert ax.get_xscale() == "log"
    assert ax.get_xlim() == pytest.approx(frame(data, data.panels[0]).x)
    assert [label.get_text() for label in ax.get_xticklabels()][-1] == "1"


@pytest.mark.parametrize("wrong", [lambda axes: axes[0], lambda axes: [*axes, axes[0]]])
def test_too_few_or_many_axes_are_told(wrong):
    data = figure(run_log())
    with pytest.raises(InputError, match=r"ax must hold 2 axes.*subplots\(2, 1"):
        plot(data, ax=wrong(axes_for(data)))


def test_what_is_no_axes_is_told():
    with pytest.raises(InputError, match="matplotlib axes"):
        plot(loss_curve(), ax=3)


def test_dollars_and_underscores_are_text(tmp_path):
    save(FIGURES["four"](), tmp_path / "a.svg")
    drawing = (tmp_path / "a.svg").read_text()
    assert "_lr $9$, very high" in drawing


# ---------------------------------------------------------------- terminal


def test_the_terminal_takes_every_figure(example):
    drawn = text(example, width=72, height=12)
    lines = drawn.splitlines()
    assert all(len(line) <= 73 for line in lines)
    assert lines[0][:20] == " ".join(example.title.split())[:20]
    for panel in example.panels:
        assert any(panel.y.label in line for line in lines)
        assert any(panel.x.label in line for line in lines)


@pytest.mark.parametrize(("width", "height"), [(40, 5), (200, 60)])
def test_the_terminal_keeps_to_its_size(example, width, height):
    lines = example.to_text(width, height).splitlines()
    assert max(len(line) for line in lines) <= width + 1
    assert len(lines) >= height


def test_the_terminal_says_what_the_marks_mean():
    drawn = text(sensitivity({0.01: 2.0, 0.1: 1.0, 1.0: math.inf}))
    for said in (
        "best tried 0.1",
        "diverges from 1",
        "untrained 2.3",
        "learning rate (log)",
        "▲",
        "★",
    ):
        assert said in drawn


def test_lines_have_letters_where_there_are_several():
    drawn = text(FIGURES["four"]())
    assert "  A lr 0.001, too low" in drawn
    assert "  D _lr $9$, very high" in drawn


@pytest.mark.parametrize(("width", "height"), [(39, 20), (80, 4), ("a", 20)])
def test_a_size_too_small_is_told(width, height):
    with pytest.raises(InputError, match="must be"):
        text(loss_curve(), width, height)


# ---------------------------------------------------------------- heat maps


def test_plotly_draws_the_cells_between_their_edges_with_a_scale():
    (cells, *_) = plotly_spec(figure(interaction(batch=[8, 32])))["data"]
    assert cells["type"] == "heatmap"
    assert cells["y"] == pytest.approx([4, 16, 64])
    assert cells["x"][1] == pytest.approx(math.sqrt(1e-4 * 4e-4), rel=1e-4)
    assert len(cells["x"]) == len(cells["z"][0]) + 1
    assert cells["colorbar"]["ticktext"][:2] == ["best", "+10 %"]
    assert cells["customdata"][0][6] == "+0 %"


def test_matplotlib_draws_the_cells_between_their_edges_with_a_scale():
    (ax,) = axes_for(figure(interaction(batch=[8, 32])))
    plot(interaction(batch=[8, 32]), ax=ax)
    (cells,) = ax.collections[:1]
    corners = np.asarray(cells.get_coordinates())
    assert corners[:, 0, 1] == pytest.approx([4, 16, 64])
    assert cells.get_array().shape == (2, corners.shape[1] - 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["8", "32"]
    (scale,) = ax.child_axes
    assert scale.get_ylabel() == "validation loss above the row's best"


def test_the_terminal_shades_the_best_rate_of_each_row_most():
    drawn = text(interaction(batch=[8, 80]), 80, 10)
    rows = [line.partition("│")[2] for line in drawn.splitlines() if "│" in line]
    darkest = [row.index("█") for row in rows if "█" in row]
    assert len(darkest) >= 6
    assert darkest[0] - darkest[-1] == pytest.approx(74 / 5.5, abs=2)  # a decade
    assert "Above the best: █ to +" in drawn
    assert "✕ training fails" in drawn


def test_csv_files_hold_the_cells_of_a_heat_map(tmp_path):
    path = save(interaction(batch=[8, 32]), tmp_path / "heat.csv")
    rows = [row for row in csv.DictReader(path.read_text().splitlines()) if row["value"]]
    values = {(float(row["x"]), float(row["y"])): float(row["value"]) for row in rows}
    assert values[0.03, 8.0] == 0.0
    assert values[0.12, 32.0] == 0.0
    assert values[0.1, 8.0] == pytest.approx(0.1 / 0.8)


def test_failures_are_crosses_in_plotly_and_matplotlib():
    data = figure(interaction(batch=[8]))
    (cross,) = [t for t in plotly_spec(data)["data"] if t["name"].startswith("training fails")]
    assert cross["marker"]["symbol"] == "x-thin"
    (ax,) = axes_for(data)
    draw_matplotlib(data, ax)
    assert "x" in [line.get_marker() for line in ax.lines]


def test_long_legends_of_saved_pictures_stay_on_the_page(tmp_path):
    from surefoot.plots._matplotlib import _draw_legend

    (ax,) = axes_for(figure(fitted()))
    (line,) = ax.plot([0, 1], [0, 1])
    for names, columns in ((["a"] * 4, 3), (["n" * 40] * 3, 2), (["n" * 50] * 2, 1)):
        _draw_legend(ax, [(line, name) for name in names], "below")
        assert ax.get_legend()._ncols == columns


# ---------------------------------------------------------------- any numbers


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(deadline=None, max_examples=60)
@given(st.lists(NUMBERS, max_size=80), st.lists(NUMBERS, max_size=12))
def test_any_recorded_numbers_can_be_drawn(losses, lrs):
    log = RunLog(
        "any",
        {"loss": Curve(range(len(losses)), losses), "lr": Curve(range(len(lrs)), lrs)},
    )
    data = figure(log)
    json.dumps(plotly_spec(data), allow_nan=False)
    assert text(data, 60, 8)
    axes = axes_for(data)
    with np.errstate(all="ignore"):
        draw_matplotlib(data, axes)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf", ".html", ".json", ".csv", ".PNG"])
def test_files_are_written_and_folders_made(tmp_path, ending):
    path = save(loss_curve(), tmp_path / "new" / f"figure{ending}", name="loss")
    assert path.stat().st_size > 500


def test_other_endings_are_told(tmp_path):
    with pytest.raises(InputError, match=r"\.html, \.png, \.svg, \.pdf, \.json, \.csv"):
        save(loss_curve(), tmp_path / "figure.gif")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save(loss_curve(), tmp_path / "file" / "figure.json")


def test_json_files_come_back(tmp_path):
    data = figure(run_log())
    path = save(data, tmp_path / "figure.json")
    assert FigureData.from_json(path.read_text()).to_dict() == data.to_dict()


def test_csv_files_hold_the_series(tmp_path):
    path = save(sensitivity({0.01: 2.0, 0.1: 1.0}), tmp_path / "figure.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    lines = [row for row in rows if row["series"] == "validation loss"]
    assert [(float(row["x"]), float(row["y"])) for row in lines] == [(0.01, 2.0), (0.1, 1.0)]


def test_without_plotly_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'surefoot\[plots\]'"):
        plot(loss_curve())


def test_importing_plots_loads_no_heavy_library():
    import subprocess

    code = (
        "import sys, surefoot.plots; "
        "print(sorted({'torch', 'plotly', 'matplotlib', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_layout_of_the_users_own_and_a_part_of_a_figure_stay_as_they_are():
    import matplotlib.pyplot as plt

    figure = plt.figure()
    one, _ = figure.subfigures(1, 2)
    plot(loss_curve(), ax=one.subplots())
    own, ax = plt.subplots()
    own.subplots_adjust(left=0.4)
    plot(loss_curve(), ax=ax)
    own.canvas.draw()
    assert ax.get_position().x0 == pytest.approx(0.4)
    plain, ax = plt.subplots()
    plot(loss_curve(), ax=ax)
    assert plain.get_layout_engine() is not None
    plt.close("all")


# ---------------------------------------------------------------- open ends and long words


@pytest.mark.parametrize("renderer", ["plotly", "matplotlib", "terminal"])
@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("u open above", {"right"}),
        ("u open on both sides", {"left", "right"}),
        ("heat map, open", {"left", "right"}),
        ("ridges of three settings", {"up", "down"}),
        ("fitted u", set()),
    ],
)
def test_triangles_point_where_an_interval_goes_on(renderer, name, sides):
    data = FIGURES[name]()
    if renderer == "plotly":
        markers = [trace.get("marker", {}) for trace in plotly_spec(data)["data"]]
        signs = {f"triangle-{side}": side for side in ("left", "right", "down", "up")}
        drawn = [m.get("symbol") for m in markers if m.get("size") == 12]
    elif renderer == "matplotlib":
        axes = axes_for(data)
        draw_matplotlib(data, axes)
        signs = {"<": "left", ">": "right", "^": "up", "v": "down"}
        drawn = [line.get_marker() for line in axes[0].get_lines()]
        drawn = [sign for sign in drawn if sign in signs and (sign != "^" or "up" in sides)]
    else:
        signs = {"◀": "left", "▶": "right", "▲": "up", "▼": "down"}
        rows = [line for line in text(data, 80, 20).splitlines() if "│" in line or "┤" in line]
        drawn = [sign for row in rows for sign in row]
        drawn = [sign for sign in drawn if sign in signs and (sign != "▲" or "up" in sides)]
    assert {signs[sign] for sign in drawn} == sides


@pytest.mark.parametrize("name", ["heat map of long words", "ridges along long words"])
def test_long_words_stay_within_the_picture(name):
    data = FIGURES[name]()
    canvas = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = canvas.subplots()
    draw_matplotlib(data, axes, legend="below")
    canvas.draw_without_rendering()
    whole = canvas.bbox
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.yaxis.label]
    boxes = [label.get_window_extent() for label in labels if label.get_text()]
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= whole.x1
    across = sorted((box.x0, box.x1) for box in map_boxes(axes.get_xticklabels()))
    assert all(one[1] < other[0] for one, other in itertools.pairwise(across))
    assert axes.get_window_extent().width > 0.55 * whole.width


def map_boxes(labels):
    return [label.get_window_extent() for label in labels if label.get_text()]


def test_a_page_has_room_for_long_words_and_for_the_legend():
    words, plain = (FIGURES[name]() for name in ("heat map of long words", "heat map"))
    wide, usual = plotly_spec(words)["layout"], plotly_spec(plain)["layout"]
    longest = max(len(line) for text in wide["yaxis"]["ticktext"] for line in text.split("<br>"))
    assert wide["margin"]["l"] > 30 + 6 * longest
    assert usual["margin"]["l"] == 62
    caption = wide["annotations"][-1]
    assert caption["xshift"] == 62 - wide["margin"]["l"]  # below the title, not below the panel
    below = plotly_spec(FIGURES["ridges along long words"]())["layout"]
    assert below["margin"]["b"] > plotly_spec(FIGURES["ridges"]())["layout"]["margin"]["b"]


def test_a_terminal_keeps_room_for_the_panel_beside_long_words():
    lines = text(FIGURES["heat map of long words"](), 80, 20).splitlines()
    (row,) = [line for line in lines if line.lstrip().startswith("stochastic")]
    assert row.index("┤") <= 22
    below = text(FIGURES["ridges along long words"](), 80, 20)
    for word in ("stochastic", "adamw with", "lion"):
        assert word in below
