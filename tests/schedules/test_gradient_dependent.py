"""The gradient-dependent rate against its law, and on a cliff."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.schedules import gradient_dependent

norms = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50)


def factors(control, values):
    state, result = control.start(), []
    for value in values:
        state, factor = control.update(state, {"grad_norm": value})
        result.append(factor)
    return result


@given(norms, st.floats(0.1, 3), st.integers(2, 40))
def test_the_factor_is_the_stated_law(values, power, memory):
    """The running geometric mean, written out as a weighted mean over all norms before."""
    control = gradient_dependent(power=power, memory=memory, low=1e-3, high=1e3)
    first, *rest = factors(control, values)
    assert first == 1
    for k, factor in enumerate(rest, start=1):
        weights = (1 - 1 / memory) ** np.arange(k)[::-1]
        reference = math.exp(np.average(np.log(values[:k]), weights=weights))
        law = np.clip((reference / values[k]) ** power, 1e-3, 1e3)
        assert factor == pytest.approx(law, rel=1e-9)


@given(st.floats(1e-300, 1e300), st.integers(1, 60), st.floats(0.01, 100))
def test_constant_norms_have_the_factor_one_exactly(norm, count, power):
    assert factors(gradient_dependent(power=power), [norm] * count) == [1.0] * count


@given(norms, st.floats(1e-3, 1e3))
def test_the_scale_of_the_gradient_cancels(values, scale):
    plain = factors(gradient_dependent(), values)
    scaled = factors(gradient_dependent(), [scale * value for value in values])
    assert scaled == pytest.approx(plain, rel=1e-9)


def test_extreme_norms_are_clipped_and_never_overflow():
    control = gradient_dependent(power=50, low=1e-6, high=1e6)
    assert factors(control, [1.0, 1e308, 5e-324]) == [1.0, 1e-6, 1e6]


def reference_after(control, values):
    state = control.start()
    for value in values:
        state, _ = control.update(state, {"grad_norm": value})
    return math.exp(state["log_reference"])


@given(st.integers(2, 200), st.integers(0, 400), st.floats(1e-6, 1e6))
def test_one_norm_moves_the_reference_by_its_power_of_gain(memory, before, norm):
    """With the norms before it all 1, norm k multiplies the reference by norm^gainₖ."""
    beta, k = 1 - 1 / memory, before + 1
    gain = (1 - beta) / (1 - beta**k)
    moved = reference_after(gradient_dependent(memory=memory), [1.0] * before + [norm])
    assert moved == pytest.approx(norm**gain, rel=1e-9)
    assert gain <= 1
    assert k < memory or gain < 1.6 / memory


@pytest.mark.parametrize(("before", "moved"), [(0, 1e6), (100, 1.242), (10_000, 1e6**0.01)])
def test_an_outlier_of_1e6_early_and_late(before, moved):
    control = gradient_dependent(memory=100)
    assert reference_after(control, [1.0] * before + [1e6]) == pytest.approx(moved, rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_norms_that_are_not_finite_never_enter_the_reference(bad):
    ignored = gradient_dependent(on_nan="ignore")
    assert factors(ignored, [1.0, 4.0, bad, 1.0, 4.0])[3:] == factors(ignored, [1.0, 4.0, 1, 4])[2:]
    assert factors(ignored, [1.0, 4.0, bad])[2] == factors(ignored, [1.0, 4.0])[1]
    lowered = gradient_dependent(on_nan="lower", low=0.2)
    assert factors(lowered, [bad, 1.0, bad, 1.0]) == [0.2, 1.0, 0.2, 1.0]


def test_a_norm_of_zero_sets_the_greatest_factor_and_is_not_in_the_reference():
    assert factors(gradient_dependent(high=3), [0.0, 2.0, 0.0, 2.0]) == [1.0, 1.0, 3.0, 1.0]


def descend(control, updates=300, lr=1.0):
    """Descend cosh(x), a valley whose walls are cliffs, with noise and one bad batch of 8."""
    noise = 0.3 * np.random.default_rng(0).normal(size=updates)
    noise[100] = 8
    x, state, factor = 1.0, control.start() if control else None, 1.0
    for kick in noise:
        gradient = math.sinh(x) + kick
        if control:
            state, factor = control.update(state, {"grad_norm": abs(gradient)})
        x -= lr * factor * gradient
    return x


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_on_a_cliff_where_a_constant_rate_diverges_it_stays_in_the_valley(power):
    with pytest.raises(OverflowError):
        descend(None)
    assert abs(descend(gradient_dependent(power=power))) < 1


def test_it_says_what_it_does():
    words = gradient_dependent(power=1, memory=50).describe()
    assert "to the power 1, within 0.01 … 2" in words
    assert "50 updates" in words
