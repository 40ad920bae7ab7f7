"""Plateau control: its law, its decisions under scale, sign and shift, and torch beside it."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau, SequentialLR

import surefoot
from surefoot.errors import InputError
from surefoot.schedules import hold, plateau, warmup

whole = st.lists(st.integers(-20, 20).map(float), max_size=60)
arguments = st.fixed_dictionaries(
    {
        "patience": st.integers(1, 5),
        "threshold": st.sampled_from([0.0, 0.25, 0.75]),
        "cooldown": st.integers(0, 2),
        "raise_after": st.none() | st.integers(0, 3),
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


def test_lowering_that_does_not_help_is_taken_back_by_one_notch_on_trial():
    control = plateau(factor=0.5, patience=1, raise_after=2, low=2.0**-6)
    lowered = [2.0**-k for k in range(3, 7)]
    seen = factors(control, [1.0] * 11)
    assert seen == [1.0, 0.5, 0.25, 0.5, 0.25, *lowered, 2.0**-6, 2.0**-6]


def test_the_row_of_lowerings_begins_again_with_each_improvement():
    control = plateau(factor=0.5, patience=1, raise_after=2)
    seen = factors(control, [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert seen == [1.0, 0.5, 0.5, 0.25, 0.125, 0.25, 0.125, 0.0625]


def test_by_default_the_fourth_stall_in_a_row_raises():
    seen = factors(plateau(patience=1), [1.0] * 7)
    assert seen == [1.0, 0.5, 0.25, 0.125, 0.25, 0.125, 0.0625]


def test_the_rate_goes_above_the_schedule_only_if_allowed():
    still = [1.0] * 5
    assert factors(plateau(patience=1, raise_after=0), still) == [1.0, 0.5, 0.25, 0.125, 0.0625]
    assert factors(plateau(patience=1, raise_after=0, high=1.5), still)[1:3] == [1.5, 1]
    up = plateau(patience=1, raise_after=0, high=10)
    assert factors(up, still) == [1.0, 2.0, 1.0, 0.5, 0.25]
    assert factors(up, [1.0, 1.0, 0.9, 0.9, 0.8, 0.8, 0.7]) == [1.0, 2.0, 2.0, 4.0, 4.0, 8.0, 8.0]


def test_a_raise_stays_after_as_many_improvements_as_patience():
    control = plateau(patience=2, raise_after=1)
    start = [1.0] * 5
    assert factors(control, start) == [1.0, 1.0, 0.5, 0.5, 1.0]
    assert factors(control, [*start, 0.9, 9.0])[-1] == 0.5
    assert factors(control, [*start, 0.9, 0.9, 0.9])[-2:] == [1.0, 0.5]
    assert factors(control, [*start, 0.9, 0.8, 9.0])[-1] == 1
    # passed: what follows are stalls 1 and 2 of a new row
    assert factors(control, [*start, 0.9, 0.8, *[0.8] * 4])[-4:] == [1.0, 0.5, 0.5, 1.0]


def test_improvements_before_the_raise_do_not_count_for_its_trial():
    control = plateau(patience=2, raise_after=1)
    assert factors(control, [3.0, 2.0, 1.5, *[1.0] * 5, 0.9, 9.0])[-3:] == [1.0, 1.0, 0.5]


def test_a_raise_that_makes_it_worse_than_all_before_is_taken_back_at_once():
    control = plateau(patience=3, raise_after=1)
    still = [1.0, 1.1, 1.0, 1.2, 1.0, 1.1, 1.0]
    assert factors(control, still) == [1.0] * 3 + [0.5] * 3 + [1.0]
    assert factors(control, [*still, 1.1, 1.2])[-2:] == [1.0, 0.5]
    assert factors(control, [*still, 1.1, 1.1, 1.1])[-3:] == [1.0, 1.0, 0.5]
    # and then the row goes on, from a count of zero
    assert factors(control, [*still, 1.2, 1.1, 1.1, 1.1])[-4:] == [0.5, 0.5, 0.5, 0.25]
    cool = plateau(patience=3, raise_after=1, cooldown=1)
    seen = [1.0, 1.1, 1.0, 1.2, 9.9, 1.0, 1.1, 1.0, 9.9, 9.9]
    assert factors(cool, seen) == [1.0] * 3 + [0.5] * 4 + [1.0] * 2 + [0.5]


@given(whole, arguments)
def test_a_raise_is_one_notch_and_what_takes_it_back_restores_the_rate(metrics, chosen):
    control = plateau(relative=False, **chosen)
    state, before = control.start(), None
    for metric in metrics:
        old = state["factor"]
        state, factor = control.update(state, {"metric": metric})
        if factor > old:
            assert factor == min(control.high, old / control.factor)
            before = old
        elif factor < old:
            lowered = max(control.low, old * control.factor)
            assert factor in (lowered, before)
            before = None


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
    assert "when 3 in a row brought no improvement, raise it by one notch, up to 1 of" in words
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


def line_of(values):
    """Return how far the line through the values goes, and its t, by least squares."""
    x = np.arange(len(values))
    (slope, _), rest, *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), values)
    variance = (rest[0] if len(rest) else 0) / (len(values) - 2)
    error = math.sqrt(variance / ((x - x.mean()) ** 2).sum())
    return slope * (len(values) - 1), slope / error if error > 1e-9 else math.copysign(1e9, slope)


@given(st.lists(st.integers(0, 30).map(float), min_size=3, max_size=12), st.integers(-300, 300))
def test_the_line_is_that_of_least_squares_with_its_standard_error(values, power):
    """Whatever the scale: squares of 1e±300 would not fit into a float."""
    way, t = line_of(np.array(values))
    assume(abs(t + 2) > 1e-6 and abs(way + 0.25) > 1e-6)
    scale = 2.0 ** (3 * power)
    control = plateau(
        patience=len(values), threshold=0.25 * scale, relative=False, raise_after=None
    )
    metrics = [-9 * scale, *(scale * value for value in values)]
    lowered = factors(control, metrics)[-1] == 0.5
    assert lowered == (not (way < -0.25 and t < -2))


def test_a_line_at_the_limit_is_no_recovery():
    limit = [9.0, 9.0, 8.0, 7.0, 8.0]
    assert line_of(np.array(limit))[1] == pytest.approx(-2, rel=1e-12)
    assert factors(plateau(patience=5), [1.0, *limit])[-1] == 0.5
    falls_by_two = [0.0, 9.0, 8.0, 7.0]
    for threshold, end in ((2.0, 0.5), (1.99, 1.0)):
        control = plateau(patience=3, threshold=threshold, relative=False)
        assert factors(control, falls_by_two)[-1] == end


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


@given(st.lists(st.sampled_from([1.7e308, -1.7e308, 1e-320, 0.0]), max_size=20))
def test_the_greatest_numbers_leave_a_state_that_json_can_hold(metrics):
    for smoothing in (0.0, 0.5, 0.99):
        control = plateau(smoothing=smoothing, patience=2)
        state = control.start()
        for metric in metrics:
            state, _ = control.update(state, {"metric": metric})
            json.dumps(state, allow_nan=False)
        assert abs(state["mean"]) <= 1.7e308


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


def test_a_raise_that_ends_in_nan_is_taken_back():
    metrics = [1.0, 1.0, 1.0, math.nan, math.nan]
    for on_nan, last in (("lower", [0.25, 0.125]), ("bad", [0.5, 0.25]), ("ignore", [1.0, 1.0])):
        control = plateau(patience=1, raise_after=1, on_nan=on_nan)
        assert factors(control, metrics) == [1.0, 0.5, 1.0, *last]


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
