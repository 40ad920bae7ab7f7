import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot._curves.u_curve import (
    basin,
    divergence_edge,
    extension,
    is_noise,
    learned_nothing,
    loss_at,
    loss_unit,
    mean_interval,
    safe_order,
)

NAN, INF = math.nan, math.inf
GRID = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
losses = st.lists(
    st.integers(-99, 99) | st.just(INF) | st.just(NAN), min_size=5, max_size=5
).filter(lambda row: any(math.isfinite(value) for value in row))


@pytest.mark.parametrize("count", [2, 3, 5, 20])
@pytest.mark.parametrize("mean", [0.0, 10.0])
def test_the_interval_covers_the_mean_as_often_as_it_says(count, mean):
    rng, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        low, high = mean_interval(rng.normal(mean, 1.0, count), positive=mean > 0)
        covered += low <= mean <= high
    assert 0.88 <= covered / 1000 <= 0.92


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_interval_covers_a_skewed_positive_mean(count):
    rng, covered = np.random.default_rng(1), 0
    for _ in range(1000):
        low, high = mean_interval(rng.lognormal(-0.045, 0.3, count), positive=True)
        covered += low <= 1.0 <= high
    assert 0.85 <= covered / 1000 <= 0.92


def test_the_interval_of_many_samples_is_that_of_the_normal_law():
    samples = np.random.default_rng(1).normal(5.0, 2.0, 400) - 100
    low, high = mean_interval(samples, positive=False)
    half = 1.645 * samples.std() / 20
    assert low == pytest.approx(samples.mean() - half, abs=0.01 * half)
    assert high == pytest.approx(samples.mean() + half, abs=0.01 * half)


@pytest.mark.parametrize("positive", [True, False])
def test_the_interval_of_one_sample_is_the_sample_and_of_a_broken_one_infinite(positive):
    assert mean_interval([2.5], positive=positive) == (2.5, 2.5)
    for bad in (NAN, INF):
        assert mean_interval([1.0, bad], positive=positive) == (INF, INF)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6), st.floats(0.01, 100))
def test_the_interval_of_the_mean_holds_it_and_scales(samples, a):
    low, high = mean_interval(samples, positive=False)
    slack = 1e-9 * max(map(abs, samples))
    assert low - slack <= np.mean(samples) <= high + slack
    scaled = mean_interval([a * sample for sample in samples], positive=False)
    assert scaled == pytest.approx((a * low, a * high), rel=1e-6, abs=100 * a * slack)


@given(st.lists(st.floats(1e-30, 1e3), min_size=2, max_size=6), st.floats(0.01, 100))
def test_what_is_positive_has_a_positive_interval_that_scales(samples, a):
    low, high = mean_interval(samples, positive=True)
    assert 0 < low <= np.mean(samples) * (1 + 1e-9)
    assert high >= np.mean(samples) * (1 - 1e-9)
    scaled = mean_interval([a * sample for sample in samples], positive=True)
    assert scaled == pytest.approx((a * low, a * high), rel=1e-6)


@pytest.mark.parametrize("best", [1e-3, 1e-2, 3e-2])
@pytest.mark.parametrize("tolerance", [0.05, 0.1, 0.5])
def test_the_basin_of_a_parabola_in_log_lr_has_the_width_of_theory(best, tolerance):
    lrs = np.geomspace(1e-6, 10, 701)
    curve = 1.0 + (np.log10(lrs) - math.log10(best)) ** 2
    low, high, *open_ends = basin(lrs, curve, tolerance=tolerance, unit=1.0)
    half = math.sqrt(tolerance)
    assert math.log10(low) == pytest.approx(math.log10(best) - half, abs=0.01)
    assert math.log10(high) == pytest.approx(math.log10(best) + half, abs=0.01)
    assert open_ends == [False, False]


def test_basin_ends_at_the_last_good_rate_before_a_diverged_one():
    assert basin(GRID, [9, 2, 1, INF, INF], tolerance=0.1, unit=1)[1] == pytest.approx(1e-2)
    assert basin(GRID, [NAN, 1, 2, 3, 4], tolerance=0.1, unit=1)[0] == pytest.approx(1e-3)


def test_basin_is_open_where_the_grid_ends_inside_it():
    low, high, open_low, open_high = basin(GRID, [1, 1, 1, 1, 1], tolerance=0.1, unit=1)
    assert (low, high) == pytest.approx((1e-4, 1.0))
    assert open_low
    assert open_high
    assert basin([0.1], [3.0], tolerance=0.1, unit=3.0)[2:] == (True, True)


def test_a_second_valley_does_not_belong_to_the_basin():
    low, high, *_ = basin(GRID, [1.0, 5.0, 0.9, 5.0, 1.0], tolerance=0.2, unit=1.0)
    assert 1e-3 < low < 1e-2 < high < 1e-1


@given(losses, st.floats(0.0, 2.0), st.floats(0.01, 10))
def test_basin_holds_the_best_and_grows_with_the_tolerance(row, tolerance, scale):
    values = [value if math.isfinite(value) else INF for value in row]
    best = GRID[values.index(min(values))]
    low, high, *_ = basin(GRID, row, tolerance=tolerance, unit=scale)
    assert low <= best * (1 + 1e-9)
    assert high >= best * (1 - 1e-9)
    wider_low, wider_high, *_ = basin(GRID, row, tolerance=tolerance + 0.5, unit=scale)
    assert wider_low <= low * (1 + 1e-9)
    assert wider_high >= high * (1 - 1e-9)


@given(losses, st.floats(0.01, 100), st.floats(-100, 100))
def test_basin_scales_and_shifts_with_the_loss(row, a, b):
    one = basin(GRID, row, tolerance=0.1, unit=1.0)
    other = basin(GRID, [a * value + b for value in row], tolerance=0.1, unit=a)
    assert other[:2] == pytest.approx(one[:2], rel=1e-3)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0.01, 10))
def test_learned_nothing_is_less_than_a_tenth_of_the_best(loss, best, learned):
    untrained = best + learned
    share = (untrained - loss) / learned
    if abs(share - 0.1) > 1e-9:
        assert learned_nothing(loss, best, untrained) is (share < 0.1)


@pytest.mark.parametrize("loss", [NAN, INF])
def test_what_is_not_finite_learned_nothing(loss):
    assert learned_nothing(loss, 0.1, 2.3)


def test_when_the_best_learned_nothing_all_did():
    assert learned_nothing(2.3, 2.3, 2.3)


@pytest.mark.parametrize(
    ("row", "edge"),
    [
        ([2.0, 1.0, 0.1, 0.5, 0.6], None),
        ([2.0, 1.0, 0.1, 0.5, 2.4], 1.0),
        ([2.0, 1.0, 0.1, 2.4, INF], 1e-1),
        ([2.0, 1.0, 0.1, NAN, INF], 1e-1),
        ([2.0, 1.0, 0.1, INF, 0.5], None),  # fails in the middle and works above: no edge
        ([2.4, 2.4, 2.4, 1.0, 0.1], None),  # rates that are too low are not divergence
        ([0.1, INF, INF, INF, INF], 1e-3),
        ([INF, INF, INF, INF, 0.1], None),
    ],
)
def test_the_edge_is_the_rate_from_which_on_nothing_learns(row, edge):
    assert divergence_edge(GRID, row, untrained=2.3) == edge


@settings(max_examples=200)
@given(losses, st.floats(-100, 100))
def test_above_the_edge_nothing_learned_and_just_below_it_something_did(row, untrained):
    values = [value if math.isfinite(value) else INF for value in row]
    edge, best = divergence_edge(GRID, row, untrained), values.index(min(values))
    if edge is None:
        if best < len(GRID) - 1:
            assert not learned_nothing(values[-1], values[best], untrained)
        return
    index = GRID.index(edge)
    assert index > best
    assert all(learned_nothing(value, values[best], untrained) for value in values[index:])
    if index - 1 > best:
        assert not learned_nothing(values[index - 1], values[best], untrained)


@pytest.mark.parametrize("lr", [1e-4, 3e-4, 2e-2, 1.0])
def test_the_loss_between_rates_is_on_the_line_in_log_lr(lr):
    assert loss_at(GRID, [-4, -3, -2, -1, 0], lr) == pytest.approx(math.log10(lr))


@pytest.mark.parametrize("lr", [9e-5, 1.1])
def test_beyond_the_rates_the_loss_is_not_known(lr):
    assert math.isnan(loss_at(GRID, [1, 2, 3, 4, 5], lr))


@pytest.mark.parametrize("bad", [NAN, INF])
def test_between_a_rate_that_works_and_one_that_fails_training_fails(bad):
    row = [1.0, 2.0, 3.0, 4.0, bad]
    assert loss_at(GRID, row, 0.2) == INF
    assert loss_at(GRID, row, 0.1) == 4.0
    assert loss_at(GRID, row, 0.1 * (1 + 1e-9)) == 4.0


@given(st.floats(-8, 3), st.floats(0, 6))
def test_the_safe_order_is_a_power_of_ten_in_the_range_nearest_to_its_middle(start, width):
    low, high = 10**start, 10 ** (start + width)
    order = safe_order(low, high)
    inside = [k for k in range(-9, 11) if start <= k <= start + width]
    if order is None:
        assert not inside
        return
    power = round(math.log10(order))
    assert order == pytest.approx(10**power, rel=1e-12)
    assert low * (1 - 1e-5) <= order <= high * (1 + 1e-5)
    middle = start + width / 2
    assert all(abs(power - middle) <= abs(k - middle) + 1e-9 for k in inside)


@pytest.mark.parametrize(
    ("ends", "best", "is_open", "expected"),
    [
        ((1e-3, 3.0), 3.0, "", 10.0),
        ((1e-3, 1.0), 1.0, "", 10.0),
        ((1e-3, 6.0), 6.0, "", 100.0),  # 10 is not even twice as far
        ((1e-3, 1.0), 1e-3, "", 1e-4),
        ((3e-6, 1.0), 3e-6, "", 1e-6),
        ((1e-3, 1.0), 0.3, "high", 10.0),
        ((1e-3, 1.0), 0.3, "", None),
        ((1e-3, 1.0), 0.01, "low", 1e-4),
        ((1e-3, 1.0), 0.3, "low high", 10.0),  # nothing is known: the nearer end
        ((1e-3, 1.0), 0.01, "low high", 1e-4),
    ],
)
def test_the_grid_is_extended_where_its_end_cut_the_curve_off(ends, best, is_open, expected):
    lrs = sorted({*ends, 0.01, 0.1, best})
    found = extension(lrs, best, open_low="low" in is_open, open_high="high" in is_open)
    assert found == expected


def test_one_rate_cuts_nothing_off():
    assert extension([0.1], 0.1, open_low=True, open_high=True) is None


@pytest.mark.parametrize(
    ("best", "untrained", "expected"),
    [
        (0.5, 2.5, 0.5),
        (0.5, NAN, 0.5),
        (1e-9, 2.0, 0.002),
        (0.0, 2.0, 0.002),
        (-1.0, 2.0, 3.0),
        (-1.0, NAN, 0.0),
        (0.0, NAN, 0.0),
        (-1.0, -2.0, 0.0),
    ],
)
def test_losses_are_measured_by_the_best_but_not_next_to_zero(best, untrained, expected):
    assert loss_unit(best, untrained) == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_best_of_many_rates_that_learned_nothing_is_noise(seeds):
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        table = 2.3 + 0.02 * generator.normal(size=(12, seeds))
        found += is_noise(2.3 - table.mean(axis=1).min(), table)
        assert not is_noise(0.2, table)
    assert found >= 0.9 * 300


def test_what_failed_says_nothing_of_the_noise():
    assert not is_noise(1.0, [[0.5, 0.6], [INF, INF], [INF, 3.0], [NAN, 1.0]])
    assert is_noise(0.0, [[0.5, 0.6]])
    assert is_noise(-0.1, [[0.5], [0.6]])
    assert not is_noise(0.01, [[0.5], [0.6]])  # one seed: the noise is not known
