"""What holds for every schedule, however it is put together."""

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.errors import InputError, StateError
from surefoot.schedules import (
    Schedule,
    cosine,
    from_json,
    hold,
    linear,
    polynomial,
    schedule,
    step,
    warmup,
)

from .strategies import CLOCK, closed, phases, updates, written


@given(closed, st.integers(0, 2000))
def test_one_number_and_an_array_agree(plan, update):
    assert plan(update) == pytest.approx(plan(np.array([update]))[0], abs=1e-12, rel=1e-12)


@given(closed)
def test_values_are_the_factors_of_all_updates(plan):
    values = plan.values()
    assert len(values) == plan.total
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert values[-1] == pytest.approx(plan(plan.total - 1), abs=1e-12)


@given(closed)
def test_past_the_end_nothing_changes(plan):
    after = plan(np.array([plan.total, plan.total + 1, 10 * plan.total, 10**9]))
    assert after == pytest.approx(np.full(4, after[0]), abs=1e-12)


@given(written)
def test_text_reads_back_equal(plan):
    again = schedule(str(plan))
    assert again == plan
    assert hash(again) == hash(plan)
    assert str(again) == str(plan)


@given(written)
def test_json_reads_back_equal_and_keeps_what_was_written(plan):
    assert from_json(plan.to_json()) == plan
    assert str(from_json(plan.to_json())) == str(plan)


@given(written)
def test_pickles(plan):
    assert pickle.loads(pickle.dumps(plan)) == plan


@given(written)
def test_describes_itself_in_one_sentence(plan):
    words = plan.describe()
    assert words.endswith(".")
    assert words.lstrip("(")[0].isupper()
    assert "\n" not in words


@given(closed, closed, closed)
def test_a_sequence_is_associative(a, b, c):
    assert (a >> b) >> c == a >> (b >> c)


@given(closed, closed, st.integers(0, 400))
def test_a_sequence_is_its_parts_one_after_another(a, b, update):
    expected = a(update) if update < a.total else b(update - a.total)
    assert (a >> b)(update) == pytest.approx(expected, abs=1e-12)


@given(closed, closed, st.integers(0, 400))
def test_a_product_is_the_product_of_its_parts(a, b, update):
    assert (a * b)(update) == pytest.approx(a(update) * b(update), abs=1e-12)


@given(closed, st.floats(0, 3), st.integers(0, 100))
def test_a_number_scales(plan, factor, update):
    assert (factor * plan)(update) == pytest.approx(factor * plan(update), abs=1e-12)
    assert factor * plan == plan * factor


def test_a_product_binds_tighter_than_a_sequence():
    a, b, c = warmup(3), linear(4), cosine(5)
    assert a >> b * c == a >> (b * c)


@given(closed, st.integers(1, 2000))
def test_resolve_fills_exactly_the_run_or_says_that_it_cannot(plan, total):
    if plan.total < total and plan(plan.total) == 0:
        with pytest.raises(InputError, match="rate 0"):
            plan.resolve(total)
    elif plan.total <= total:
        resolved = plan.resolve(total)
        assert resolved.total == total
        assert resolved.is_resolved
        assert len(resolved.values()) == total
        both = np.arange(min(plan.total, total))
        assert resolved(both) == pytest.approx(plan(both), abs=1e-12)
    else:
        with pytest.raises(InputError, match="shorten"):
            plan.resolve(total)


@given(written, st.integers(400, 3000))
def test_units_become_updates_that_add_up(plan, total):
    try:
        resolved = plan.resolve(total, **CLOCK)
    except InputError:
        return  # its parts are longer than the run
    assert resolved.total == total
    assert resolved.resolve(total) == resolved


@given(phases(st.none(), openable=True), updates, st.integers(100, 500))
def test_an_open_phase_fills_what_remains(plan, length, total):
    resolved = (warmup(length) >> plan).resolve(total)
    assert resolved.total == total
    assert resolved.parts[1].total == total - length


@given(closed, st.integers(2, 5))
def test_stretch_keeps_the_shape(plan, k):
    stretched = plan.stretch(k)
    kinds = set(kinds_in(plan))
    if "repeat" in kinds:  # cycles that grow by a real number end between two updates
        assert abs(stretched.total - k * plan.total) <= k * len(list(kinds_in(plan)))
        return
    assert stretched.total == k * plan.total
    # a warm-up is counted from its first update, so its shape moves by a part of an update
    if not kinds & {"warmup", "exponential_warmup", "radam_warmup", "branch"}:
        times = np.arange(plan.total + 1)
        assert stretched(k * times) == pytest.approx(plan(times), abs=1e-9)


@given(closed, st.floats(0.3, 3))
def test_stretch_by_a_real_number_gives_a_schedule_that_can_be_called(plan, k):
    total = math.floor(plan.total * k + 0.5)
    if total and "branch" not in kinds_in(plan):  # a tail may have no update left
        stretched = plan.stretch(k)
        assert abs(stretched.total - total) <= 1
        assert np.isfinite(stretched.values()).all()


def kinds_in(plan):
    """Yield the name of every schedule in a schedule."""
    yield plan.name
    for part in plan.parts:
        yield from kinds_in(part)


@given(closed)
def test_stretch_by_one_changes_nothing(plan):
    assert plan.stretch(1) == plan


def on_jax(plan, times):
    """Return the factors as jax computes them, compiled and one by one."""
    jax = pytest.importorskip("jax")

    def factor(t):
        return plan.evaluate(t, jax.numpy)

    return np.asarray(jax.jit(factor)(times)), np.asarray(jax.vmap(factor)(times))


@given(closed)
@settings(deadline=None, max_examples=30)
def test_jax_agrees_under_jit_and_vmap(plan):
    times = np.arange(plan.total + 5)
    for factors in on_jax(plan, times):
        assert factors.dtype == np.float32
        assert factors == pytest.approx(plan(times), abs=1e-5, rel=1e-4)


@given(closed)
@settings(deadline=None, max_examples=15)
def test_jax_agrees_to_the_last_digits_in_double_precision(plan):
    times = np.arange(plan.total + 5)
    with pytest.importorskip("jax").enable_x64(True):
        for factors in on_jax(plan, times):
            assert factors.dtype == np.float64
            assert factors == pytest.approx(plan(times), abs=1e-12, rel=1e-12)


def test_a_resolved_schedule_can_be_traced_as_it_is():
    jax = pytest.importorskip("jax")
    plan = warmup(3) >> (0.5 * cosine(5).repeat(2)).clip(0.1) >> step(2, duration=7)
    times = jax.numpy.arange(30)
    for factors in (plan(times), jax.jit(plan)(times), jax.vmap(plan)(times)):
        assert isinstance(factors, jax.Array)
        assert np.asarray(factors) == pytest.approx(plan(np.arange(30)), abs=1e-6)


LONG = [
    "exponential(gamma=0.99999)", "cyclic(4000, low=0, gamma=0.99994)", "radam_warmup()",
    "radam_warmup(0.9999)", "radam_warmup(0.999999)", "noam(4000)", "sgdr(1000, growth=2)",
    "cosine().repeat(7)", "wsd()", "one_cycle()", "step(1000, drop=0.99)", "inverse_sqrt(100)",
    "cosine('3 epochs').repeat()", "tanh()", "polynomial(k=0.5)", "exponential_warmup(100)",
]  # fmt: skip


@pytest.mark.parametrize("text", LONG)
def test_single_precision_is_enough_for_long_runs(text):
    jax = pytest.importorskip("jax")
    plan = schedule(text).resolve(1_000_000, updates_per_epoch=50_000 / 48)
    times = np.unique(np.geomspace(1, 1_000_000, 2000).round()).astype(int) - 1
    assert np.asarray(plan(jax.numpy.asarray(times))) == pytest.approx(plan(times), abs=2e-5)


@pytest.mark.parametrize("rate", [50_000 / 48, 390.6, 390.625, 1.4, 1 / 3, 0.1])
def test_epochs_need_not_be_whole_updates(rate):
    """Every update that is the start of an epoch is one, to one number and in an array."""
    total, epochs = 20_000, 3 if rate > 1 else 30
    plans = [
        schedule(text).resolve(total, updates_per_epoch=rate)
        for text in (f"linear('{epochs} epochs').repeat()", f"step('{epochs} epochs', drop=0.999)")
    ]
    exact = Fraction(rate).limit_denominator(1000) * epochs
    times = np.arange(total)
    passed = np.asarray([math.floor(t / exact) for t in times.tolist()])
    expected = [1 - (times - passed * float(exact)) / float(exact), 0.999**passed]
    for plan, factors in zip(plans, expected, strict=True):
        assert plan(times) == pytest.approx(factors, abs=1e-9)
        assert [plan(t) for t in range(0, total, 7)] == pytest.approx(factors[::7], abs=1e-9)


def test_jax_reaches_the_floor_exactly_in_single_precision():
    # 41 · (1 / 41) is not 1 in float32; a small power would make the difference visible
    for plan in (polynomial(41, power=0.1), linear(41)):
        assert on_jax(plan, np.arange(41, 45))[0].tolist() == [0.0] * 4


@pytest.mark.parametrize("plan", [warmup("10%"), hold(), warmup(3) >> hold(), 0.5 * linear(0.5)])
def test_an_unresolved_schedule_says_what_to_call(plan):
    assert not plan.is_resolved
    with pytest.raises(StateError, match=r"resolve\(total\)"):
        plan(0)
    with pytest.raises(StateError, match=r"resolve\(total\)"):
        plan.values()


def test_phases_of_length_zero_vanish():
    assert (warmup(0) >> cosine()).resolve(10) == cosine(10)
    assert (warmup(0) >> cosine(5))(0) == 1.0
    assert (warmup(0) * cosine()).resolve(10) == 1.0 * cosine(10)
    assert (warmup(0) * cosine(5))(0) == 1.0
    with pytest.raises(InputError, match="no updates"):
        warmup(0).resolve(10)
    for plan in (warmup(0), warmup(0) >> cosine(0), warmup(0) * cosine(0)):
        assert plan.total == 0
        with pytest.raises(StateError, match="no updates"):
            plan(0)


def test_a_number_of_numpy_times_a_schedule_is_a_schedule():
    assert np.float64(0.5) * cosine() == 0.5 * cosine() == cosine() * np.float32(0.5)


def test_a_call_leaves_no_trace_in_the_pickle():
    plan = warmup(3) >> step(2, duration=5) * cosine(5)
    fresh = pickle.dumps(plan)
    plan(4)
    assert pickle.dumps(plan) == fresh


def test_fractions_that_make_up_the_run_always_fit():
    for total in range(1, 200):
        plan = warmup("5%") >> hold(0.45) >> linear("50%")
        assert plan.resolve(total).total == total


@pytest.mark.parametrize(
    ("written", "updates", "words"),
    [
        (1, 1, "1 update"),
        (25, 25, "25 updates"),
        (0.25, 25, "25% of the run"),
        ("2.5 %", 3, "2.5 % of the run"),
        ("25 updates", 25, "25 updates"),
        ("1.5 epochs", 15, "1.5 epochs"),
        ("64 samples", 8, "64 samples"),
        (" 1e3 tokens ", 10, "1e3 tokens"),
    ],
)
def test_a_duration_in_updates_and_in_words(written, updates, words):
    plan = warmup(written) >> hold()
    assert plan.resolve(100, **CLOCK) == warmup(updates) >> hold(100 - updates)
    then = "then hold the peak for the rest of the run."
    assert plan.describe() == f"Warm up from 0 to the peak over {words}, {then}"


def test_stretching_a_share_of_the_run_is_left_to_the_run():
    plan = warmup("10%") >> hold("1.5 epochs") >> cosine()
    assert str(plan.stretch(3)) == 'warmup("10%") >> hold("4.5 epochs") >> cosine()'
    longer = plan.stretch(3).resolve(300, updates_per_epoch=10)
    assert longer == plan.resolve(100, updates_per_epoch=10).stretch(3)


def test_a_schedule_is_frozen():
    with pytest.raises(AttributeError):
        cosine(10).floor = 0.5
    assert isinstance(cosine(10), Schedule)


@pytest.mark.parametrize("t", [-1, float("nan"), np.array([0, -1]), [float("nan")]])
def test_an_update_number_must_be_one(t):
    with pytest.raises(InputError, match="update number"):
        cosine(10)(t)


def test_values_at_n_times():
    assert linear(5).values(3).tolist() == pytest.approx([1.0, 0.6, 0.2])
    with pytest.raises(InputError, match="n must be at least 1"):
        linear(5).values(0)


def test_three_epochs_of_a_third_of_an_update_too_many_are_whole():
    plan = linear("3 epochs").repeat().resolve(20_000, updates_per_epoch=50_000 / 48)
    assert str(plan) == "linear(3125).repeat(duration=20000)"
