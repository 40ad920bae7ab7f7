import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot._curves.range_reading import RangeReading, blew_up, read_range

LRS = np.geomspace(1e-6, 10, 80).tolist()
NAN, INF = math.nan, math.inf


def quadratic(curvature, sigma=0.0, lrs=LRS, jitter=0.0):
    """Losses of gradient descent on ½·λ·w² from w = 1, one update at each rate.

    ``jitter`` is the noise of the gradient, in units of the first gradient.
    """
    w, losses, rng = 1.0, [], np.random.default_rng(0)
    for lr in lrs:
        losses.append(0.5 * curvature * w * w + sigma * rng.standard_normal())
        w -= lr * curvature * (w + jitter * rng.standard_normal())
        if blew_up(losses):
            break
    return losses


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, -10.0])
@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0], False),
        ([1.0, NAN], True),
        ([INF], True),
        ([1.0, 5.0, 90.0, 900.0], False),  # too few to say
        ([2.3, 2.3, 2.2, 1.5, 1.0, 1.1], False),
        ([2.3, 2.3, 2.2, 1.5, 1.0, 9.0], False),  # one bad batch
        ([2.3, 2.3, 2.2, 1.5, 1.0, 9.0, 1.0], False),
        ([2.3, 2.3, 2.2, 1.5, 1.0, 9.0, 30.0], True),
        ([2.3, 2.3, 2.3, 2.3, 2.3, 2.3], False),
        ([2.3, 2.3, 2.3, 2.3, 2.4, 2.5], True),  # rises without ever having fallen
    ],
)
def test_blew_up_at_any_scale_and_shift(losses, expected, scale, shift):
    assert blew_up([scale * (loss + shift) for loss in losses]) is expected


@pytest.mark.parametrize("curvature", [3.0, 30.0, 1e3, 1e4])
def test_the_range_test_of_a_quadratic_diverges_above_two_over_the_curvature(curvature):
    losses = quadratic(curvature, jitter=0.1)
    lrs = LRS[: len(losses)]
    reading = read_range(lrs, losses)
    edge = 2 / curvature
    assert edge < reading.diverges_at < 6 * edge
    assert edge / 20 < reading.lowest_at < 3 * edge
    assert reading.clear
    assert reading.drop == pytest.approx(losses[0], rel=0.1)


def test_without_divergence_the_edge_is_none():
    losses = quadratic(0.01)
    assert len(losses) == len(LRS)
    assert read_range(LRS, losses).diverges_at is None


@pytest.mark.parametrize("sigma", [1e-3, 0.3])
def test_a_loss_that_is_all_noise_is_not_clear(sigma):
    losses = 2.3 + sigma * np.random.default_rng(1).standard_normal(80)
    assert not read_range(LRS, losses.tolist()).clear


@pytest.mark.parametrize("value", [0.0, 2.3, -1.0])
def test_a_constant_loss_is_not_clear(value):
    reading = read_range(LRS, [value] * 80)
    assert not reading.clear
    assert reading.diverges_at is None


def test_a_drop_clear_of_the_noise_is_clear():
    assert RangeReading(0.1, None, drop=3.1, noise=1.0).clear
    assert not RangeReading(0.1, None, drop=3.0, noise=1.0).clear
    assert not RangeReading(0.1, None, drop=0.0, noise=0.0).clear
    assert not RangeReading(0.1, None, drop=NAN, noise=0.0).clear


def test_a_last_loss_that_is_not_finite_is_where_it_diverged():
    losses = [2.0, 2.0, 2.0, 1.5, 1.0, 0.8, NAN]
    reading = read_range(LRS[:7], losses)
    assert reading.diverges_at == LRS[6]
    assert reading.lowest_at == LRS[5]


@given(st.integers(0, 50), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_the_reading_scales_with_the_loss(seed, a, b):
    losses = np.array(quadratic(3.0, sigma=0.01 * (seed + 1), jitter=0.1))
    lrs = LRS[: len(losses)]
    one, other = read_range(lrs, losses.tolist()), read_range(lrs, (a * losses + b).tolist())
    assert one.lowest_at == other.lowest_at
    assert one.diverges_at == other.diverges_at
    assert one.clear == other.clear
    assert other.drop == pytest.approx(a * one.drop, rel=1e-6, abs=1e-9 * abs(b))
