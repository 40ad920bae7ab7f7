import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import Curve, RunLog, diagnose
from surefoot.rules import ALL, Diverged, NotFinite, Signs, TooHigh, TooLow

LENGTHS = [100, 400, 20_000]
SHORT = [20, 30, 50]


def time(n):
    return np.arange(n) / n


def healthy(n, rng):
    return 0.2 + 2.1 * np.exp(-12 * time(n)) + 0.03 * rng.standard_normal(n)


def power_law(n, rng):
    return 0.2 + 2.1 / (1 + 60 * time(n)) + 0.03 * rng.standard_normal(n)


def noise_that_shrinks(n, rng):
    return (0.2 + 2.1 * np.exp(-12 * time(n))) * (1 + 0.1 * rng.standard_normal(n))


def without_noise(n, rng):
    return 0.2 + 2.1 * np.exp(-12 * time(n))


def one_bad_batch(n, rng):
    losses = healthy(n, rng)
    losses[int(0.6 * n)] += 20
    return losses


def a_bump_that_recovers(n, rng):
    losses, at = healthy(n, rng), int(0.6 * n)
    losses[at:] += 5 * np.exp(-np.arange(n - at) / 1.5)
    return losses


def nan_in_between(n, rng):
    losses = healthy(n, rng)
    losses[[n // 3, n // 2]] = math.nan
    return losses


def creeping(n, rng):
    return 2.3 - 0.8 * time(n) + 0.03 * rng.standard_normal(n)


def creeping_without_noise(n, rng):
    return 2.3 - 0.8 * time(n)


def flat(n, rng):
    return 2.3 + 0.03 * rng.standard_normal(n)


def constant(n, rng):
    return np.full(n, 0.1)


def becomes_nan(n, rng):
    losses = healthy(n, rng)
    losses[n // 2 :] = math.nan
    return losses


def ends_infinite(n, rng):
    losses = healthy(n, rng)
    losses[-1] = math.inf
    return losses


def blows_up(n, rng):
    return healthy(n, rng) + np.where(time(n) > 0.5, np.expm1((time(n) - 0.5) * 20), 0.0)


def rises_from_the_start(n, rng):
    return 2.3 + 40 * time(n) + 0.03 * rng.standard_normal(n)


def oscillating(n, rng):
    wave = 0.6 * np.sin(8 * np.pi * time(n))
    return 1.2 + wave + 1.1 * np.exp(-12 * time(n)) + 0.03 * rng.standard_normal(n)


def sawtooth(n, rng):
    return (
        0.5 + 1.8 * np.exp(-12 * time(n)) + 0.8 * (5 * time(n) % 1) + 0.02 * rng.standard_normal(n)
    )


KINDS = {
    healthy: None,
    power_law: None,
    noise_that_shrinks: None,
    without_noise: None,
    one_bad_batch: None,
    a_bump_that_recovers: None,
    nan_in_between: None,
    creeping: "LR203",
    creeping_without_noise: "LR203",
    flat: "LR203",
    constant: "LR203",
    becomes_nan: "LR201",
    ends_infinite: "LR201",
    blows_up: "LR201",
    rises_from_the_start: "LR201",
    oscillating: "LR202",
    sawtooth: "LR202",
}
SHORT_ENOUGH = [kind for kind in KINDS if kind not in (a_bump_that_recovers, oscillating, sawtooth)]


def run(losses, **curves):
    return RunLog("run", {"loss": Curve(range(len(losses)), losses), **curves})


def code(losses, **curves):
    diagnosis = diagnose(run(losses, **curves))
    return diagnosis.verdicts[0].code if diagnosis.verdicts else None


def ratios(value):
    return Curve([0, 10, 20, 30], [value, value / 2, value / 3, value / 100])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_curve_of_known_kind_gets_its_verdict_at_any_length_and_scale(kind, n, scale):
    for seed in range(3):
        losses = kind(n, np.random.default_rng(seed))
        assert code(scale * losses) == KINDS[kind], seed


@pytest.mark.parametrize("n", SHORT)
@pytest.mark.parametrize("kind", SHORT_ENOUGH, ids=lambda kind: kind.__name__)
def test_so_does_a_short_one(kind, n):
    assert code(kind(n, np.random.default_rng(0))) == KINDS[kind]


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(list(KINDS)),
    n=st.sampled_from([100, 237, 1000]),
    seed=st.integers(0, 3),
    a=st.floats(1e-6, 1e6),
    b=st.floats(-20.0, 20.0),
)
def test_the_verdict_does_not_depend_on_scale_and_shift(kind, n, seed, a, b):
    losses = kind(n, np.random.default_rng(seed))
    assert code(a * (losses + b)) == code(losses) == KINDS[kind]


@pytest.mark.parametrize("n", [0, 1, 5, 19])
def test_too_few_losses_say_nothing_and_the_reason_says_how_many_are_needed(n):
    diagnosis = diagnose(run(flat(n, np.random.default_rng(0))))
    assert (diagnosis.healthy, diagnosis.judged, diagnosis.label) == (False, False, "not judged")
    assert f"only {n} finite losses were recorded" in diagnosis.reason
    assert "at least 20" in diagnosis.reason


def test_a_short_run_that_ends_in_nan_diverged_all_the_same():
    diagnosis = diagnose(run([2.0, 1.5, 8.0, math.nan]))
    assert [verdict.code for verdict in diagnosis] == ["LR201"]
    assert diagnosis.verdicts[0].since == 3
    assert diagnosis.verdicts[0].evidence == {"finite_losses": 3.0}


def test_a_loss_that_never_was_finite_is_not_blamed_on_the_rate():
    diagnosis = diagnose(run([math.nan] * 50))
    (verdict,) = diagnosis
    assert (verdict.code, verdict.is_lr_fault, verdict.direction) == ("LR101", False, "none")
    assert (verdict.factor, verdict.remedy.action) == (1.0, "none")


def test_divergence_is_dated_from_where_the_curve_left_for_good():
    losses = becomes_nan(400, np.random.default_rng(0))
    assert diagnose(run(losses)).verdicts[0].since == 200
    since = diagnose(run(blows_up(400, np.random.default_rng(0)))).verdicts[0].since
    assert 200 <= since <= 300
    assert diagnose(run(rises_from_the_start(400, np.random.default_rng(0)))).verdicts[0].since == 0


def test_steps_need_not_start_at_zero_nor_be_even():
    losses = becomes_nan(400, np.random.default_rng(0))
    log = RunLog("late", {"loss": Curve(range(5000, 9000, 10), losses)})
    assert diagnose(log).verdicts[0].since == 7000


@pytest.mark.parametrize("kind", [k for k in KINDS if KINDS[k]], ids=lambda kind: kind.__name__)
def test_a_verdict_says_which_way_how_far_and_how_sure(kind):
    diagnosis = diagnose(run(kind(400, np.random.default_rng(0))))
    (verdict,) = diagnosis
    up = verdict.code == "LR203"
    assert verdict.direction == ("raise" if up else "lower")
    assert (verdict.factor > 1) is up
    assert verdict.factor_low < verdict.factor < verdict.factor_high
    assert 0 < verdict.confidence <= 1
    assert verdict.is_lr_fault
    assert verdict.remedy.action == ("raise_lr" if up else "lower_lr")
    assert verdict.remedy.factor == verdict.factor
    assert 0 <= verdict.since < 400
    assert verdict.evidence["first_loss"] == diagnosis.loss.values[0]
    assert str(verdict) == diagnosis.reason


@pytest.mark.parametrize(
    ("kind", "ratio", "expected"),
    [
        (healthy, 0.2, None),
        (healthy, 3.0, "LR202"),  # a step of three times the weights
        (healthy, 0.001, None),  # tiny steps that suffice, as in fine-tuning
        (flat, 0.2, "LR202"),  # flat with long steps: stuck
        (flat, 0.01, "LR203"),  # flat with short steps: creeping
        (creeping, 0.2, None),  # slow, though the steps were long: the budget, not the rate
        (creeping, 0.02, "LR203"),
        (creeping, math.nan, "LR203"),
        (oscillating, 0.3, "LR202"),
        (becomes_nan, 0.001, "LR201"),
    ],
)
def test_the_first_steps_decide_where_the_loss_alone_cannot(kind, ratio, expected):
    losses = kind(400, np.random.default_rng(0))
    assert code(losses, update_ratio=ratios(ratio)) == expected


@pytest.mark.parametrize("ratio", [0.002, 0.2, 20.0])
def test_the_estimate_is_the_early_ratio_over_the_good_one(ratio):
    log = run(healthy(100, np.random.default_rng(0)), update_ratio=ratios(ratio))
    diagnosis = diagnose(log)
    assert diagnosis.lr_over_best == pytest.approx(ratio / 0.2)
    middle = diagnosis.lr_over_best_log10
    assert diagnosis.lr_over_best_log10_low < middle < diagnosis.lr_over_best_log10_high
    for verdict in diagnosis:  # the advice undoes the estimate
        assert math.log10(verdict.factor) == pytest.approx(-middle, abs=0.51)


@pytest.mark.parametrize("ratio", [math.nan, 0.0, math.inf])
def test_without_a_usable_ratio_there_is_no_estimate(ratio):
    curve = Curve([0, 10], [ratio, ratio])
    log = run(healthy(100, np.random.default_rng(0)), update_ratio=curve)
    assert math.isnan(diagnose(log).lr_over_best_log10)
    assert math.isnan(diagnose(run(healthy(100, np.random.default_rng(0)))).lr_over_best_log10)


def test_the_largest_advice_is_a_thousandfold_down_and_a_millionfold_up():
    losses = healthy(100, np.random.default_rng(0))
    high = diagnose(run(losses, update_ratio=ratios(1e9))).verdicts[0]
    slow = creeping(100, np.random.default_rng(0))
    low = diagnose(run(slow, update_ratio=ratios(1e-12))).verdicts[0]
    assert high.factor == pytest.approx(1e-3)
    assert low.factor == pytest.approx(1e6)


def test_a_warm_up_is_no_low_rate():
    losses = healthy(400, np.random.default_rng(0))
    ratio = Curve([0, 10, 20], [0.2 * share for share in (0.01, 0.11, 0.21)])
    lr = Curve(range(400), [0.1 * min(1.0, (t + 1) / 100) for t in range(400)])
    with_lr = Signs(RunLog("run", {"loss": run(losses)["loss"], "update_ratio": ratio, "lr": lr}))
    assert with_lr.estimate == pytest.approx(0, abs=1e-6)
    odd = lr.values.copy()
    odd[5] = 100.0  # one odd value changes nothing
    spiked = {"loss": run(losses)["loss"], "update_ratio": ratio, "lr": Curve(range(400), odd)}
    assert Signs(RunLog("run", spiked)).estimate == pytest.approx(0, abs=1e-6)
    without = Signs(RunLog("run", {"loss": run(losses)["loss"], "update_ratio": ratio}))
    assert without.estimate == pytest.approx(math.log10(0.21))


def test_a_verdict_on_one_sign_is_less_sure_than_one_on_two():
    rng = np.random.default_rng(0)
    plateau = np.concatenate([np.linspace(2.3, 1.0, 20), 1.0 + 0.25 * rng.standard_normal(380)])
    signs = Signs(run(plateau, update_ratio=ratios(0.2)))
    assert (signs.climbed, signs.relapsed) == (0, 0)
    assert signs.unsettled > 0.1
    (verdict,) = diagnose(signs.log)
    assert (verdict.code, verdict.confidence) == ("LR202", 0.75)
    assert verdict.evidence["unsettled_share"] == signs.unsettled


def test_signs_of_a_linear_descent_are_those_of_the_formulas():
    signs = Signs(run(creeping_without_noise(400, None)))
    assert signs.start == pytest.approx(2.3)
    assert signs.final == pytest.approx(np.mean(2.3 - 0.8 * np.arange(380, 400) / 400))
    assert signs.climbed == 0.0
    assert signs.late_share == pytest.approx(1.0, abs=0.1)
    assert signs.learned == pytest.approx(2.3 - signs.final)
    assert signs.first_rise == 0


def test_a_run_whose_second_half_alone_made_progress_creeps():
    losses = np.concatenate([np.full(240, 2.0), np.linspace(2.0, 1.0, 160)])
    assert Signs(run(losses)).late_share == math.inf
    assert code(losses) == "LR203"


def test_a_run_that_only_rose_learned_nothing():
    signs = Signs(run(rises_from_the_start(400, np.random.default_rng(0))))
    assert signs.learned == 0.0
    assert signs.climbed == math.inf
    assert signs.relapsed == 0.0


def test_the_rules_are_ordered_from_grave_to_mild_with_stable_codes():
    assert [type(rule) for rule in ALL] == [NotFinite, Diverged, TooHigh, TooLow]
    assert [rule.code for rule in ALL] == ["LR101", "LR201", "LR202", "LR203"]
    assert all(rule.check(Signs(run([1.0] * 5))) is None for rule in ALL)
