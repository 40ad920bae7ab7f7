import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surefoot import InputError
from surefoot._curves.smoothing import noise, smooth, tail_mean

NAN, INF = math.nan, math.inf
finite = st.floats(-1e6, 1e6)
curves = arrays(np.float64, st.integers(1, 40), elements=finite)
broken = arrays(np.float64, st.integers(1, 40), elements=finite | st.sampled_from([NAN, INF, -INF]))


def weighted_mean(values, span):
    """The formula of the docstring, term by term."""
    beta, result = 1 - 1 / span, []
    for t in range(len(values)):
        pairs = [(beta ** (t - i), x) for i, x in enumerate(values[: t + 1]) if math.isfinite(x)]
        total = sum(weight for weight, _ in pairs)
        result.append(sum(w * x for w, x in pairs) / total if total else NAN)
    return result


@given(broken, st.floats(1.0, 20.0))
def test_smooth_is_the_weighted_mean_of_what_is_finite(values, span):
    expected = weighted_mean(values, span) if span > 1 else None
    if expected is not None:
        # weights far back vanish: compare where the mean is not dominated by rounding
        assert smooth(values, span) == pytest.approx(expected, rel=1e-6, abs=1e-3, nan_ok=True)


@given(curves)
def test_span_one_changes_nothing(values):
    assert smooth(values, 1) == pytest.approx(values)


@given(curves, st.floats(1.5, 20.0))
def test_a_smoothed_curve_stays_between_the_least_and_the_largest_value(values, span):
    smoothed, slack = smooth(values, span), 1e-9 * np.abs(values).max()
    assert (smoothed >= values.min() - slack).all()
    assert (smoothed <= values.max() + slack).all()


@given(curves, st.floats(1.5, 20.0), st.floats(0.1, 10.0), finite)
def test_smooth_commutes_with_scaling_and_shifting(values, span, a, b):
    expected = a * smooth(values, span) + b
    assert smooth(a * values + b, span) == pytest.approx(expected, rel=1e-6, abs=1e-5)


def test_smooth_is_nan_before_the_first_finite_value_and_passes_over_later_ones():
    assert np.isnan(smooth([NAN, INF, 1.0], 2)).tolist() == [True, True, False]
    assert smooth([1.0, NAN, NAN], 3).tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert smooth([], 3).tolist() == []


@pytest.mark.parametrize("span", [0.0, -3, 1e-9])
def test_a_span_below_one_counts_as_one(span):
    assert smooth([3.0, 1.0], span).tolist() == [3.0, 1.0]


def test_a_span_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="span must be"):
        smooth([1.0], NAN)


@pytest.mark.parametrize("sigma", [0.0, 1e-6, 0.3, 50.0])
@pytest.mark.parametrize("slope", [0.0, 1e-3, -0.02])
def test_noise_is_the_standard_deviation_around_a_slow_trend(sigma, slope):
    samples = np.random.default_rng(0).standard_normal(20_000)
    values = sigma * (slope * np.arange(20_000) + samples)
    assert noise(values) == pytest.approx(sigma, rel=0.03)


def test_noise_does_not_see_a_few_jumps_nor_what_is_not_finite():
    values = np.random.default_rng(0).standard_normal(5000)
    values[::100] += 1e6
    values[7::100] = NAN
    values[8::1000] = INF
    assert noise(values) == pytest.approx(1.0, rel=0.06)


@pytest.mark.parametrize("values", [[], [1.0], [NAN, INF], [NAN, 3.0], [2.0, 2.0, 2.0]])
def test_noise_of_too_little_or_of_a_constant_is_zero(values):
    assert noise(values) == 0.0


@given(curves, st.floats(0.1, 10.0), finite)
def test_noise_scales_and_does_not_shift(values, a, b):
    assert noise(a * values + b) == pytest.approx(
        a * noise(values), rel=1e-6, abs=1e-8 + abs(b) * 1e-9
    )


@given(curves, st.floats(0.01, 1.0))
def test_tail_mean_is_the_mean_of_the_last_share(values, share):
    count = max(1, math.floor(len(values) * share))
    assert tail_mean(values, share) == pytest.approx(np.mean(values[len(values) - count :]))


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_tail_mean_is_infinite_only_where_the_tail_is_broken(bad):
    assert tail_mean([1.0, 2.0, bad], 0.5) == INF
    assert tail_mean([bad, 2.0, 4.0], 0.7) == 3.0
