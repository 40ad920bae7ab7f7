import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot._curves.u_curve import basin, bootstrap_interval, divergence_edge, learned_nothing

NAN, INF = math.nan, math.inf
GRID = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
losses = st.lists(
    st.integers(-99, 99) | st.just(INF) | st.just(NAN), min_size=5, max_size=5
).filter(lambda row: any(math.isfinite(value) for value in row))


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        low, high = bootstrap_interval(rng.normal(3.0, 1.0, 20), rng, level=0.9, draws=400)
        covered += low <= 3.0 <= high
    assert 0.83 <= covered / 300 <= 0.94  # a little below 0.9: n is small


def test_the_interval_of_many_samples_is_that_of_the_normal_law():
    samples = np.random.default_rng(1).normal(5.0, 2.0, 400)
    low, high = bootstrap_interval(samples, np.random.default_rng(2), draws=4000)
    half = 1.645 * samples.std() / 20
    assert low == pytest.approx(samples.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(samples.mean() + half, abs=0.1 * half)


def test_the_interval_of_one_sample_is_the_sample_and_of_a_broken_one_infinite():
    assert bootstrap_interval([2.5], np.random.default_rng(0)) == (2.5, 2.5)
    for bad in (NAN, INF):
        assert bootstrap_interval([1.0, bad], np.random.default_rng(0)) == (INF, INF)


def test_the_interval_depends_on_the_generator_alone():
    draws = [bootstrap_interval([1.0, 2.0, 4.0], np.random.default_rng(7)) for _ in range(2)]
    assert draws[0] == draws[1]


@pytest.mark.parametrize("best", [1e-3, 1e-2, 3e-2])
@pytest.mark.parametrize("tolerance", [0.05, 0.1, 0.5])
def test_the_basin_of_a_parabola_in_log_lr_has_the_width_of_theory(best, tolerance):
    lrs = np.geomspace(1e-6, 10, 701)
    curve = 1.0 + (np.log10(lrs) - math.log10(best)) ** 2
    low, high, *open_ends = basin(lrs, curve, tolerance=tolerance, scale=1.0)
    half = math.sqrt(tolerance)
    assert math.log10(low) == pytest.approx(math.log10(best) - half, abs=0.01)
    assert math.log10(high) == pytest.approx(math.log10(best) + half, abs=0.01)
    assert open_ends == [False, False]


def test_basin_ends_at_the_last_good_rate_before_a_diverged_one():
    assert basin(GRID, [9, 2, 1, INF, INF], tolerance=0.1, scale=1)[1] == pytest.approx(1e-2)
    assert basin(GRID, [NAN, 1, 2, 3, 4], tolerance=0.1, scale=1)[0] == pytest.approx(1e-3)


def test_basin_is_open_where_the_grid_ends_inside_it():
    low, high, open_low, open_high = basin(GRID, [1, 1, 1, 1, 1], tolerance=0.1, scale=1)
    assert (low, high) == pytest.approx((1e-4, 1.0))
    assert open_low
    assert open_high
    assert basin([0.1], [3.0], tolerance=0.1, scale=3.0)[2:] == (True, True)


def test_a_second_valley_does_not_belong_to_the_basin():
    low, high, *_ = basin(GRID, [1.0, 5.0, 0.9, 5.0, 1.0], tolerance=0.2, scale=1.0)
    assert 1e-3 < low < 1e-2 < high < 1e-1


@given(losses, st.floats(0.0, 2.0), st.floats(0.01, 10))
def test_basin_holds_the_best_and_grows_with_the_tolerance(row, tolerance, scale):
    values = [value if math.isfinite(value) else INF for value in row]
    best = GRID[values.index(min(values))]
    low, high, *_ = basin(GRID, row, tolerance=tolerance, scale=scale)
    assert low <= best * (1 + 1e-9)
    assert high >= best * (1 - 1e-9)
    wider_low, wider_high, *_ = basin(GRID, row, tolerance=tolerance + 0.5, scale=scale)
    assert wider_low <= low * (1 + 1e-9)
    assert wider_high >= high * (1 - 1e-9)


@given(losses, st.floats(0.01, 100), st.floats(-100, 100))
def test_basin_scales_and_shifts_with_the_loss(row, a, b):
    one = basin(GRID, row, tolerance=0.1, scale=1.0)
    other = basin(GRID, [a * value + b for value in row], tolerance=0.1, scale=a)
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
