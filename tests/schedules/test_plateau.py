"""Plateau control: its law, its decisions under scale, sign and shift, and torch beside it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau, SequentialLR

import surefoot
from surefoot.errors import InputError
from surefoot.schedules import hold, plateau, warmup

whole = st.lists(st.integers(-20, 20).map(float), max_size=60)
arguments = st.fixed_dictionaries(
    {
        "patience": st.integers(1, 5),
        "threshold": st.sampled_from([0.0, 0.25, 1.0]),
        "cooldown": st.integers(0, 2),
        "raise_after": st.none() | st.integers(1, 3),
        "high": st.sampled_from([1.0, 4.0]),
        "low": st.sampled_from([2.0**-20, 0.25]),
    }
)


def factors(control, metrics, state=None):
    state, result = state or control.start(), []
    for metric in metrics:
        state, factor = control.update(state, {"metric": metric})
        result.append(factor)
    return result


def torchs(metrics, **arguments):
    """Return the rates of torch's scheduler, as factors."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, **arguments)
    result = []
    for metric in metrics:
        scheduler.step(metric)
        result.append(optimizer.param_groups[0]["lr"])
    return result


# The law


def test_a_metric_that_goes_on_improving_changes_nothing():
    assert set(factors(plateau(), [0.99**k for k in range(200)])) == {1.0}


def test_patience_observations_without_improvement_lower_the_rate():
    control = plateau(factor=0.1, patience=4, raise_after=None)
    assert factors(control, [1.0] * 9) == [1.0] * 4 + [0.1] * 4 + [pytest.approx(0.01)]


def test_gains_below_the_threshold_add_up_to_an_improvement():
    """A gain of 0.04 % each time passes 0.1 % every third time, one of 0.02 % every sixth."""
    for gain, end in ((4e-4, 1.0), (2e-4, 0.5)):
        metrics = [(1 - gain) ** k for k in range(6)]
        assert factors(plateau(patience=3), metrics)[-1] == end


def test_an_absolute_threshold_is_in_the_units_of_the_metric():
    metrics = [100 - 0.4 * k for k in range(40)]
    assert factors(plateau(patience=3, threshold=2, relative=False), metrics)[-1] < 1
    assert factors(plateau(patience=3, threshold=1, relative=False), metrics)[-1] == 1


def test_lowering_that_does_not_help_is_taken_back_once_and_then_goes_on_from_the_least():
    control = plateau(factor=0.5, patience=1, raise_after=2, low=2.0**-6)
    lowered = [2.0**-k for k in range(3, 7)]
    assert factors(control, [1.0] * 10) == [1.0, 0.5, 0.25, 1.0, *lowered, 2.0**-6, 2.0**-6]


def test_the_raise_goes_one_notch_above_the_level_before_the_first_lowering_in_the_row():
    control = plateau(factor=0.5, patience=1, raise_after=1)
    seen = factors(control, [1.0, 1.0, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4])
    assert seen == [1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.5, 0.0625]


def test_the_rate_goes_above_the_schedule_only_if_allowed():
    still = [1.0] * 4
    assert factors(plateau(patience=1, raise_after=2), still)[-1] == 1
    assert factors(plateau(patience=1, raise_after=2, high=10), still)[-1] == 2
    assert factors(plateau(patience=1, raise_after=2, high=1.5), still)[-1] == 1.5


def test_a_raise_that_helps_stays():
    control = plateau(patience=1, raise_after=1)
    assert factors(control, [1.0, 1.0, 1.0, 0.9, 0.8, 0.7])[1:] == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_a_raise_that_makes_it_worse_than_all_before_is_given_up_at_once():
    control = plateau(patience=3, raise_after=1, cooldown=0)
    still = [1.0, 1.1, 1.0, 1.2, 1.0, 1.1, 1.0]
    assert factors(control, still) == [1.0] * 3 + [0.5] * 3 + [1.0]
    assert factors(control, [*still, 1.1, 1.2])[-2:] == [1.0, 0.25]
    assert factors(control, [*still, 1.09, 1.1, 1.1])[-3:] == [1.0, 1.0, 0.25]
    cool = plateau(patience=3, raise_after=1, cooldown=1)
    seen = [1.0, 1.1, 1.0, 1.2, 9.9, 1.0, 1.1, 1.0, 9.9, 9.9]
    assert factors(cool, seen) == [1.0] * 3 + [0.5] * 4 + [1.0] * 2 + [0.25]


def test_where_the_rate_cannot_change_nothing_happens():
    assert set(factors(plateau(patience=1, low=1, cooldown=9), [1.0] * 20)) == {1.0}


@given(whole, arguments)
def test_a_rate_is_raised_at_most_once_between_improvements(metrics, chosen):
    control = plateau(relative=False, **chosen)
    state, factor, raises = control.start(), 1.0, 0
    for metric in metrics:
        best = state["best"]
        state, after = control.update(state, {"metric": metric})
        raises = 0 if state["best"] != best else raises + (after > factor)
        factor = after
        assert raises <= 1


def test_the_cooldown_is_not_judged_but_an_improvement_in_it_counts():
    still = [1.0] * 10
    assert factors(plateau(patience=2, cooldown=0, raise_after=None), still)[-1] == 0.0625
    cool = plateau(patience=2, cooldown=2, raise_after=None)
    assert factors(cool, still) == [1.0] * 2 + [0.5] * 4 + [0.25] * 4
    assert factors(cool, [1.0] * 3 + [0.5] * 4) == [1.0] * 2 + [0.5] * 4 + [0.25]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_smoothing_is_the_debiased_moving_average(metrics, smoothing):
    control = plateau(smoothing=smoothing, patience=10**6)
    state = control.start()
    for metric in metrics:
        state, _ = control.update(state, {"metric": metric})
    weights = smoothing ** np.arange(len(metrics))[::-1]
    mean = np.average(metrics, weights=weights)
    assert state["mean"] == pytest.approx(mean, rel=1e-9, abs=1e-9)


def test_smoothing_keeps_noise_from_lowering_the_rate_of_a_run_that_improves():
    noise = np.random.default_rng(0).normal(size=300)
    metrics = [math.exp(-k / 100) * (1 + 0.1 * noise[k]) for k in range(300)]
    arguments = {"patience": 8, "raise_after": None}
    assert factors(plateau(smoothing=0.0, **arguments), metrics)[-1] < 0.1
    assert factors(plateau(smoothing=0.9, **arguments), metrics)[-1] == 1


def test_history_in_the_state_is_bounded():
    control = plateau(patience=1000)
    state = control.start()
    for _ in range(990):
        state, _ = control.update(state, {"metric": 1.0})
    assert len(state["recent"]) == 100


def test_it_says_what_it_does():
    words = plateau(patience=4, factor=0.1).describe()
    assert "(less is better) has not improved by 0.1 % in 4 observations" in words
    assert "when 2 in a row brought no improvement, raise it once" in words
    words = plateau(mode="max", threshold=2, relative=False, raise_after=None).describe()
    assert "(more is better) has not improved by 2 in" in words
    assert "raise" not in words


# Recovery


@pytest.mark.parametrize("count", range(3, 30))
def test_a_single_spike_is_not_taken_for_a_recovery(count):
    """The line through a spike and what follows has t = −√3, whatever the spike and the count."""
    control = plateau(patience=count)
    still = 0.3
    assert factors(control, [still, 1e6, *[still] * (count - 1)])[-1] == 0.5


@given(st.integers(3, 12), st.integers(0, 10), st.floats(1.5, 1e6))
def test_a_steady_return_from_a_spike_never_lowers_the_rate(patience, before, height):
    """From the spike on, the metric falls all the time, by 1 % of the way to the old best."""
    returning = [1 + (height - 1) * 0.99**k for k in range(60)]
    metrics = [1.0] + [1.0] * min(before, patience - 1) + returning
    lowered = factors(plateau(patience=patience), metrics)[-1]
    assert lowered >= (0.5 if before else 1.0)


def test_small_patience_lowers_twice_at_most_in_a_return_from_a_spike():
    metrics = [0.5, *[100.0 - k for k in range(60)]]
    assert factors(plateau(patience=1), metrics)[-1] == 0.25
    assert factors(plateau(patience=2), metrics)[-1] == 0.5
    assert factors(plateau(patience=3), metrics)[-1] == 1


def test_a_fall_too_small_to_count_is_no_recovery():
    """A smooth loss falls for ever, with t = −∞; the threshold says when that no longer matters."""
    metrics = [0.5, *[1.0 - 1e-6 * k for k in range(20)]]
    assert factors(plateau(patience=5), metrics)[-1] < 1


# Decisions under scale, shift and sign


@given(whole, arguments, st.integers(-40, 40), st.sampled_from([0.0, 0.5]))
def test_a_relative_threshold_does_not_see_the_scale(metrics, chosen, power, smoothing):
    control = plateau(smoothing=smoothing, **chosen)
    assert factors(control, [2.0**power * m for m in metrics]) == factors(control, metrics)


@given(whole, arguments, st.integers(-1000, 1000))
def test_an_absolute_threshold_does_not_see_a_shift(metrics, chosen, shift):
    control = plateau(relative=False, **chosen)
    assert factors(control, [m + shift for m in metrics]) == factors(control, metrics)


@given(whole, arguments, st.booleans(), st.sampled_from([0.0, 0.5]))
def test_max_is_min_of_the_negative(metrics, chosen, relative, smoothing):
    chosen = {"relative": relative, "smoothing": smoothing, **chosen}
    negative = [-m for m in metrics]
    assert factors(plateau(mode="max", **chosen), negative) == factors(plateau(**chosen), metrics)


# NaN


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_each_policy_for_a_metric_that_is_not_finite(bad):
    metrics = [1.0, 0.9, bad, bad, bad, bad, 0.8]

    def ends(on_nan, **arguments):
        return factors(plateau(patience=2, on_nan=on_nan, **arguments), metrics)

    with pytest.raises(InputError, match="metric must be finite"):
        ends("error")
    assert ends("ignore") == [1.0] * 7
    assert ends("bad") == [1.0] * 3 + [0.5] * 2 + [0.25] * 2
    assert ends("lower") == [1.0] * 2 + [0.5, 0.25, 0.125, 0.0625, 0.0625]
    assert ends("lower", cooldown=2) == [1.0] * 2 + [0.5] * 3 + [0.25] * 2
    assert ends("bad", cooldown=2) == [1.0] * 3 + [0.5] * 4


def test_a_raise_that_ends_in_nan_goes_on_below_the_least_level():
    control = plateau(patience=1, raise_after=1, on_nan="lower")
    assert factors(control, [1.0, 1.0, 1.0, math.nan]) == [1.0, 0.5, 1.0, 0.25]


# Complaints about torch's ReduceLROnPlateau that still hold in 2.13


def test_row_11_plateau_control_after_a_warm_up():
    """Pytorch #68978: torch's cannot follow a warm-up in a sequence; ours is a factor beside it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        SequentialLR(optimizer, [LinearLR(optimizer), ReduceLROnPlateau(optimizer)], [5])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    control = plateau(patience=3, raise_after=None)
    scheduler = surefoot.Scheduler(optimizer, warmup(4) >> hold(), total=8, control=control)
    rates = []
    for _ in range(8):
        optimizer.step()
        scheduler.step(metric=1.0)
        rates += scheduler.last_lr
    assert rates == [0.25, 0.5, 0.75, 1.0, 0.5, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("step", [0, 5e-5])
def test_row_12_a_negative_metric_that_stands_still_or_gets_worse(step):
    """Pytorch #47513: torch takes −1 + t for better than −1."""
    metrics = [-1 + step * k for k in range(100)]
    assert torchs(metrics, patience=3, factor=0.5)[-1] == 1
    assert factors(plateau(patience=3, raise_after=None, threshold=1e-4), metrics)[-1] == 1e-4


def test_row_13_a_run_that_comes_back_from_a_spike():
    """Pytorch #30873: torch lowers all the way while the metric falls 60 times in a row."""
    metrics = [0.5] * 3 + [100.0 - k for k in range(60)]
    assert torchs(metrics, patience=4)[-1] < 1e-7
    assert factors(plateau(factor=0.1, patience=5), metrics)[-1] == pytest.approx(0.1)
    assert set(factors(plateau(factor=0.1, patience=5), metrics[2:])) == {1.0}


def test_row_14_nan_is_not_silently_bad():
    metrics = [1.0] + [math.nan] * 5
    assert torchs(metrics, patience=3)[-1] == pytest.approx(0.1)
    with pytest.raises(InputError, match=r"metric must be finite, not nan: .* on_nan="):
        factors(plateau(), metrics)
