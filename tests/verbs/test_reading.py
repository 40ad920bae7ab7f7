"""What ``read_sensitivity`` makes of members whose losses are known."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import InputError
from surefoot._sweep.reading import read_sensitivity
from surefoot.records import Cost, Curve, Engine, Member, Sensitivity

INF, NAN = math.inf, math.nan
LRS = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


def members(rows, lrs=LRS):
    """One member for each loss; a text is what its training raised."""
    return [
        Member(lr, seed, INF, False, Curve([], []), error=loss)
        if isinstance(loss, str)
        else Member(lr, seed, loss, not math.isfinite(loss))
        for lr, row in zip(lrs, rows, strict=True)
        for seed, loss in enumerate(row)
    ]


def read(rows, lrs=LRS, **changes):
    options = {"untrained": 2.3, "tolerance": 0.1, "metric": "validation loss", "steps": 9}
    cost = Cost(updates=1, seconds=1.0, trainings=1.0)
    return read_sensitivity(members(rows, lrs), **{**options, "cost": cost, "name": "x", **changes})


def bowl(best, count=13, seeds=2):
    """Losses 0.1 + 0.1 (x − best)² at three rates per decade from 1e-4 on."""
    lrs = [10 ** (-4 + k / 3) for k in range(count)]
    rows = [
        [0.1 + 0.1 * (math.log10(lr) - best) ** 2 + 1e-4 * s for s in range(seeds)] for lr in lrs
    ]
    return rows, lrs


def test_a_bowl_is_read_as_theory_says():
    result = read(*bowl(-2.0))
    assert result.best.lr == pytest.approx(0.01)
    assert math.log10(result.optimum.lr) == pytest.approx(-2.0, abs=0.05)
    assert result.optimum.low < 0.01 < result.optimum.high
    assert result.optimum.loss == pytest.approx(0.1, rel=0.05)
    assert result.decade_below == pytest.approx(1.0, rel=0.01)  # 0.1 more than 0.1
    assert result.decade_above == pytest.approx(1.0, rel=0.01)
    assert result.order == 0.01
    assert result.extend_to is None
    assert result.reason == (
        "Best at lr 0.01 (validation loss 0.1, untrained 2.3), by the whole curve at "
        f"{result.optimum.lr:.2g} (90 %: {result.optimum.low:.2g} … {result.optimum.high:.2g}); "
        f"within 10 % of it from {result.basin.low:.2g} to {result.basin.high:.2g}, so 0.01 is "
        "safe; no rate of the grid is too high to learn."
    )


@pytest.mark.parametrize(
    ("best", "power", "end"), [(0.4, 10.0, "largest"), (-4.4, 1e-5, "smallest")]
)
def test_an_end_that_cuts_the_curve_off_asks_for_the_next_power_of_ten(best, power, end):
    result = read(*bowl(best))
    assert result.extend_to == power
    assert f"The best is the {end} rate tried: extend the grid to {power:g}." in result.reason
    assert math.isnan(result.decade_above if end == "largest" else result.decade_below)


def test_an_optimum_that_may_lie_beyond_the_end_asks_for_more_too():
    flat = [[0.4, 0.5], [0.2, 0.25], [0.11, 0.13], [0.09, 0.1], [0.0901, 0.1]]
    result = read(flat)
    assert result.best.lr == 0.1
    assert result.extend_to == 10.0
    assert "The best may lie above the largest rate tried: extend the grid to 10." in result.reason
    low = read(flat[::-1])
    assert low.extend_to == 1e-5
    assert "The best may lie below the smallest rate tried" in low.reason


def test_a_best_next_to_the_end_with_an_open_basin_is_not_cut_off():
    rows = [[0.5, 0.51], [0.3, 0.31], [0.2, 0.21], [0.1, 0.101], [0.108, 0.109]]
    result = read(rows, lrs=[1e-3, 1e-2, 0.1, 1.0, 3.0])
    assert result.basin.open_high
    assert result.best.lr == 1.0


def test_a_training_that_fails_a_decade_above_has_lost_everything():
    result = read([[2.0], [1.0], [0.5], [INF], [INF]])
    assert result.decade_above == INF
    assert result.decade_below == pytest.approx(1.0)
    assert "training fails from 0.1 on" in result.reason


def test_members_that_raised_take_no_part_in_the_statistics():
    rows = [[1.0, 1.2], [0.5, "ValueError: odd."], [0.2, 0.3], [0.4, 0.5], ["ValueError: odd."] * 2]
    result = read(rows)
    second, last = result.points[1], result.points[-1]
    assert (second.loss, second.seeds, second.failed, second.diverged) == (0.5, 1, 1, 0)
    assert (second.low, second.high) == (0.5, 0.5)
    assert (last.seeds, last.failed, last.diverged) == (0, 2, 0)
    assert math.isnan(last.loss)
    assert math.isnan(last.low)
    assert math.isnan(last.high)
    assert result.best.lr == 0.01
    assert result.reason.endswith(
        "3 of 10 members raised, the first at lr 0.001: ValueError: odd. Above lr 0.1 each of "
        "them did: nothing is known there."
    )
    assert [member.diverged for member in result.members if member.error] == [False] * 3
    assert Sensitivity.from_json(result.to_json()).reason == result.reason


def test_what_one_member_raised_is_said_in_one_short_line():
    rows = [[1.0], [0.5], ["RuntimeError: " + "x" * 200 + "\nmore"], [0.4], [0.6]]
    said = read(rows).reason.rpartition(" is ")[2]
    assert "1 of 5 members raised, at lr 0.01: RuntimeError: xxx" in said
    assert said.endswith("x….")
    assert "more" not in said


def test_a_rate_beyond_the_best_at_which_all_raised_is_no_end_of_the_grid():
    result = read([[2.0], [1.0], [0.5], [0.1], ["ValueError: odd"]])
    assert result.best.lr == 0.1
    assert math.isnan(result.decade_above)


def test_losses_that_may_be_negative_are_measured_from_what_was_learned():
    rows, lrs = bowl(-2.0)
    one = read([[loss - 0.1 - 1.0 for loss in row] for row in rows], lrs, untrained=0.0)
    two = read([[loss - 0.1 - 51.0 for loss in row] for row in rows], lrs, untrained=-50.0)
    for name in ("lr", "low", "high"):
        assert getattr(one.optimum, name) == pytest.approx(getattr(two.optimum, name), rel=1e-3)
    assert one.optimum.loss == pytest.approx(-1.0, abs=0.01)
    assert two.decade_above == pytest.approx(one.decade_above, rel=1e-6)
    assert one.decade_above == pytest.approx(0.1, rel=1e-3)  # of 1 that was learned
    assert one.points[0].low < one.points[0].loss < one.points[0].high


def test_where_nothing_was_learned_there_is_no_optimum_and_nothing_is_lost():
    result = read([[-1.0], [-1.0], [-1.0], [-1.0], [-1.0]], untrained=-1.0)
    assert result.optimum is None
    assert math.isnan(result.decade_above)
    assert "by the whole curve" not in result.reason


def test_an_untrained_loss_that_is_not_known_is_not_told():
    result = read([[2.0], [1.0], [0.5], [1.0], [1.5]], untrained=NAN)
    assert "untrained" not in result.reason
    assert result.optimum is not None


def test_two_rates_are_too_few_for_an_optimum_and_a_basin_may_hold_no_power_of_ten():
    result = read([[0.1], [0.5]], lrs=[0.02, 0.05])
    assert result.optimum is None
    assert result.order is None
    assert "safe" not in result.reason


def test_a_second_way_of_running_is_told_in_the_result():
    engine = Engine("loop", "It was asked for.")
    assert read([[0.1], [0.5]], lrs=[0.02, 0.05], engine=engine).engine == engine


def test_when_every_member_raised_the_first_error_is_told():
    with pytest.raises(InputError, match=r"No member .* raised, the first ValueError: odd\."):
        read([["ValueError: odd"]] * 5)


losses = st.floats(1e-3, 3) | st.sampled_from([INF, NAN, "ValueError: odd"])


@given(st.lists(st.lists(losses, min_size=2, max_size=2), min_size=5, max_size=5))
@settings(max_examples=100)
def test_nothing_that_members_can_be_poisons_the_others(rows):
    finite = [
        all(isinstance(loss, str) or math.isfinite(loss) for loss in row)
        and any(not isinstance(loss, str) for loss in row)
        for row in rows
    ]
    if not any(finite):
        with pytest.raises(InputError):
            read(rows)
        return
    result = read(rows)
    assert math.isfinite(result.best.loss)
    assert result.basin.low <= result.best.lr * (1 + 1e-9)
    assert result.best.lr <= result.basin.high * (1 + 1e-9)
    for point, good, row in zip(result.points, finite, rows, strict=True):
        assert point.seeds + point.failed == 2
        assert math.isfinite(point.loss) == good
        assert point.failed == sum(isinstance(loss, str) for loss in row)
    if result.optimum is not None:
        assert LRS[0] * 0.999 <= result.optimum.low <= result.optimum.lr * 1.001
        assert result.optimum.lr <= result.optimum.high * 1.001 <= LRS[-1] * 1.002
    assert Sensitivity.from_json(result.to_json()).best == result.best


def test_a_power_of_ten_is_safe_only_if_all_went_well_at_twice_that_rate():
    bowl_up = [[2.0], [1.0], [0.5], [0.3], [0.31]]
    assert read(bowl_up).order == 0.1
    assert read([*bowl_up[:4], [INF]]).order is None
    assert read([*bowl_up[:4], ["ValueError: odd"]]).order is None
    assert read(bowl_up[:4], LRS[:4]).order is None  # nothing above it was tried
    assert "is safe" not in read([*bowl_up[:4], [INF]]).reason


def test_where_no_rate_is_better_than_no_training_it_says_so_and_names_no_best_rate():
    result = read([[2.31], [2.35], [2.4], [2.6], [INF]])
    assert result.reason == (
        "No rate learned anything in this budget: the best, 0.0001, has validation loss 2.31, and "
        "untrained it is 2.3."
    )
    assert (result.optimum, result.order, result.diverges_at) == (None, None, None)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_untrained_loss_that_is_not_finite_is_not_known(sign):
    rows = [[sign * 2.0 + 3], [1.0], [0.5], [0.3], [INF]]
    known, unknown = read(rows, untrained=INF), read(rows, untrained=NAN)
    assert known.reason == unknown.reason
    assert [p.diverged for p in known.points] == [0, 0, 0, 0, 1]
    assert known.basin == unknown.basin


def test_a_best_that_rests_on_fewer_seeds_says_so():
    rows = [[2.0, 2.0], [0.6, 0.6], [0.5, "ValueError: odd"], [0.9, 0.9], [2.0, 2.0]]
    assert "(validation loss 0.5, on 1 of 2 seeds, untrained 2.3)" in read(rows).reason


def test_rates_above_at_which_all_raised_are_not_called_harmless():
    rows = [[2.0], [1.0], [0.5], [0.3], ["MemoryError: too large"]]
    reason = read(rows).reason
    assert "too high to learn" not in reason
    assert reason.endswith("Above lr 0.1 each of them did: nothing is known there.")


def test_a_fall_that_is_no_more_than_seeds_differ_by_is_not_learning():
    rows = [[2.31, 2.28, 2.33], [2.27, 2.3, 2.29], [2.32, 2.26, 2.31], [2.3, 2.35, 2.28], [2.6] * 3]
    result = read(rows)
    assert result.best.lr == 1e-3
    assert result.reason == (
        "No rate learned anything in this budget: the best, 0.001, has validation loss 2.287, and "
        "untrained it is 2.3, no more below it than seeds differ."
    )
    assert (result.optimum, result.diverges_at, result.order) == (None, None, None)


def test_next_to_a_loss_of_zero_the_basin_is_measured_by_what_was_learned():
    rows = [[1.0, 1.1], [1e-4, 1.1e-4], [1e-8, 1.1e-8], [1e-5, 1.2e-5], [0.4, 0.5]]
    result = read(rows)
    assert result.unit == pytest.approx(0.0023, rel=0.01)
    assert result.basin.low < 1e-3 < 0.1 < result.basin.high
    assert "; at most 0.00023 from" in result.reason
    assert result.optimum.loss >= 0
    assert result.decade_below == pytest.approx(1e-4 / 0.0023, rel=0.1)


def test_rates_that_are_all_the_same_say_nothing_of_an_optimum():
    result = read([[0.0, 0.0]] * 5)
    assert result.optimum is None
    assert result.extend_to is None
    assert result.reason == (
        "Best at lr 0.01 (validation loss 0, untrained 2.3); at most 0.00023 from 0.0001 to 1, so "
        "0.01 is safe; no rate of the grid is too high to learn."
    )


def test_of_rates_that_are_equally_good_the_one_in_the_middle_is_the_best():
    assert read([[0.5], [0.1], [0.1], [0.1], [0.5]]).best.lr == 1e-2
    flat = read([[0.1]] * 5)
    assert flat.best.lr == 1e-2
    assert (flat.basin.open_low, flat.basin.open_high) == (True, True)


@pytest.mark.parametrize(("best", "said"), [(0.4, "at least"), (-4.4, "at most")])
def test_an_optimum_beyond_the_grid_has_an_open_interval(best, said):
    result = read(*bowl(best))
    found = result.optimum
    assert (found.open_low, found.open_high) == (best < -4, best > 0)
    closed = found.low if best > 0 else found.high
    assert f"by the whole curve at {found.lr:.2g} (90 %: {said} {closed:.2g})" in result.reason
