"""Python functions as schedules: used as they are, read from text only where that is allowed."""

import json
import pickle

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InputError, ScheduleTextError
from surefoot.schedules import cosine, from_dict, from_json, function, schedule, warmup
from surefoot.schedules.function import Function


def halving(t):
    return 0.5 ** (t // 10)


class Ramp:
    def __call__(self, t):
        return t / 100


HERE = f"{__name__}:halving"


@pytest.mark.parametrize("target", [halving, HERE, Ramp(), lambda t: 1 / (1 + t)])
def test_one_number_an_array_and_jax_agree_with_the_function(target):
    jax = pytest.importorskip("jax")
    plan = function(target, 50)
    called = plan.target
    assert [plan(t) for t in range(50)] == [called(t) for t in range(50)]
    assert plan.values() == pytest.approx([called(t) for t in range(50)])
    assert plan(1000) == called(50)
    traced = jax.jit(lambda t: plan.evaluate(t, jax.numpy))(np.arange(50))
    assert np.asarray(traced) == pytest.approx(plan.values(), rel=1e-6)


def test_a_whole_update_is_an_int():
    seen = []
    plan = function(lambda t: seen.append(t) or 1.0, 5)
    plan(2)
    plan([3, 3.5])
    assert [type(t) for t in seen] == [int, int, float]


def test_it_is_put_together_like_any_other():
    plan = (warmup(10) >> 0.5 * function(halving)).resolve(40)
    assert plan([9, 10, 19, 20, 30]).tolist() == [1.0, 0.5, 0.5, 0.25, 0.125]
    assert plan.describe().endswith(f"function {HERE} for 30 updates, all times 0.5.")


def test_text_and_json_hold_where_it_is_and_are_read_only_where_allowed():
    plan = warmup(5) >> function(halving, 20)
    text = f'warmup(5) >> function("{HERE}", duration=20)'
    assert str(plan) == text
    assert json.loads(plan.to_json())["parts"][1]["target"] == HERE
    assert schedule(text, allow_functions=True) == plan
    assert from_json(plan.to_json(), allow_functions=True) == plan
    with pytest.raises(ScheduleTextError, match="allow_functions=True") as error:
        schedule(text)
    assert error.value.position == text.index("function")
    with pytest.raises(InputError, match=r"schedule.parts\[1\] is a Python function"):
        from_dict(plan.to_dict())
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_nothing_is_imported_by_reading(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    document = {"type": "function", "target": "trap:f"}
    with pytest.raises(InputError, match="allow_functions"):
        from_dict(document)
    with pytest.raises(ScheduleTextError, match="allow_functions"):
        sf.schedule('function("trap:f")')


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: function(3), "target must be a function or where it is"),
        (lambda: function("math"), "must be 'package.module:name'"),
        (lambda: function("no_such_module:f"), "cannot be imported"),
        (lambda: function("math:no_such_name"), "cannot be imported"),
        (lambda: function("math:pi"), "target must be a function"),
        (lambda: function(lambda t: -1.0, 5)(2), "returned for 2 must be at least 0"),
        (lambda: function(lambda t: "x", 5).values(), "returned for 0 must be a number"),
        (lambda: function(lambda t: float("nan"), 5)([1]), "returned for 1 must be finite"),
    ],
)
def test_what_is_no_function_or_returns_no_factor_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_a_lambda_works_but_cannot_be_read_back():
    plan = function(lambda t: 0.5, 5) * cosine(5)
    assert plan(0) == 0.5
    with pytest.raises(InputError, match="cannot be imported"):
        from_dict(plan.to_dict(), allow_functions=True)
    assert isinstance(plan.parts[0], Function)
