"""``sweep(…, keep=k)``: the best rate for less, and what the result says of what was stopped."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import surefoot as sf
from surefoot import InputError
from surefoot._sweep.reading import read_sensitivity
from surefoot.records import Cost, Curve, Member, Sensitivity
from surefoot.records.interaction import Interaction

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(3))
Y = X.sum(dim=1, keepdim=True)
LRS = sf.grid(1e-4, 0.1, 5)  # 16 rates


def trial(**changes):
    return sf.Trial(
        **{
            "model": lambda: nn.Linear(4, 1),
            "optimizer": lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
            "train": [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 64, 16)],
            "validate": [(X, Y)],
            "loss": mse_loss,
            "steps": 16,
            "name": "line",
            **changes,
        }
    )


def bowl(steps=16, shift=0.0):
    """Loss ½w² from w = 1: at every update the rate nearer to 1 is the better one."""

    def model():
        layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(layer.weight)
        return layer

    def half_square(model, batch=None):
        return 0.5 * model.weight.square().sum() + shift

    return sf.Trial(
        model=model,
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        objective=half_square,
        train=[0],
        validate=half_square,
        steps=steps,
    )


@pytest.mark.parametrize("backend", ["auto", "loop", "processes", "fused"])
@pytest.mark.parametrize("keep", [1, 2, 5])
def test_where_the_order_of_rates_never_changes_the_best_is_found_at_the_cost_of_theory(
    keep, backend
):
    lrs = [0.01 * 1.5**i for i in range(11)]  # the last is 0.58: all below 1
    result = sf.sweep(bowl(), lrs, seeds=2, keep=keep, backend=backend, workers=2)
    counts, alive = [], 11
    for _ in range(3):
        counts.append(alive)
        alive = max(keep, math.ceil(alive / 2))
    assert result.cost.updates == 2 * (2 * counts[0] + 2 * counts[1] + 4 * counts[2] + 8 * alive)
    assert result.cost.trainings == result.cost.updates / 16
    assert result.best.lr == lrs[-1]
    ends = [point.lr for point in result.points if point.stopped is None]
    assert ends == lrs[-alive:]
    assert [point.lr for point in result.points] == pytest.approx(lrs)


def test_the_result_says_what_was_stopped_and_when():
    result = sf.sweep(trial(), LRS, seeds=2, keep=1, backend="loop")
    whole = sf.sweep(trial(), LRS, seeds=2, backend="loop")
    assert result.was_halved
    assert not whole.was_halved
    assert (
        "Halving stopped 14 of 16 rates, 8 at update 2, 4 at update 4 and 2 at update 8: of these "
        "nothing is known after 16 updates."
    ) in result.reason
    assert "Halving" not in whole.reason
    assert result.best == next(p for p in whole.points if p.lr == result.best.lr)
    for point in result.points:
        members = [member for member in result.members if member.lr == point.lr]
        assert {member.stopped for member in members} == {point.stopped}
        assert point.loss == pytest.approx(np.mean([member.loss for member in members]))
        assert math.isnan(point.low) == math.isnan(point.high) == (point.stopped is not None)
    again = Sensitivity.from_json(result.to_json())
    assert [m.stopped for m in again.members] == [m.stopped for m in result.members]
    assert [p.stopped for p in again.points] == [p.stopped for p in result.points]
    assert again.to_json() == result.to_json()


def test_a_document_without_the_field_is_still_read():
    result = sf.sweep(trial(), LRS[:3], seeds=1, backend="loop")
    data = result.to_dict()
    for each in (*data["members"], *data["points"], data["best"]):
        del each["stopped"]
    assert Sensitivity.from_dict(data).to_json() == result.to_json()


def test_tables_have_a_column_only_where_something_was_stopped():
    result = sf.sweep(trial(), LRS, seeds=1, keep=1, backend="loop")
    table = result.table()
    assert table.columns[-1] == "stopped"
    assert [row[-1] for row in table.rows] == [point.stopped for point in result.points]
    assert "stopped" in str(table).splitlines()[1]
    assert table.to_csv().splitlines()[1].endswith(",2")
    assert '"stopped": 2' in table.to_json()
    frame = table.to_pandas()
    assert frame["stopped"].isna().sum() == 2
    assert "stopped" not in sf.sweep(trial(), LRS, seeds=1, backend="loop").table().columns


# ---------------------------------------------------------------- what is not known is not said


def reading(rows, untrained=2.0):
    """Read members of one seed: (lr, loss, stopped)."""
    members = [
        Member(lr, 0, loss, not math.isfinite(loss), Curve([0], [2.0]), 1, "", stopped)
        for lr, loss, stopped in rows
    ]
    return read_sensitivity(
        members,
        untrained=untrained,
        tolerance=0.1,
        metric="validation loss",
        cost=Cost(1, 1.0, 1.0),
        steps=100,
        name="",
    )


def test_only_rates_that_were_trained_to_the_end_are_the_best():
    found = reading([(0.01, 0.1, 50), (0.1, 1.0, None), (1.0, 0.2, 25)])
    assert found.best.lr == 0.1
    assert found.optimum is None
    assert (found.basin.low, found.basin.high) == pytest.approx((0.1, 0.1))
    assert found.basin.open_low
    assert found.basin.open_high
    assert found.diverges_at is None
    assert math.isnan(found.decade_below)
    assert math.isnan(found.decade_above)
    assert found.extend_to is None
    assert "too high to learn" not in found.reason
    assert "at least from 0.1 to 0.1" in found.reason
    assert "Halving stopped 2 of 3 rates, 1 at update 25 and 1 at update 50" in found.reason


def test_the_edge_is_known_only_where_no_rate_was_stopped_below_it():
    rows = [(0.1, 1.0, None), (0.3, 1.05, None), (1.0, math.inf, None), (3.0, math.inf, None)]
    assert reading(rows).diverges_at == 1.0
    assert reading([(0.03, 1.5, 25), *rows]).diverges_at == 1.0
    assert reading([(0.03, 1.5, 25), *rows]).decade_above == math.inf
    between = [*rows[:2], (0.5, 2.0, 25), *rows[2:]]
    found = reading(between)
    assert found.diverges_at is None
    assert found.decade_above == math.inf  # at 1.0 itself it is known
    assert "training fails" not in found.reason
    assert reading([*rows[:2], (1.0, 2.0, 25)]).diverges_at is None
    assert reading([*rows, (10.0, 2.0, 25)]).diverges_at is None


def test_a_rate_that_was_stopped_did_not_diverge_and_has_no_place_in_a_basin():
    found = reading(
        [(0.001, 1.0, 50), (0.01, 1.02, None), (0.1, 1.0, None), (0.3, 1.99, 12), (1.0, 1.05, None)]
    )
    assert [point.diverged for point in found.points] == [0] * 5
    assert (found.basin.low, found.basin.high) == pytest.approx((0.01, 0.1))
    assert found.order == 0.01  # nothing is known of a rate twice as high as 0.1
    assert math.isnan(found.decade_above) is False  # 1.0 was trained
    assert found.decade_above == pytest.approx(0.05)


def test_a_seed_that_diverged_counts_beside_those_that_were_stopped():
    members = [
        Member(0.1, 0, 1.0, False, Curve([0, 1], [2.0, 1.0]), 2),
        Member(0.1, 1, 1.0, False, Curve([0, 1], [2.0, 1.0]), 2),
        Member(1.0, 0, math.inf, True, Curve([0], [math.inf]), 0),
        Member(1.0, 1, 1.5, False, Curve([0], [2.0]), 1, stopped=1),
    ]
    found = read_sensitivity(
        members,
        untrained=2.0,
        tolerance=0.1,
        metric="loss",
        cost=Cost(1, 1.0, 1.0),
        steps=2,
        name="",
    )
    assert (found.points[1].diverged, found.points[1].stopped) == (1, 1)
    assert found.points[1].loss == math.inf
    sf.plots.text(found)


def test_survivors_that_all_diverge_later_are_no_result():
    with pytest.raises(InputError, match="None of the rates that halving let go on came to the"):
        reading([(0.01, 1.9, 50), (0.1, math.inf, None)])


# ---------------------------------------------------------------- with other arguments


@pytest.mark.parametrize("keep", [16, 100])
def test_as_many_as_there_are_is_no_halving(keep):
    result = sf.sweep(trial(), LRS, seeds=1, keep=keep, backend="loop")
    whole = sf.sweep(trial(), LRS, seeds=1, backend="loop")
    assert result.members == whole.members
    assert result.reason == whole.reason


@pytest.mark.parametrize("keep", [0, -1, 1.5, "two", True])
def test_what_is_no_number_of_rates_is_refused(keep):
    with pytest.raises(InputError, match="keep"):
        sf.sweep(trial(), LRS, keep=keep)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_shortest_budgets_have_the_rungs_that_they_can(steps):
    result = sf.sweep(bowl(steps), [0.1, 0.2, 0.3], seeds=1, keep=1, backend="loop")
    assert result.best.lr == 0.3
    assert result.was_halved == (steps > 1)


@pytest.mark.parametrize("backend", ["loop", "fused"])
def test_refined_rates_are_trained_to_the_end(backend):
    result = sf.sweep(bowl(), [0.01, 0.03, 0.1, 0.3], seeds=2, keep=1, refine=1, backend=backend)
    new = [point for point in result.points if point.lr not in (0.01, 0.03, 0.1, 0.3)]
    assert [point.stopped for point in new] == [None]
    assert 0.1 < new[0].lr < 0.3
    assert result.best.lr == 0.3


def test_over_settings_each_sweep_is_halved():
    result = sf.sweep(
        lambda width: trial(model=lambda: nn.Sequential(nn.Linear(4, width), nn.Linear(width, 1))),
        LRS,
        over={"width": [2, 4]},
        seeds=1,
        keep=1,
        backend="loop",
    )
    assert all(cell.sensitivity.was_halved for cell in result.cells)
    assert "Halving stopped rates early in 2 of 2 sweeps" in result.reason
    assert Interaction.from_json(result.to_json()).to_json() == result.to_json()
    (panel,) = sf.plots.interaction.interaction_figure(result).panels[:1]
    shown = np.isfinite(panel.heat.z).sum(axis=1)
    assert all(1 <= count <= 3 for count in shown)


@pytest.mark.parametrize("backend", ["auto", "loop", "fused", "processes"])
def test_progress_reaches_its_end_and_never_passes_it(backend):
    told = []
    sf.sweep(
        trial(),
        LRS,
        seeds=2,
        keep=2,
        refine=1,
        backend=backend,
        progress=lambda *what: told.append(what),
    )
    done = [each[0] for each in told]
    assert done == sorted(done)
    assert {each[1] for each in told} == {16 * 2 * 18}
    assert done[-1] == 16 * 2 * 18
    assert any(" stopped" in text for _, _, text in told)
    assert "best so far" in told[-1][2]


@pytest.mark.parametrize("backend", ["loop", "processes", "fused"])
def test_interrupted_with_some_trained_to_the_end_there_is_a_result(backend):
    def stop(done, total, text):
        if "best so far" in text:
            raise KeyboardInterrupt

    with pytest.raises(sf.Interrupted, match="of 32 members had finished, 28 of them") as caught:
        sf.sweep(trial(), LRS, seeds=2, keep=1, backend=backend, progress=stop, workers=1)
    result = caught.value.result
    assert result.best.stopped is None
    assert sum(member.stopped is not None for member in result.members) == 28
    assert "Halving stopped 14 of" in result.reason


def test_interrupted_before_any_came_to_the_end_there_is_none():
    def stop(done, total, text):
        if text.endswith(" stopped"):
            raise KeyboardInterrupt

    with pytest.raises(sf.Interrupted, match="stopped by halving, without a result") as caught:
        sf.sweep(trial(), LRS, seeds=2, keep=1, backend="loop", progress=stop)
    assert caught.value.result is None


def test_nothing_of_a_figure_joins_or_counts_what_was_stopped():
    result = sf.sweep(trial(), LRS, seeds=2, keep=1, backend="loop")
    series = {
        each.name: each for each in sf.plots.sensitivity.sensitivity_figure(result).panels[0].series
    }
    ended = [point.lr for point in result.points if point.stopped is None]
    line = series["mean of 2 seeds, 90 % interval"]
    assert line.x[np.isfinite(line.y)].tolist() == ended
    assert set(series["one seed"].x) == set(ended)
    hollow = series["stopped early by halving: loss when stopped"]
    assert hollow.kind == "hollow"
    assert hollow.in_legend
    above = series.get("stopped early by halving: above this axis")
    stopped = [*hollow.x, *([] if above is None else above.x)]
    assert sorted(stopped) == [point.lr for point in result.points if point.stopped is not None]
    assert "○ stopped early by halving" in sf.plots.text(result)
    sf.plot(result)
