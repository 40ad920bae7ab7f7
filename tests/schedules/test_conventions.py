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
    constant,
    cosine,
    cyclic,
    exponential,
    exponential_warmup,
    from_json,
    from_keras,
    from_optax,
    from_timm,
    from_torch,
    from_transformers,
    function,
    hold,
    inverse_sqrt,
    inverse_time,
    linear,
    multi_step,
    natural_exponential,
    one_minus_sqrt,
    piecewise,
    polynomial,
    power,
    radam_warmup,
    schedule,
    step,
    table,
    tanh,
    warmup,
)
from surefoot.schedules._nodes import NODES
from surefoot.schedules.conventions._fit import fitted

GOLDEN = json.loads((Path(__file__).parent / "golden_peers.json").read_text(encoding="utf-8"))


def cases(library):
    return [
        pytest.param(case, id=f"{case.get('name', case.get('kind'))}-{number}")
        for number, case in enumerate(GOLDEN[library])
    ]


def assert_close(values, exact):
    np.testing.assert_allclose(values, exact, rtol=1e-12, atol=1e-12)


def assert_reproduced(plan, exact):
    """Check all factors, and that the schedule is one that can be written and read."""
    assert_close(plan.values(), exact)
    assert from_json(plan.to_json()) == plan
    assert schedule(str(plan)) == plan
    assert plan.describe()


@pytest.mark.parametrize("case", cases("optax"))
def test_the_values_of_optax(case):
    arguments = dict(case["arguments"])
    if scales := arguments.get("boundaries_and_scales"):
        arguments["boundaries_and_scales"] = {int(when): scale for when, scale in scales.items()}
    total = len(case["values"])
    assert_reproduced(from_optax(case["name"], total=total, **arguments), case["values"])


@pytest.mark.parametrize("case", cases("transformers"))
def test_the_values_of_transformers(case):
    plan = from_transformers(
        case["name"], case["warmup"], case["total"], lr=GOLDEN["lr"], **case["arguments"]
    )
    assert_reproduced(plan, case["values"])


@pytest.mark.parametrize("case", cases("keras"))
def test_the_values_of_keras(case):
    kind = type(case["kind"], (), {"get_config": lambda self: case["config"]})
    assert_reproduced(from_keras(kind(), total=len(case["values"])), case["values"])


@pytest.mark.parametrize("case", cases("timm"))
def test_the_values_of_timm(case):
    groups = [{"lr": lr, "initial_lr": lr} for lr in GOLDEN["lrs"]]
    optimizer = type("Optimizer", (), {"param_groups": groups})
    kind = type(case["kind"], (), {**case["attributes"], "optimizer": optimizer})
    exact = np.asarray(case["values"])
    found = from_timm(kind(), total=exact.shape[1])
    schedules = found["lr"] if isinstance(found, dict) else [found] * len(exact)
    for plan, values in zip(schedules, exact, strict=True):
        assert_reproduced(plan, values)


PLANS: list[Schedule] = [
    cosine(20),
    cosine(20, floor=0.1, power=2),
    cosine(20, k=0.7),
    linear(20, floor=0.1),
    0.3 * linear(20),
    polynomial(20, power=2),
    one_minus_sqrt(20, floor=0.1),
    tanh(20),
    warmup(20),
    warmup(20, start=0.1, shape="cosine"),
    warmup(20, start=0.1, shape="exponential"),
    exponential_warmup(7),
    exponential_warmup(7, duration=20),
    radam_warmup(0.9, duration=20),
    exponential(20, floor=0.1),
    exponential(20, gamma=0.9, every=3),
    natural_exponential(0.3, duration=20),
    inverse_time(0.3, duration=20),
    inverse_sqrt(3, duration=20),
    power(-0.3, 4, duration=20),
    hold(),
    constant(0.3, duration=20),
    step(3),
    step(3, duration=20),
    step(3) * cosine(20),
    multi_step([3, 9], 0.5),
    multi_step([3, 9], 0.5, duration=20),
    cyclic(7, decay=0.5),
    cyclic(7, decay=0.5, gamma=0.99, duration=20),
    exponential(gamma=0.9),
    table([1, 0.5], every=4, duration=20),
    table([1, 0.5, 0.2, 0.1], every=4, duration=7),
    table([1, 0.5, 0.2, 0.1], every=4),
    function("math:sqrt", duration=20),
    piecewise([(0, 0), (5, 1), (17, 0.2)], "cosine", 20),
    piecewise([(0, 0), (10, 1)], "linear", 5),
    piecewise([(0, 0), ("5.5 updates", 1)], "linear", 6),
    piecewise([(0, 0), (5, 1)], "linear", 5) >> cosine(10) >> linear(5),
    piecewise([(0, 0), (5, 1)], "linear", 5) >> step(2, 0.9),
    warmup(4) >> hold(7) >> one_minus_sqrt(9),
    warmup(4) >> cosine(0) >> hold(7) >> cosine(0),
    cosine(7).repeat(3, growth=1.5, duration=30),
    cosine(7).repeat(3),
    cosine(7).repeat(3, first="7.5 updates", duration=20),
    cosine(7).repeat(growth=2, decay=0.5),
    linear(20).clip(0.2).staircase(3),
    one_minus_sqrt(20).clip(0.2, 0.9).staircase(3),
    cosine(20).branch(5, linear(10)),
    cosine(3).branch(5, one_minus_sqrt(10)),
    cosine(20).branch(5, hold()),
    hold(20).branch(8, warmup(4)) >> linear(3),
    0.5 * (warmup(4) >> hold(9)) * cosine(20).branch(5, linear(10)),
]


@pytest.mark.parametrize("total", [1, 3, 5, 6, 12, 20, 50])
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_the_first_updates_of_a_schedule_are_a_schedule(plan, total):
    longest = plan.resolve(200) if plan.is_open else plan
    first = fitted(plan, total)
    assert first.total == total
    assert_close(first.values(), longest(np.arange(total)))
    assert fitted(plan, None) is plan


def nodes(plan):
    return {plan.name}.union(*map(nodes, plan.parts))


def test_every_node_of_the_language_is_among_them():
    assert set().union(*map(nodes, PLANS)) == set(NODES)


def test_a_curve_is_cut_and_never_squeezed():
    decay = fitted(hold(80) >> one_minus_sqrt(20), 90)
    assert decay(85) == pytest.approx(0.5)
    assert decay(90) == pytest.approx(1 - 0.5**0.5)  # it stays at the value that comes next
    assert fitted(warmup(20), 10).values().tolist() == warmup(20).values()[:10].tolist()
    with pytest.raises(InputError, match="total must be at most 10000000 where a table is needed"):
        fitted(one_minus_sqrt(10**9), 10**8)


@pytest.mark.parametrize("last", [3, 12, 40, 90])
@pytest.mark.parametrize("first", [4, 10, 30])
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_joined_schedule_of_any_kind_is_cut_at_its_boundary(plan, first, last):
    joined = from_optax("join_schedules", schedules=[plan, plan], boundaries=[first], total=last)
    longest = plan.resolve(200) if plan.is_open else plan
    t = np.arange(last)
    assert_close(
        joined.values(), np.where(t < first, longest(t), longest(np.maximum(t - first, 0)))
    )


def test_open_schedules_in_a_joined_one_fill_their_parts():
    plan = hold() >> linear(4)
    joined = from_optax("join_schedules", schedules=[plan, plan], boundaries=[10])
    assert joined == hold(6) >> linear(4) >> hold() >> linear(4)
    assert from_optax("join_schedules", schedules=[plan], boundaries=[]) == plan
    joined = from_optax("join_schedules", schedules=[cosine(9), hold(3), plan], boundaries=[0, 0])
    assert joined == plan
    tail = cosine().branch(5, linear())
    joined = from_optax("join_schedules", schedules=[tail, hold()], boundaries=[20])
    assert joined.resolve(30) == cosine(20).branch(5, linear(15)) >> hold(10)
    with pytest.raises(InputError, match=r"schedules\[0\], of 3 updates: .* takes 4 updates"):
        from_optax("join_schedules", schedules=[plan, plan], boundaries=[3])


CONSTANT = ("constant_schedule", {"value": 1.0})


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("constant_schedule", {"value": "x"}, "value must be a number, not 'x'"),
        ("constant_schedule", {"value": -1.0}, "value must be at least 0, not -1.0"),
        ("constant_schedule", {}, "missing a required argument: 'value'"),
        (
            "linear_schedule",
            {"init_value": "x", "end_value": 1, "transition_steps": 3},
            "init_value must be a number",
        ),
        (
            "linear_schedule",
            {"init_value": 1, "end_value": None, "transition_steps": 3},
            "end_value must be a number",
        ),
        (
            "exponential_decay",
            {"init_value": 1, "transition_steps": 3, "decay_rate": -1},
            "decay_rate must be at least 0",
        ),
        (
            "polynomial_schedule",
            {"init_value": 1, "end_value": 0, "power": -1, "transition_steps": 3},
            "power must be at least 0",
        ),
        ("cosine_decay_schedule", {"init_value": 1, "decay_steps": 0}, "decay_steps must be at l"),
        ("cosine_decay_schedule", {"init_value": 1, "decay_steps": "x"}, "decay_steps must be a"),
        (
            "cosine_decay_schedule",
            {"init_value": 1, "decay_steps": 9, "exponent": -1},
            "exponent must be at least 0",
        ),
        (
            "warmup_cosine_decay_schedule",
            {"init_value": 0, "peak_value": 1, "warmup_steps": 10, "decay_steps": 10},
            "decay_steps must be greater than warmup_steps, 10",
        ),
        (
            "linear_onecycle_schedule",
            {"transition_steps": 0, "peak_value": 1},
            "transition_steps must be at least 1",
        ),
        (
            "cosine_onecycle_schedule",
            {"transition_steps": 9, "peak_value": 1, "div_factor": 0},
            "div_factor must be greater than 0",
        ),
        (
            "piecewise_constant_schedule",
            {"init_value": 1, "boundaries_and_scales": 3},
            "boundaries_and_scales must be a dict such as",
        ),
        (
            "piecewise_constant_schedule",
            {"init_value": 1, "boundaries_and_scales": {"x": 3}},
            "boundaries_and_scales must be a number, not 'x'",
        ),
        ("sgdr_schedule", {"cosine_kwargs": 3}, "cosine_kwargs must be a list, not 3"),
        ("sgdr_schedule", {"cosine_kwargs": []}, "cosine_kwargs must hold at least one"),
        (
            "sgdr_schedule",
            {"cosine_kwargs": [{"init_value": 0}]},
            r"cosine_kwargs\[0\]: .* warmup_cosine_decay_schedule: missing .*'peak_value'",
        ),
        ("sgdr_schedule", {"cosine_kwargs": [3]}, r"cosine_kwargs\[0\] must be"),
        ("join_schedules", {"schedules": "x", "boundaries": []}, "schedules must be a list"),
        ("join_schedules", {"schedules": [hold()], "boundaries": 3}, "boundaries must be a list"),
        (
            "join_schedules",
            {"schedules": [hold(), hold()], "boundaries": ["x"]},
            "boundaries must be a number",
        ),
        (
            "join_schedules",
            {"schedules": [hold(), "x"], "boundaries": [3]},
            r"schedules\[1\] must be a schedule or a pair",
        ),
        (
            "join_schedules",
            {"schedules": [hold(), lambda t: 1.0], "boundaries": [3]},
            r"schedules\[1\] must be a schedule .* functions of the count cannot be read",
        ),
        (
            "join_schedules",
            {"schedules": [CONSTANT, ("constant_schedule", 3)], "boundaries": [3]},
            r"schedules\[1\] must be a schedule or a pair",
        ),
        (
            "join_schedules",
            {"schedules": [CONSTANT, ("constant", {"value": 1.0})], "boundaries": [3]},
            r"schedules\[1\]: name must be a schedule function of optax",
        ),
    ],
)
def test_arguments_that_optax_or_a_schedule_does_not_take_are_named(name, arguments, words):
    with pytest.raises(InputError, match=words):
        from_optax(name, **arguments)


@pytest.mark.parametrize("plan", [
    linear("20%"), warmup("10%") >> cosine(), warmup("auto") >> hold(), hold() >> linear("1 epoch"),
    step("1 epoch"), multi_step(["50%"]), piecewise([(0, 1), ("50%", 0.1)]),
    warmup("4.5 updates") >> hold(), cosine().branch(5, linear(5)) >> hold(),
    cosine().staircase("1 epoch"), cosine(4).repeat(first=0.1),
], ids=str)  # fmt: skip
def test_a_joined_schedule_is_in_updates(plan):
    for schedules in ([plan, CONSTANT], [CONSTANT, plan]):
        with pytest.raises(InputError, match=r"schedules\[.\] must be in updates, and .* is not"):
            from_optax("join_schedules", schedules=schedules, boundaries=[30])


def test_a_rising_part_of_a_joined_schedule_takes_its_own_length():
    rising = ("exponential_decay", {"init_value": 1.0, "transition_steps": 2, "decay_rate": 1.5})
    joined = from_optax("join_schedules", schedules=[rising, CONSTANT], boundaries=[4])
    assert_close(joined.resolve(6).values(), [1, 1.5**0.5, 1.5, 1.5**1.5, 1, 1])
    with pytest.raises(InputError, match=r"schedules\[1\]: total is needed for optax's exp"):
        from_optax("join_schedules", schedules=[CONSTANT, rising], boundaries=[4])
    joined = from_optax("join_schedules", schedules=[CONSTANT, rising], boundaries=[4], total=6)
    assert_close(joined.values(), [1, 1, 1, 1, 1, 1.5**0.5])


def test_powers_of_zero_are_one():
    power_0 = {"init_value": 0.5, "end_value": 0.7, "power": 0, "transition_steps": 1}
    assert from_optax("polynomial_schedule", total=5, **power_0) == constant(0.5, duration=5)
    flat = from_optax("cosine_decay_schedule", init_value=0.5, decay_steps=3, exponent=0)
    assert flat == constant(0.5)


def test_transformers_stays_at_its_ratio_after_the_decay():
    given = {"num_decay_steps": 10, "num_stable_steps": 10, "num_cycles": 1.0, "min_lr_ratio": 0.1}
    plan = from_transformers("warmup_stable_decay", 5, 30, **given)
    assert_close(
        plan.values()[[20, 24, 25, 29]], [0.1, 1 - 0.9 * np.sin(np.pi / 10) ** 2, 0.1, 0.1]
    )
    assert from_transformers("warmup_stable_decay", 5, **given).is_open
    plan = from_transformers(
        "warmup_stable_decay", 5, 20, num_decay_steps=0, num_stable_steps=5, min_lr_ratio=0.1
    )
    assert str(plan).endswith(">> hold(5) >> constant(0.1, duration=10)")
    plan = from_transformers("warmup_stable_decay", 0, 2, num_decay_steps=0, num_stable_steps=0)
    assert plan == constant(0, duration=2)
    plan = from_transformers("warmup_stable_decay", 7, 1, num_decay_steps=20)
    assert plan.values().tolist() == [0]
    plan = from_transformers("warmup_stable_decay", 2, 4, num_decay_steps=4, decay_type="linear")
    assert_close(plan.values(), [0, 0.5, 0.5, 0.25])
    steep = {"num_decay_steps": 4, "min_lr_ratio": 2.0, "warmup_type": "linear"}
    for kind, half in (("linear", 1.5), ("cosine", 1.5), ("1-sqrt", 1 + 0.5**0.5)):
        plan = from_transformers("warmup_stable_decay", 0, 4, decay_type=kind, **steep)
        assert_close(plan(np.asarray([0, 2, 4])), [1, half, 2])


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
    with pytest.raises(InputError, match="num_training_steps must be at least 1"):
        from_transformers("constant", 0, 0)
    with pytest.raises(InputError, match="num_cycles must be a number, not 'x'"):
        from_transformers("cosine", 5, 50, num_cycles="x")
    with pytest.raises(InputError, match="min_lr_ratio must be at least 0"):
        from_transformers("warmup_stable_decay", 5, 50, num_decay_steps=3, min_lr_ratio=-0.1)
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
    assert_close(values[[0, 5, 10, 15]], [0.1, 0.05, 0.1, 0.1])
    with pytest.raises(InputError, match="total must be at most 20 for this CosineDecayRestarts"):
        from_keras(kind(), total=21)
