"""Range tests: of a quadratic, whose edge is known, and of noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot._curves.range_reading import Blast, RangeReading, read_range

LRS = np.geomspace(1e-6, 10, 80).tolist()
NAN, INF = math.nan, math.inf


def quadratic(curvature, sigma=0.0, jitter=0.0, paired=True, seed=0):
    """Losses of gradient descent on ½·λ·w² from w = 1, one update at each rate, and the reference.

    ``sigma`` is the noise of the loss from batch to batch, ``jitter`` that of the gradient, in
    units of the first gradient.
    """
    rng = np.random.default_rng(seed)
    batches = sigma * rng.standard_normal(len(LRS))
    reference = (0.5 * curvature + batches).tolist() if paired else None
    blast, w, losses = Blast(reference, len(LRS)), 1.0, []
    for lr, batch in zip(LRS, batches, strict=True):
        losses.append(0.5 * curvature * w * w + batch)
        w -= lr * curvature * (w + jitter * rng.standard_normal())
        if blast(losses):
            break
    return losses, reference


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
def test_it_is_said_to_blow_up_at_any_scale_and_shift(losses, expected, scale, shift):
    reference = [scale * (2.3 + shift)] * 10
    assert Blast(reference, 10)([scale * (loss + shift) for loss in losses]) is expected


def test_without_a_reference_nothing_is_said_until_the_noise_is_known():
    losses = [2.3, 2.30001, 2.29999, 2.30001, 2.4, 2.5]
    assert Blast(None, 20)(losses)
    assert not Blast(None, 40)(losses)
    assert Blast(None, 40)([*losses, NAN])


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("curvature", [3.0, 30.0, 1e3, 1e4])
def test_the_range_test_of_a_quadratic_diverges_above_two_over_the_curvature(curvature, paired):
    losses, reference = quadratic(curvature, jitter=0.1, paired=paired)
    reading = read_range(LRS, losses, reference)
    edge = 2 / curvature
    assert edge < reading.diverges_at < 10 * edge
    assert edge / 20 < reading.lowest_at < 3 * edge
    assert edge / 200 < reading.onset < reading.lowest_at
    assert reading.clear
    assert reading.drop == pytest.approx(losses[0], rel=0.15)


def test_the_fall_begins_where_theory_says():
    """The loss falls like exp(−2 λ Σ lr), and Σ is lr ÷ ln of the ratio of rates; the mean lags."""
    losses, reference = quadratic(1.0)
    total = -0.5 * math.log(1 - 0.1)
    expected = total * math.log(LRS[1] / LRS[0])
    assert 1 < read_range(LRS, losses, reference).onset / expected < 2.5


def test_noise_that_both_share_changes_nothing():
    readings = [read_range(LRS, *quadratic(3.0, sigma=sigma)) for sigma in (0.0, 0.5)]
    assert readings[0].lowest_at == pytest.approx(readings[1].lowest_at, rel=0.01)
    assert readings[0].onset == pytest.approx(readings[1].onset, rel=0.01)
    assert readings[1].noise == pytest.approx(0.5, rel=0.3)


def test_without_divergence_the_edge_is_none():
    losses, reference = quadratic(0.01)
    assert len(losses) == len(LRS)
    assert read_range(LRS, losses, reference).diverges_at is None


@pytest.mark.parametrize("sigma", [1e-3, 0.3])
def test_a_loss_that_is_all_noise_is_not_clear(sigma):
    losses = 2.3 + sigma * np.random.default_rng(1).standard_normal(80)
    assert not read_range(LRS, losses.tolist()).clear


@pytest.mark.parametrize("value", [0.0, 2.3, -1.0])
@pytest.mark.parametrize("paired", [True, False])
def test_a_constant_loss_is_not_clear(value, paired):
    reading = read_range(LRS, [value] * 80, [value] * 80 if paired else None)
    assert not reading.clear
    assert reading.diverges_at is None


def test_a_drop_clear_of_the_noise_is_clear():
    def clear(drop, noise, paired):
        return RangeReading(0.1, 0.01, None, drop, noise, paired).clear

    assert clear(3.1, 1.0, paired=False)
    assert not clear(3.0, 1.0, paired=False)
    assert clear(1.1, 1.0, paired=True)
    assert not clear(1.0, 1.0, paired=True)
    assert not clear(0.0, 0.0, paired=True)
    assert not clear(NAN, 0.0, paired=True)


def test_a_last_loss_that_is_not_finite_is_where_it_diverged():
    losses = [2.0, 2.0, 2.0, 1.5, 1.0, 0.8, NAN]
    reading = read_range(LRS, losses, [2.0] * 80)
    assert reading.diverges_at == LRS[6]
    assert reading.lowest_at == LRS[5]


@given(st.integers(0, 50), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_the_reading_scales_with_the_loss(seed, a, b):
    losses, reference = quadratic(3.0, sigma=0.01 * (seed + 1), jitter=0.1, seed=seed)
    one = read_range(LRS, losses, reference)
    other = read_range(LRS, [a * each + b for each in losses], [a * each + b for each in reference])
    assert (one.lowest_at, one.onset, one.clear) == (other.lowest_at, other.onset, other.clear)
    assert one.diverges_at == other.diverges_at
    assert other.drop == pytest.approx(a * one.drop, rel=1e-6, abs=1e-9 * abs(b))
