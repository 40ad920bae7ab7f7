"""Forecasts: of surfaces that are among the known ones, and of some that are not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot._curves.forecast import CAP, Forecast, Known, Seen, depth, forecast

OFFSETS = np.arange(-4, 2.51, 1 / 6) * math.log(10)
TIMES = -np.arange(11) * math.log(2) / 2


def valley(place, width=1.5, slow=0.3):
    """A surface that is deepest at a place, in decades, which falls with time; −1 at its best."""
    x, t = OFFSETS[:, None] / math.log(10), TIMES / math.log(10)
    best = place - slow * t
    return np.maximum(-(10 ** (0.15 * t)) + ((x - best) / width) ** 2, -1.0).clip(max=CAP)


KNOWN = Known(OFFSETS, TIMES, np.array([valley(each) for each in (-0.6, -0.2, 0.2, 0.6)]))


def best(told):
    """The rate of least expected regret, wherever it lies."""
    return told.best(0.1, math.inf)


def short(table, centre=0.1, scale=2.0, untrained=2.3, powers=(-0.4, 0.0, 0.4)):
    """What short trainings on a surface are judged by, at three rates and four times."""
    one = Known(OFFSETS, TIMES, table[None])
    seen = []
    for power in powers:
        for k in range(6, 10):
            at = one.at(np.array([power * math.log(10)]), np.array([TIMES[k]]))[0, 8, 0]
            loss = untrained * math.exp(scale * at)
            seen.append(Seen(centre * 10**power, math.exp(TIMES[k]), loss))
    return seen


@pytest.mark.parametrize("centre", [1e-3, 0.1])
@pytest.mark.parametrize("place", [-0.6, -0.2, 0.2, 0.6])
def test_a_surface_that_is_known_is_found_again(place, centre):
    told = forecast(KNOWN, short(valley(place), centre), 2.3, centre)
    assert math.log10(best(told) / centre) == pytest.approx(place, abs=0.25)
    low, high = told.quantile(0.05), told.quantile(0.95)
    assert low <= best(told) <= high
    assert math.log10(low / centre) - 0.1 < place < math.log10(high / centre) + 0.1


@pytest.mark.parametrize("moved", [-1.0, 0.7])
def test_a_surface_that_lies_elsewhere_is_found_too(moved):
    powers = np.array([-0.4, 0.0, 0.4]) + moved
    told = forecast(KNOWN, short(valley(moved), powers=powers.tolist()), 2.3, 0.1)
    assert math.log10(best(told) / 0.1) == pytest.approx(moved, abs=0.4)


def test_the_loss_that_is_expected_is_the_one_that_comes():
    told = forecast(KNOWN, short(valley(0.2)), 2.3, 0.1)
    expected = 2.3 * math.exp(-2.0)
    assert told.expected(0.1 * 10**0.2) == pytest.approx(expected, rel=0.4)
    assert told.expected(1e6) == math.inf


def test_what_was_trained_whole_is_known_well():
    def width(seen):
        told = forecast(KNOWN, seen, 2.3, 0.1)
        nearest = np.abs(np.log(told.lrs / 0.1)).argmin()
        return np.ptp(np.quantile(np.log(told.losses[:, nearest]), [0.05, 0.95]))

    seen = short(valley(0.2))
    whole = [
        Seen(0.1 * 10**power, 1.0, 2.3 * math.exp(-2 + 2 * ((power - 0.2) / 1.5) ** 2))
        for power in (-0.4, 0.0, 0.4)
    ]
    assert width(seen + whole) < 0.6 * width(seen)


def test_no_rate_at_or_above_one_that_diverged_is_recommended():
    seen = [*short(valley(0.6)), Seen(0.1 * 10**0.6, 1 / 8, math.inf)]
    told = forecast(KNOWN, seen, 2.3, 0.1)
    assert told.lrs[-1] < 0.1 * 10**0.6


@given(st.floats(1e-3, 1e3), st.floats(1e-4, 1e4))
def test_the_unit_of_loss_and_rate_changes_nothing(unit, factor):
    seen = short(valley(0.2))
    one = forecast(KNOWN, seen, 2.3, 0.1)
    scaled = [Seen(each.lr * factor, each.time, each.loss * unit) for each in seen]
    other = forecast(KNOWN, scaled, 2.3 * unit, 0.1 * factor)
    assert best(other) == pytest.approx(best(one) * factor, rel=1e-6)
    assert other.quantile(0.9) == pytest.approx(one.quantile(0.9) * factor, rel=1e-6)
    assert other.expected(best(other)) == pytest.approx(one.expected(best(one)) * unit, rel=1e-6)


@given(st.floats(-1e3, -3))
def test_losses_below_zero_may_be_shifted(shift):
    seen = short(valley(0.2))
    one, other = (
        forecast(KNOWN, [Seen(s.lr, s.time, s.loss + by) for s in seen], 2.3 + by, 0.1)
        for by in (-3.0, shift)
    )
    assert best(one) == pytest.approx(best(other), rel=1e-6)


def test_depth_is_the_logarithm_above_the_floor():
    assert depth(np.array([2.0, 1.0, math.inf]), 2.0).tolist() == pytest.approx(
        [0, -math.log(2), math.inf]
    )
    below = depth(np.array([-1.0, 1.0]), 1.0)  # the floor is −2
    assert below.tolist() == pytest.approx([-math.log(3), 0])


def test_the_best_near_a_rate_is_within_so_many_decades_or_else_the_nearest():
    told = Forecast(np.geomspace(1e-3, 1.0, 7), np.zeros((1, 7)), np.array([0, 5, 4, 3, 2, 1, 9.0]))
    assert told.best(1.0, math.inf) == pytest.approx(1e-3)
    assert told.best(10**-1.5, 0.6) == pytest.approx(0.1)
    assert told.best(50.0, 0.2) == pytest.approx(1.0)


def test_beyond_the_rates_that_were_looked_at_nothing_is_expected():
    told = Forecast(np.array([0.01, 0.1]), np.array([[1.0, 2.0]]), np.array([0.0, 1.0]))
    assert told.expected(0.01) == 1.0
    assert told.expected(1e-9) == told.expected(10.0) == math.inf
