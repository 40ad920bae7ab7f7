"""Schedules of other libraries, against values that the libraries gave.

``tests/peers`` compares with the installed libraries; here is a choice of the same, pinned in
``golden_peers.json``, which ``tests/peers/make_golden.py`` makes.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from surefoot.errors import InputError
from surefoot.schedules import (
    Schedule,
    cosine,
    cyclic,
    exponential,
    from_json,
    from_keras,
    from_optax,
    from_timm,
    from_torch,
    from_transformers,
    hold,
    linear,
    multi_step,
    piecewise,
    polynomial,
    schedule,
    step,
    table,
    tanh,
)
from surefoot.schedules.conventions._fit import fitted

GOLDEN = json.loads((Path(__file__).parent / "golden_peers.json").read_text(encoding="utf-8"))


def cases(library):
    return [
        pytest.param(case, id=f"{case.get('name', case.get('kind'))}-{number}")
        for number, case in enumerate(GOLDEN[library])
    ]


def close(values, exact):
    np.testing.assert_allclose(values, exact, rtol=1e-12, atol=1e-12)


def check(plan, exact):
    """Check all factors, and that the schedule is one that can be written and read."""
    close(plan.values(), exact)
    assert from_json(plan.to_json()) == plan
    assert schedule(str(plan)) == plan
    assert plan.describe()


@pytest.mark.parametrize("case", cases("optax"))
def test_the_values_of_optax(case):
    arguments = dict(case["arguments"])
    if scales := arguments.get("boundaries_and_scales"):
        arguments["boundaries_and_scales"] = {int(when): scale for when, scale in scales.items()}
    total = len(case["values"])
    check(from_optax(case["name"], total=total, **arguments), case["values"])


@pytest.mark.parametrize("case", cases("transformers"))
def test_the_values_of_transformers(case):
    plan = from_transformers(
        case["name"], case["warmup"], case["total"], lr=GOLDEN["lr"], **case["arguments"]
    )
    check(plan, case["values"])


@pytest.mark.parametrize("case", cases("keras"))
def test_the_values_of_keras(case):
    kind = type(case["kind"], (), {"get_config": lambda self: case["config"]})
    check(from_keras(kind(), total=len(case["values"])), case["values"])


@pytest.mark.parametrize("case", cases("timm"))
def test_the_values_of_timm(case):
    groups = [{"lr": lr, "initial_lr": lr} for lr in GOLDEN["lrs"]]
    optimizer = type("Optimizer", (), {"param_groups": groups})
    kind = type(case["kind"], (), {**case["attributes"], "optimizer": optimizer})
    exact = np.asarray(case["values"])
    found = from_timm(kind(), total=exact.shape[1])
    schedules = found["lr"] if isinstance(found, dict) else [found] * len(exact)
    for plan, values in zip(schedules, exact, strict=True):
        check(plan, values)


PLANS: list[Schedule] = [
    cosine(20),
    cosine(20, floor=0.1, power=2),
    linear(20, floor=0.1),
    0.3 * linear(20),
    polynomial(20, power=2),
    tanh(20),
    exponential(20, floor=0.1),
    hold(),
    step(3),
    step(3) * cosine(20),
    multi_step([3, 9], 0.5),
    cyclic(7, decay=0.5),
    exponential(gamma=0.9),
    table([1, 0.5], every=4, duration=20),
    piecewise([(0, 0), (5, 1)], "linear", 5) >> cosine(10) >> linear(5),
    piecewise([(0, 0), (5, 1)], "linear", 5) >> step(2, 0.9),
    cosine(7).repeat(3, growth=1.5, duration=30),
    cosine(7).repeat(growth=2, decay=0.5),
    linear(20).clip(0.2).staircase(3),
]


@pytest.mark.parametrize("total", [1, 3, 5, 6, 12, 20, 50])
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_the_first_updates_of_a_schedule_are_a_schedule(plan, total):
    longest = plan.resolve(200) if plan.is_open else plan
    first = fitted(plan, total)
    assert first.total == total
    close(first.values(), longest(np.arange(total)))
    assert fitted(plan, None) is plan


def test_arguments_that_are_not_the_libraries():
    with pytest.raises(InputError, match="name must be a schedule function of optax, one of const"):
        from_optax("cosine")
    with pytest.raises(InputError, match="unexpected keyword argument 'steps'"):
        from_optax("cosine_decay_schedule", init_value=0.1, steps=3)
    with pytest.raises(InputError, match="boundaries must be rising updates, one less than sched"):
        from_optax("join_schedules", schedules=[hold(), hold()], boundaries=[])
    with pytest.raises(InputError, match="boundaries_and_scales must have boundaries and scales"):
        from_optax("piecewise_constant_schedule", init_value=1.0, boundaries_and_scales={-1: 0.5})
    with pytest.raises(InputError, match="interpolate_type must be 'linear' or 'cosine'"):
        from_optax("piecewise_interpolate_schedule", interpolate_type="cubic", init_value=1.0)
    with pytest.raises(InputError, match="total is needed for optax's exponential_decay"):
        from_optax("exponential_decay", init_value=0.1, transition_steps=3, decay_rate=2.0)
    with pytest.raises(InputError, match="name must be one of linear, cosine"):
        from_transformers("cosin", 5, 50)
    with pytest.raises(InputError, match="lr is needed, the optimizer's, for lr_end"):
        from_transformers("polynomial", 5, 50)
    with pytest.raises(InputError, match="min_lr or min_lr_rate is needed"):
        from_transformers("cosine_with_min_lr", 5, 50)
    with pytest.raises(InputError, match="num_training_steps or num_stable_steps is needed"):
        from_transformers("warmup_stable_decay", 5, num_decay_steps=3)
    with pytest.raises(InputError, match="num_training_steps must be at least"):
        from_transformers("warmup_stable_decay", 5, 7, num_decay_steps=3)
    with pytest.raises(InputError, match="num_decay_steps must be at least 1"):
        from_transformers("warmup_stable_decay", 0, num_stable_steps=0, num_decay_steps=0)
    for field in ("warmup_type", "decay_type"):
        with pytest.raises(InputError, match=f"{field} must be linear, cosine or 1-sqrt"):
            from_transformers("warmup_stable_decay", 5, 50, num_decay_steps=3, **{field: "x"})
    with pytest.raises(InputError, match=r"follows a metric: .* control=plateau\("):
        from_transformers("reduce_lr_on_plateau")


def test_steps_that_are_not_whole_are_no_shares_of_the_run():
    for name in ("transition_steps", "transition_begin"):
        steps = {"transition_steps": 5, name: 0.5}
        with pytest.raises(InputError, match=f"{name} must be a whole number of updates here"):
            from_optax("exponential_decay", init_value=0.1, decay_rate=0.9, **steps)
    whole = from_optax("cosine_decay_schedule", init_value=0.1, decay_steps=100.0)
    assert whole == 0.1 * cosine(100)
    with pytest.raises(InputError, match="timescale must be a whole number"):
        from_transformers("inverse_sqrt", 5, timescale=0.5)
    with pytest.raises(InputError, match="num_decay_steps must be a whole number"):
        from_transformers("warmup_stable_decay", 5, 50, num_decay_steps=0.5)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (from_keras, "schedule must be one of Keras' ExponentialDecay"),
        (from_timm, "scheduler must be one of timm's CosineLRScheduler"),
        (from_torch, "scheduler must be one of torch's StepLR"),
    ],
)
@pytest.mark.parametrize("thing", [None, 0.1, "cosine", object()])
def test_things_that_are_no_schedulers_are_told_what_is_known(read, words, thing):
    with pytest.raises(InputError, match=words):
        read(thing)
    with pytest.raises(InputError, match=words):
        read(thing, total=10)


def test_a_total_that_is_none():
    kind = type("CosineDecay", (), {"get_config": lambda self: GOLDEN["keras"][0]["config"]})
    for total in (0, -1, 2.5):
        with pytest.raises(InputError, match="total must be"):
            from_keras(kind(), total=total)
        with pytest.raises(InputError, match="total must be"):
            from_optax("constant_schedule", value=1.0, total=total)


def test_shrinking_restarts_of_keras_end():
    config = {"initial_learning_rate": 0.1, "first_decay_steps": 10, "alpha": 0.0}
    config |= {"t_mul": 0.5, "m_mul": 1.0}
    kind = type("CosineDecayRestarts", (), {"get_config": lambda self: config})
    values = from_keras(kind(), total=20).values()
    close(values[[0, 5, 10, 15]], [0.1, 0.05, 0.1, 0.1])
    with pytest.raises(InputError, match="total must be at most 20 for this CosineDecayRestarts"):
        from_keras(kind(), total=21)
