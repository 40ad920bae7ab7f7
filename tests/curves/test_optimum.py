import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot._curves.optimum import fit_optimum

NAN, INF = math.nan, math.inf
X = np.arange(-4, 0.1, 1 / 3)
LRS = (10**X).tolist()


def fit(losses, lrs=LRS, floor=0.0, seed=0, level=0.9):
    generator = np.random.default_rng(seed)
    return fit_optimum(lrs, losses, floor=floor, generator=generator, level=level)


def bowl(x0, rng, noise, seeds=3, x=X):
    """Losses 1 + (x − x0)² with relative noise and an effect common to all rates of a seed."""
    common = rng.normal(0, noise, (1, seeds))
    return (1 + (x - x0) ** 2)[:, None] * np.exp(
        common + rng.normal(0, noise, (len(x), seeds)) - noise**2
    )


def valley(x0, rng, noise, seeds=3, x=X):
    """Falls like lr^-½ and rises like lr^2: gentle on the left, steep on the right."""
    u = x - x0
    common = rng.normal(0, noise, (1, seeds))
    return (np.exp(-1.15 * u) / 1.15 + np.exp(4.6 * u) / 4.6)[:, None] * np.exp(
        common + rng.normal(0, noise, (len(x), seeds))
    )


def gap(one, other):
    return abs(math.log10(one / other))


@pytest.mark.parametrize("x0", [-3.0, -2.5, -2.11, -1.4])
def test_the_optimum_of_a_parabola_without_noise_is_found_far_below_the_distance_of_rates(x0):
    found = fit((1 + (X - x0) ** 2)[:, None])
    assert math.log10(found.lr) == pytest.approx(x0, abs=0.05)
    assert found.low <= 10**x0 <= found.high
    assert found.loss == pytest.approx(1.0, abs=0.05)
    assert math.log10(found.high / found.low) < 0.25


@pytest.mark.parametrize("curve", [bowl, valley])
@pytest.mark.parametrize(("noise", "seeds"), [(0.1, 2), (0.2, 5)])
def test_the_interval_covers_the_optimum_about_as_often_as_it_says(curve, noise, seeds):
    rng, covered, narrow = np.random.default_rng(0), 0, 0
    for _ in range(100):
        x0 = rng.uniform(-2.6, -1.4)
        losses = curve(x0, rng, noise, seeds)
        found, half = fit(losses), fit(losses, level=0.5)
        covered += found.low <= 10**x0 <= found.high
        narrow += half.low <= 10**x0 <= half.high
    assert covered / 100 >= 0.82
    assert 0.3 <= narrow / 100 <= 0.8  # an interval that is always right says nothing


def test_more_noise_and_fewer_seeds_widen_the_interval():
    rng = np.random.default_rng(0)

    def width(noise, seeds):
        fits = [fit(bowl(-2, rng, noise, seeds)) for _ in range(20)]
        return np.median([gap(one.high, one.low) for one in fits])

    assert width(0.02, 3) < width(0.1, 3) < width(0.3, 3)
    assert width(0.1, 5) < width(0.1, 2)


@pytest.mark.parametrize("mad", [0.05, 8.0, 100.0, INF])
@pytest.mark.parametrize("place", range(3, 11, 2))
def test_one_mad_member_of_three_hardly_moves_the_optimum(mad, place):
    losses = bowl(-2.0, np.random.default_rng(1), 0.03)
    whole = fit(losses)
    losses[place, 1] *= mad
    found = fit(losses)
    assert gap(found.lr, whole.lr) < 0.2
    assert found.low < 10**-2.0 < found.high


@pytest.mark.parametrize(
    ("x0", "end"), [(0.5, "high"), (0.0, "high"), (-4.6, "low"), (-4.0, "low")]
)
def test_an_optimum_at_or_beyond_the_end_of_the_rates_makes_the_interval_reach_the_end(x0, end):
    found = fit(bowl(x0, np.random.default_rng(0), 0.03))
    ends = {"low": (found.low, LRS[0]), "high": (found.high, LRS[-1])}
    assert ends[end][0] == pytest.approx(ends[end][1])
    assert (found.open_low, found.open_high) == (end == "low", end == "high")


def test_an_optimum_within_the_rates_leaves_neither_end_open():
    found = fit(bowl(-2.0, np.random.default_rng(0), 0.03))
    assert (found.open_low, found.open_high) == (False, False)


@pytest.mark.parametrize("per_decade", [2, 3])
def test_a_wall_right_above_the_optimum_is_within_the_interval(per_decade):
    rng, covered = np.random.default_rng(5), 0
    for _ in range(60):
        edge = rng.uniform(-1.2, -0.4)
        x = np.arange(-4, 0.1, 1 / per_decade)
        losses = np.where(x > edge, INF, np.exp(-1.2 * x))[:, None] * np.ones((1, 3))
        found = fit(losses * np.exp(0.03 * rng.normal(size=losses.shape)), lrs=(10**x).tolist())
        covered += found.low <= 10**edge <= found.high
        assert not found.open_high
    assert covered / 60 >= 0.75


def test_where_losses_fall_until_training_fails_the_interval_lies_between_the_two_rates():
    losses = np.array([[10.0 ** -(i / 6)] * 3 if i < 9 else [INF] * 3 for i in range(13)])
    found = fit(losses * np.exp(0.02 * np.random.default_rng(0).normal(size=losses.shape)))
    assert LRS[7] < found.low
    assert LRS[8] < found.high <= LRS[9] * (1 + 1e-9)


@given(st.floats(-3, 3), st.integers(0, 30))
@settings(max_examples=30)
def test_rates_in_another_unit_give_the_same_optimum_in_that_unit(shift, seed):
    losses = bowl(-2.2, np.random.default_rng(seed), 0.1)
    one = fit(losses)
    other = fit(losses, lrs=[lr * 10**shift for lr in LRS])
    for name in ("lr", "low", "high"):
        assert getattr(other, name) == pytest.approx(getattr(one, name) * 10**shift, rel=0.03)


@given(st.floats(0.01, 100), st.floats(-1000, 1000), st.integers(0, 30))
@settings(max_examples=30)
def test_losses_in_another_unit_and_from_another_floor_give_the_same_optimum(a, b, seed):
    losses = valley(-1.7, np.random.default_rng(seed), 0.05)
    one, other = fit(losses), fit(a * losses + b, floor=b)
    assert (other.lr, other.low, other.high) == pytest.approx((one.lr, one.low, one.high), rel=0.03)
    assert (other.loss - b) / a == pytest.approx(one.loss, rel=0.01)


@given(st.permutations(range(3)), st.integers(0, 30))
@settings(max_examples=30)
def test_the_order_of_the_seeds_does_not_matter(order, seed):
    losses = bowl(-1.9, np.random.default_rng(seed), 0.1)
    one, other = fit(losses), fit(losses[:, list(order)])
    width = gap(one.high, one.low)
    assert gap(one.lr, other.lr) < 0.5 * width
    assert gap(one.low, other.low) < 0.35 * width
    assert gap(one.high, other.high) < 0.35 * width


@given(
    st.lists(
        st.lists(st.floats(1e-6, 1e6) | st.sampled_from([NAN, INF, 0.0]), min_size=2, max_size=2),
        min_size=1,
        max_size=9,
    ),
    st.integers(0, 3),
)
@settings(max_examples=150)
def test_whatever_the_losses_the_fit_is_none_or_finite_and_in_order(rows, seed):
    lrs = [10.0 ** -(8 - k) for k in range(len(rows))]
    found = fit(rows, lrs=lrs, seed=seed)
    if found is not None:
        slack = 1 + 1e-9
        assert lrs[0] <= found.low * slack
        assert found.low <= found.lr * slack
        assert found.lr <= found.high * slack
        assert found.high <= lrs[-1] * slack
        assert 0 <= found.loss < INF


def test_the_same_generator_gives_the_same_fit():
    losses = bowl(-2, np.random.default_rng(3), 0.2)
    assert fit(losses, seed=4) == fit(losses, seed=4)


def test_missing_seeds_are_missing_and_not_zero():
    losses = bowl(-2.0, np.random.default_rng(2), 0.03, seeds=4)
    whole = fit(losses)
    holes = losses.copy()
    holes[2:11:2, 0] = holes[3, 1] = holes[:, 3] = NAN
    holes[[0, -1]] = NAN
    assert gap(fit(holes).lr, whole.lr) < 0.1


def test_each_rate_with_a_seed_of_its_own_is_fitted_too():
    losses = np.full((13, 13), NAN)
    np.fill_diagonal(losses, bowl(-2.0, np.random.default_rng(0), 0.02, seeds=1)[:, 0])
    found = fit(losses)
    assert found.low < 0.01 < found.high


@pytest.mark.parametrize(
    ("losses", "floor"),
    [
        ([[1.0], [0.5], [1.0]], 0.0),
        ([[1.0], [NAN], [0.5], [1.0]], 0.0),
        ([[INF], [INF], [INF], [INF]], 0.0),
        ([[2.0], [1.0], [2.0], [3.0]], 1.0),
        ([[2.0], [1.0], [2.0], [3.0]], NAN),
    ],
)
def test_too_few_rates_or_a_floor_that_is_reached_give_none(losses, floor):
    assert fit(losses, lrs=LRS[: len(losses)], floor=floor) is None


@pytest.mark.parametrize("row", [[1, 9, 9, 9], [9, 1, 99, 999], [9, 9, 9, 1], [9, 1, 9, 9]])
def test_four_rates_are_enough(row):
    found = fit([[float(value)] for value in row], lrs=[1e-3, 1e-2, 1e-1, 1.0])
    assert found.low <= 10.0 ** (-3 + row.index(1)) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("row", "least"),
    [
        ([9, 1, 1.2, 1.5, 2, 2.6, 9], 1),  # a cliff on the left, where no bend can be
        ([9] + [1] * 12 + [9], range(1, 13)),  # two cliffs
        ([9, 3.1, 3, 3, 3, 1, 9], 5),
        ([9, 9.1, 8.9, 9, 9.1, 2.7, 9.2, 9], 5),
    ],
)
def test_cliffs_that_no_curve_of_the_family_climbs_still_bound_the_optimum(row, least):
    lrs = [10 ** (k / 3) for k in range(len(row))]
    found = fit([[float(value)] * 3 for value in row], lrs=lrs)
    inside = [least] if isinstance(least, int) else least
    place = 3 * math.log10(found.lr)
    assert min(inside) - 0.5 < place < max(inside) + 0.5
    assert found.low < 10 ** ((max(inside) + 0.5) / 3)
    assert found.high > 10 ** ((min(inside) - 0.5) / 3)


def test_the_optimum_of_a_hill_is_beyond_either_end():
    hill = 2 - 0.9 * np.abs(np.linspace(-1, 1, 13))
    lrs = [10 ** (k / 3) for k in range(13)]
    found = fit([[loss] * 3 for loss in hill], lrs=lrs)
    assert (found.low, found.open_low) == (lrs[0], True)
    assert (found.high, found.open_high) == (lrs[-1], True)
    assert fit([[3.2 - loss] * 3 for loss in hill], lrs=lrs) is not None


def test_many_members_that_scatter_are_the_rates_fault_and_do_not_pass_for_mad():
    # two of three seeds reach a loss of 0 at high rates and the third explodes
    rows = [[0.6, 0.6, 0.7], [0.26, 0.25, 0.3], [0.07, 0.06, 0.08], [0.037, 0.024, 0.045]]
    rows += [[0.066, 0.024, 0.057], [0.1, 0.055, 0.075], [0.1, 0.07, 0.07], [0.056, 0.1, 0.09]]
    rows += [[0.005, 0.1, 0.086], [0.004, 1.1, 0.0], [0.0, 0.63, 0.0], [0.0, 10.0, 0.0]]
    found = fit(rows, lrs=[10 ** (-4 + k / 3) for k in range(12)])
    assert 10**-3.5 < found.lr < 10**-1
    assert found.low < 10**-2.7
