"""What figures show, checked as data."""

import dataclasses
import json
import math

import numpy as np
import pytest

from surefoot.errors import InputError
from surefoot.plots import (
    Axis,
    FigureData,
    Mark,
    Panel,
    Series,
    compare_runs,
    figure,
    learning_curves,
    schedule_figure,
)
from surefoot.plots._scale import place
from surefoot.records import Basin, Curve, Diagnosis, Optimum, RunLog
from surefoot.schedules import cosine, warmup

from .example_figures import (
    U,
    default_finding,
    finding,
    fitted,
    loss_curve,
    run_log,
    sensitivity,
    verdict,
    with_failures,
)


def named(data, name):
    (series,) = [s for panel in data.panels for s in panel.series if s.name == name]
    return series


def kinds(data, kind):
    return [s for panel in data.panels for s in panel.series if s.kind == kind]


def marks(data):
    return {mark.label: mark for mark in data.panels[0].marks}


def test_every_figure_is_json_and_back(example):
    document = example.to_dict()
    again = FigureData.from_dict(json.loads(json.dumps(document, allow_nan=False)))
    assert again.to_dict() == document


def test_every_figure_is_small_and_says_what_it_shows(example):
    assert len(json.dumps(example.to_dict())) < 600_000
    assert example.title
    for panel in example.panels:
        assert panel.x.label
        assert panel.y.label


# ---------------------------------------------------------------- the U curve


def test_the_u_curve_shows_each_rate_once():
    data = figure(sensitivity(U))
    (panel,) = data.panels
    line = named(data, "validation loss")
    assert line.x.tolist() == list(U)
    assert np.isnan(line.y).tolist() == [not math.isfinite(loss) for loss in U.values()]
    assert panel.x.log
    assert not panel.y.log
    assert panel.y.label == "validation loss after 500 updates"


def test_what_is_not_finite_is_lost():
    data = figure(sensitivity(U))
    (lost,) = kinds(data, "lost")
    assert lost.x.tolist() == [1.0, 3.0]
    assert not (lost.y <= data.panels[0].y.range[1]).any()


def test_marks_of_the_u_curve():
    found = marks(figure(sensitivity(U)))
    assert found["best tried 0.03"].at == 0.03
    assert (found["basin 0.03 … 0.06"].at, found["basin 0.03 … 0.06"].end) == (0.03, 0.06)
    assert found["diverges from 1"].at == 1.0
    assert (found["untrained 2.3"].kind, found["untrained 2.3"].at) == ("horizontal", 2.3)


def test_an_open_basin_says_so():
    data = figure(sensitivity({0.01: 2.0, 0.1: 1.0}))
    assert "basin 0.1 … ≥ 0.2" in marks(data)


def test_a_huge_finite_loss_does_not_flatten_the_u():
    data = figure(sensitivity({**U, 0.3: 1e30}))
    low, high = data.panels[0].y.range
    assert low < 0.8
    assert high < 10
    assert kinds(data, "lost")[0].x.tolist() == [0.3, 1.0, 3.0]


def test_seeds_show_their_interval_and_the_members():
    data = figure(sensitivity(U, seeds=3))
    mean = named(data, "mean of 3 seeds, 90 % interval")
    assert mean.low[3] == pytest.approx(0.7)
    assert mean.high[3] == pytest.approx(0.9)
    assert named(data, "one seed").x.size == 18
    assert named(data, "one seed").emphasis == "faint"


def test_a_diverged_but_finite_rate_is_marked_in_place():
    result = sensitivity({0.01: 1.0, 0.1: 2.4})
    (first, second) = result.points
    second = type(second)(**{**second.__dict__, "diverged": 1})
    data = figure(type(result)(**{**result.__dict__, "points": (first, second)}))
    assert named(data, "diverged").x.tolist() == [0.1]


@pytest.mark.parametrize(
    ("losses", "log"),
    [({0.1: 1.0, 1: 0.02}, True), ({0.1: 1.0, 1: 0.5}, False), ({0.1: -1.0, 1: 0.001}, False)],
)
def test_log_losses_only_when_they_span_decades_and_are_positive(losses, log):
    assert figure(sensitivity(losses, untrained=2.0)).panels[0].y.log is log


def test_the_fitted_optimum_shows_with_its_interval():
    data = figure(fitted())
    caliper = named(data, "optimum of the fit, 90 % interval")
    assert caliper.x.tolist() == [0.03, 0.04, 0.05]
    assert caliper.y.tolist() == [0.78] * 3
    assert marks(data)["optimum 0.04 (0.03 … 0.05)"].at == 0.04
    assert "best tried 0.03" not in marks(data)
    tried = named(data, "best tried 0.03")
    assert (tried.x.tolist(), tried.in_legend) == ([0.03], True)


@pytest.mark.parametrize(
    ("low", "high", "label"),
    [
        (False, True, "optimum ≥ 0.03"),
        (True, False, "optimum ≤ 0.05"),
        (True, True, "optimum 0.04 (anywhere, also beyond the grid)"),
    ],
)
def test_an_optimum_that_may_lie_beyond_the_grid_points_there(low, high, label):
    fit = Optimum(0.04, 0.03, 0.05, 0.78, open_low=low, open_high=high)
    data = figure(fitted(optimum=fit))
    assert marks(data)[label].at == 0.04
    ends = data.panels[0].x.range
    triangles = {side: kinds(data, side) for side in ("left", "right")}
    assert [len(triangles[side]) for side in ("left", "right")] == [low, high]
    reach = named(data, "optimum of the fit, 90 % interval").x
    for side, is_open, end in (("left", low, 0), ("right", high, -1)):
        for triangle in triangles[side]:
            assert triangle.x.tolist() == [reach[end]]
            assert triangle.y.tolist() == [0.78]
        beyond = place(reach[end], ends, log=True)
        assert (min(beyond, 1 - beyond) < 0.02) is is_open
    assert sum(series.in_legend for each in triangles.values() for series in each) == 1


def test_a_basin_that_reaches_the_end_of_the_grid_says_so():
    basin = Basin(0.03, 0.1, 0.1, open_low=True, open_high=True)
    assert "basin ≤ 0.03 … ≥ 0.1" in marks(figure(fitted(basin=basin)))


def test_seeds_that_differ_in_number_are_told():
    found = fitted()
    first = dataclasses.replace(found.points[0], seeds=1)
    data = figure(dataclasses.replace(found, points=(first, *found.points[1:])))
    assert named(data, "mean of up to 3 seeds, 90 % interval")
    assert named(figure(with_failures()), "mean of 3 seeds, 90 % interval")


@pytest.mark.parametrize(("beyond", "end"), [(1e-6, 1e-4), (100.0, 3.0)])
def test_a_grid_that_was_cut_off_is_marked_at_its_end(beyond, end):
    (mark,) = [m for said, m in marks(figure(fitted(extend_to=beyond))).items() if "extend" in said]
    assert mark.at == end


def test_members_that_raised_an_exception_are_told_from_diverged_ones():
    data = figure(with_failures())
    assert named(data, "raised an exception").x.tolist() == [1e-4, 1e-3]
    assert named(data, "diverged: not finite or above this axis").x.tolist() == [1.0, 3.0]


# ---------------------------------------------------------------- find


def test_trials_are_grouped_by_length_and_grow():
    data = figure(finding())
    short, long = named(data, "trials of 30 updates"), named(data, "trials of 60 updates")
    assert short.x.tolist() == [0.001, 0.01, 0.1]
    assert long.size > short.size
    assert named(data, "trials that diverged").x.tolist() == [1.0]


def test_marks_of_a_finding():
    found = marks(figure(finding()))
    assert found["chosen 0.05"].at == 0.05
    assert (found["interval 0.02 … 0.2"].at, found["interval 0.02 … 0.2"].end) == (0.02, 0.2)
    assert found["diverges at 0.6"].at == 0.6


def test_an_explosion_of_the_range_test_leaves_the_axis():
    low, high = figure(finding()).panels[0].y.range
    assert low < 0.9
    assert high < 5


def test_an_unmeasured_rate_is_not_shown_as_found():
    found = marks(figure(default_finding()))
    assert list(found) == ["usual rate, unmeasured: 1e-3"]
    assert found["usual rate, unmeasured: 1e-3"].role == "muted"


# ---------------------------------------------------------------- runs


def test_the_onset_of_a_verdict_is_marked():
    bad = Diagnosis("run", (verdict(),), 1.0, 0.5, 1.5, "", loss_curve(diverges=120))
    data = figure(bad)
    assert marks(data)["learning rate too high, since update 120"].at == 120
    assert data.title == "run: learning rate too high"
    assert "about 10 × the best one (3.2 … 32)" in data.caption


@pytest.mark.parametrize(
    ("given", "role"),
    [
        ((), "good"),
        ((verdict(),), "very_high"),
        ((verdict(severity="warning"),), "high"),
        ((verdict(direction="raise"),), "low"),
        ((verdict(direction="none"),), "main"),
    ],
)
def test_colour_means_the_verdict(given, role):
    data = figure(Diagnosis("run", given, loss=loss_curve()))
    assert {series.role for series in data.panels[0].series} == {role}


def test_a_run_shows_raw_and_smooth_and_validation_and_lr():
    data = figure(run_log())
    above, below = data.panels
    assert [s.name for s in above.series] == [
        "training loss, raw",
        "training loss",
        "validation loss",
    ]
    assert above.series[0].emphasis == "faint"
    assert below.y.range[0] == 0.0
    assert below.series[0].y[0] == pytest.approx(0.1)


def test_the_smooth_line_does_not_lag():
    ramp = Curve(range(1000), np.linspace(10, 5, 1000))
    line = named(figure(ramp, name="x"), "x")
    inner = (line.x > 50) & (line.x < 950)
    assert line.y[inner] == pytest.approx(np.interp(line.x, ramp.steps, ramp.values)[inner])


def test_the_smooth_line_does_not_see_far_ahead():
    values = np.where(np.arange(1000) < 500, 1.0, 3.0)
    line = named(figure(Curve(range(1000), values), name="x"), "x")
    assert line.y[line.x < 470] == pytest.approx(1.0)


def test_where_a_loss_is_lost_is_shown():
    curve = loss_curve(diverges=120)
    data = learning_curves({"bad": curve, "good": loss_curve()})
    (lost,) = kinds(data, "lost")
    top = data.panels[0].y.range[1]
    assert curve.values[int(lost.x[0])] > top
    assert curve.values[int(lost.x[0]) - 1] <= top
    assert top < 10


def test_unordered_steps_are_put_in_order():
    data = figure(Curve([2, 0, 1], [3.0, 1.0, 2.0]), name="x")
    assert named(data, "x").x.tolist() == [0, 1, 2]


def test_long_runs_become_few_points():
    data = figure(run_log(updates=50_000))
    assert all(series.x.size <= 700 for panel in data.panels for series in panel.series)


def test_a_spike_survives_thinning():
    values = np.ones(20_000)
    values[7_777] = 9.0
    raw = named(figure(Curve(range(20_000), values), name="x"), "x, raw")
    assert raw.y.max() == 9.0


def test_labels_stand_beside_their_lines():
    data = learning_curves({"a": (loss_curve(), "low"), "b": (loss_curve(), "good")})
    lines = [s for s in data.panels[0].series if s.emphasis != "faint"]
    assert [(s.label, s.role, s.in_legend) for s in lines] == [
        ("a", "low", False),
        ("b", "good", False),
    ]


def test_a_shared_folder_is_left_out_of_the_labels():
    data = compare_runs({"runs/a/x": run_log(), "runs/a/xy": run_log(), "runs/ab": run_log()})
    assert [s.label for s in data.panels[0].series if s.label] == ["a/x", "a/xy", "ab"]


def test_many_runs_leave_out_the_raw_values():
    data = compare_runs({f"{k}": run_log() for k in range(9)})
    assert not [s for s in data.panels[0].series if s.emphasis == "faint"]


def test_lrs_decades_apart_are_on_a_log_axis():
    slow, fast = run_log(), run_log()
    tiny = RunLog("tiny", {**slow.curves, "lr": Curve([0, 9], [1e-5, 1e-5])})
    assert compare_runs({"a": tiny, "b": fast}).panels[1].y.log
    assert not compare_runs({"a": slow, "b": fast}).panels[1].y.log


def test_without_lr_there_is_one_panel():
    assert len(compare_runs({"a": RunLog("a", {"loss": loss_curve()})}).panels) == 1


# ---------------------------------------------------------------- schedules


def test_a_schedule_is_shown_at_its_updates():
    plan = (warmup(10) >> cosine(floor=0.1)).resolve(100)
    (line,) = figure(plan).panels[0].series
    assert line.x.tolist() == list(range(100))
    assert line.y == pytest.approx(plan.values())


def test_a_base_lr_scales_the_factor():
    data = schedule_figure(warmup("10%") >> cosine(), total=50, lr=0.02)
    assert data.panels[0].series[0].y.max() == pytest.approx(0.02)
    assert data.panels[0].y.label == "learning rate"


def test_an_unresolved_schedule_needs_a_total():
    with pytest.raises(InputError, match="total must be given"):
        figure(warmup("10%") >> cosine())


# ---------------------------------------------------------------- the door


@pytest.mark.parametrize("noun", [3, None, "runs", [1], {}, {"a": 1}])
def test_what_cannot_be_plotted_is_told(noun):
    with pytest.raises(InputError, match="Sensitivity, Interaction, Finding, Diagnosis, RunLog"):
        figure(noun)


def test_dictionaries_compare():
    assert figure({"a": run_log(), "b": run_log()}).title == "Runs compared"
    assert figure({"a": warmup(5) >> cosine(5)}).title == "Schedules"


def test_figure_data_is_returned_as_it_is():
    data = figure(loss_curve())
    assert figure(data) is data


def test_a_wrong_option_is_told():
    with pytest.raises(InputError, match="nonsense"):
        figure(loss_curve(), nonsense=1)


def test_empty_things_are_refused():
    with pytest.raises(InputError, match="is empty"):
        figure(RunLog("none", {}))
    with pytest.raises(InputError, match="no loss"):
        learning_curves({"a": RunLog("a", {"lr": loss_curve()})})
    with pytest.raises(InputError, match="at least one run"):
        learning_curves({})
    with pytest.raises(InputError, match="at least one panel"):
        FigureData("x", ())


def test_columns_must_have_one_length():
    with pytest.raises(InputError, match="one length"):
        Series("x", [1, 2], [1])
    with pytest.raises(InputError, match="one length"):
        Series("x", [1], [1], low=[1])


def test_a_mark_that_is_nowhere_drops_out():
    nowhere = (Mark("vertical", math.nan, "x"), Mark("band", 1.0, "y", to=math.inf))
    assert Panel(Axis("x"), Axis("y"), (), nowhere).marks == ()
