"""What holds for every schedule, however it is put together."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.errors import InputError, StateError
from surefoot.schedules import Schedule, cosine, from_json, hold, linear, schedule, warmup

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
    if plan.total <= total:
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
def test_stretch_multiplies_durations(plan, k):
    stretched = plan.stretch(k)
    assert stretched.total == k * plan.total
    assert stretched(k * plan.total + 1) == pytest.approx(plan(plan.total + 1), abs=1e-9)


@given(closed)
def test_stretch_by_one_changes_nothing(plan):
    assert plan.stretch(1) == plan


@given(closed)
@settings(deadline=None, max_examples=30)
def test_jax_agrees_under_jit_and_vmap(plan):
    jax = pytest.importorskip("jax")
    times = np.arange(0, plan.total + 5)
    traced = jax.jit(lambda t: plan.evaluate(t, jax.numpy))(times)
    mapped = jax.vmap(lambda t: plan.evaluate(t, jax.numpy))(times)
    expected = plan(times)
    # jax counts in float32: where a stair or a phase begins, an update may fall on either side
    near = np.isclose(np.asarray(traced), expected, atol=2e-5, rtol=2e-4)
    assert near.mean() > 0.9
    assert np.asarray(mapped) == pytest.approx(np.asarray(traced), abs=1e-5, rel=1e-4)


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
    with pytest.raises(InputError, match="no updates"):
        warmup(0).resolve(10)


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
