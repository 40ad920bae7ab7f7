"""from_optax against the installed optax, in float64 and as it comes, in float32."""

import jax
import numpy as np
import optax
import pytest

from surefoot.errors import InputError
from surefoot.schedules import cosine, from_optax, hold, linear, one_minus_sqrt, warmup

pytestmark = pytest.mark.peers

CASES = [
    ("constant_schedule", {"value": 0.3}),
    *(
        ("linear_schedule", {"init_value": a, "end_value": b, "transition_steps": n} | begin)
        for a, b in [(1.0, 0.1), (0.0, 0.3), (0.2, 0.0), (0.5, 0.5)]
        for n in (0, 1, 7, 50)
        for begin in ({}, {"transition_begin": 5}, {"transition_begin": -3})
    ),
    *(
        (
            "polynomial_schedule",
            {"init_value": a, "end_value": b, "power": p, "transition_steps": n} | begin,
        )
        for a, b in [(1.0, 0.1), (0.0, 0.3), (3e-4, 0.0), (0.5, 0.5)]
        for n, p in [(1, 2), (7, 0.5), (50, 2), (33, 3.7), (41, 1)]
        for begin in ({}, {"transition_begin": 6})
    ),
    *(
        (
            "polynomial_schedule",
            {"init_value": 0.5, "end_value": 0.7, "power": 0, "transition_steps": n},
        )
        for n in (1, 10)
    ),
    ("cosine_decay_schedule", {"init_value": 0.5, "decay_steps": 10, "exponent": 0.0}),
    *(
        ("piecewise_constant_schedule", {"init_value": 0.4, "boundaries_and_scales": scales})
        for scales in (None, {}, {10: 0.1}, {20: 2.0, 5: 0.5, 31: 0.0}, {0: 0.5, 9: 0.5})
    ),
    *(
        (
            "piecewise_interpolate_schedule",
            {"interpolate_type": kind, "init_value": 0.4, "boundaries_and_scales": scales},
        )
        for kind in ("linear", "cosine")
        for scales in (None, {10: 0.1}, {20: 2.0, 5: 0.5, 31: 0.0}, {0: 0.5, 9: 0.5})
    ),
    *(
        (
            "exponential_decay",
            {"init_value": 0.3, "transition_steps": n, "decay_rate": rate} | begin | end,
        )
        for n, rate in [(1, 0.9), (7, 0.5), (13, 1.0), (0, 0.5), (5, 0.0), (9, 1.3)]
        for begin in ({}, {"transition_begin": 11, "staircase": True}, {"staircase": True})
        for end in ({}, {"end_value": 0.05}, {"end_value": 0.4})
    ),
    *(
        (
            "cosine_decay_schedule",
            {"init_value": 0.7, "decay_steps": n, "alpha": alpha, "exponent": exponent},
        )
        for n in (1, 10, 37)
        for alpha in (0.0, 0.1, 1.5)
        for exponent in (1.0, 2.0, 0.7)
    ),
    *(
        ("linear_onecycle_schedule", {"transition_steps": n, "peak_value": 0.9} | more)
        for n in (7, 60)
        for more in (
            {},
            {"pct_start": 0.0},
            {"pct_start": 0.35, "pct_final": 0.36},
            {"pct_start": 0.413, "pct_final": 0.777, "div_factor": 10.0, "final_div_factor": 5.0},
        )
    ),
    *(
        ("cosine_onecycle_schedule", {"transition_steps": n, "peak_value": 0.9} | more)
        for n in (7, 60)
        for more in ({}, {"pct_start": 0.0}, {"pct_start": 0.413, "div_factor": 10.0})
    ),
    *(
        ("warmup_constant_schedule", {"init_value": a, "peak_value": 0.3, "warmup_steps": w})
        for a in (0.0, 0.1, 0.3)
        for w in (0, 1, 13)
    ),
    *(
        (
            "warmup_cosine_decay_schedule",
            {"init_value": a, "peak_value": peak, "warmup_steps": w, "decay_steps": 43} | more,
        )
        for a, peak in [(0.0, 0.3), (0.1, 0.2), (0.1, 0.0)]
        for w in (0, 1, 13)
        for more in ({}, {"end_value": 0.01}, {"end_value": 0.5}, {"exponent": 2.5})
    ),
    *(
        (
            "warmup_exponential_decay_schedule",
            {
                "init_value": 0.01,
                "peak_value": 0.3,
                "warmup_steps": w,
                "transition_steps": 6,
                "decay_rate": rate,
            }
            | more,
        )
        for w in (0, 1, 13)
        for rate in (0.7, 1.1)
        for more in ({}, {"staircase": True, "transition_begin": 4}, {"end_value": 0.2})
    ),
    (
        "sgdr_schedule",
        {
            "cosine_kwargs": [
                {"init_value": 0.0, "peak_value": 0.5, "warmup_steps": 3, "decay_steps": 17},
                {"init_value": 0.1, "peak_value": 0.4, "warmup_steps": 0, "decay_steps": 29},
                {
                    "init_value": 0.0,
                    "peak_value": 0.3,
                    "warmup_steps": 5,
                    "decay_steps": 31,
                    "end_value": 0.01,
                },
            ]
        },
    ),
]


def ours(name, arguments, total=None):
    if arguments.get("decay_rate", 0) > 1:
        total = total or 100
    schedule = from_optax(name, total=total, **arguments)
    return schedule.resolve(100) if schedule.is_open else schedule


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_every_value_is_that_of_optax(name, arguments):
    t = np.arange(100)
    with jax.enable_x64(True):
        exact = np.broadcast_to(np.asarray(jax.vmap(getattr(optax, name)(**arguments))(t)), t.shape)
    np.testing.assert_allclose(ours(name, arguments)(t), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "arguments"), CASES[::5])
def test_the_float32_of_optax_is_off_by_its_rounding_only(name, arguments):
    t = np.arange(100)
    single = np.broadcast_to(np.asarray(jax.vmap(getattr(optax, name)(**arguments))(t)), t.shape)
    assert single.dtype != np.float64 or name == "constant_schedule"
    np.testing.assert_allclose(ours(name, arguments)(t), single, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("total", [1, 5, 20, 60])
@pytest.mark.parametrize(("name", "arguments"), CASES[::3])
def test_with_a_total_the_run_is_exactly_that_long(name, arguments, total):
    t = np.arange(total)
    schedule = ours(name, arguments, total)
    assert schedule.total == total
    with jax.enable_x64(True):
        exact = np.broadcast_to(np.asarray(jax.vmap(getattr(optax, name)(**arguments))(t)), t.shape)
    np.testing.assert_allclose(schedule.values(), exact, rtol=1e-12, atol=1e-12)


def test_joined_schedules_of_any_kind():
    theirs = optax.join_schedules(
        [
            optax.linear_schedule(0.0, 0.5, 9),
            optax.exponential_decay(0.5, 4, 0.8),
            optax.cosine_decay_schedule(0.3, 30),
        ],
        [9, 9 + 20],
    )
    schedule = from_optax(
        optax.join_schedules,
        schedules=[
            (optax.linear_schedule, {"init_value": 0.0, "end_value": 0.5, "transition_steps": 9}),
            ("exponential_decay", {"init_value": 0.5, "transition_steps": 4, "decay_rate": 0.8}),
            from_optax("cosine_decay_schedule", init_value=0.3, decay_steps=30),
        ],
        boundaries=[9, 9 + 20],
    )
    with jax.enable_x64(True):
        exact = np.asarray([float(theirs(t)) for t in range(80)])
    np.testing.assert_allclose(schedule(np.arange(80)), exact, rtol=1e-12, atol=1e-12)


JOINED = [case for case in CASES[::4] if case[1].get("transition_steps") != 0]


@pytest.mark.parametrize("edges", [(3, 8), (10, 30), (60, 75)])
@pytest.mark.parametrize("total", [2, 9, 40, 90])
@pytest.mark.parametrize("number", range(len(JOINED)))
def test_joined_schedules_are_cut_at_their_boundaries(number, total, edges):
    parts = [
        JOINED[number],
        JOINED[(number + 7) % len(JOINED)],
        JOINED[(number + 20) % len(JOINED)],
    ]
    plan = from_optax("join_schedules", schedules=parts, boundaries=edges, total=total)
    assert plan.total == total
    t = np.arange(total)
    with jax.enable_x64(True):
        theirs = optax.join_schedules([getattr(optax, n)(**a) for n, a in parts], edges)
        exact = np.broadcast_to(np.asarray(jax.vmap(theirs)(t)), t.shape)
    np.testing.assert_allclose(plan.values(), exact, rtol=1e-12, atol=1e-12)


def test_any_curve_of_ours_is_cut_in_a_joined_one():
    rising = warmup(20) >> linear(10)
    for plan in (rising, cosine(20).branch(5, linear(10)), hold(4) >> one_minus_sqrt(20)):
        joined = from_optax("join_schedules", schedules=[plan, hold()], boundaries=[10])
        assert joined.resolve(12).values().tolist() == [*plan(np.arange(10)).tolist(), 1, 1]


def refused(name, arguments):
    """Return whether optax refuses the arguments."""
    try:
        getattr(optax, name)(**arguments)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cosine_decay_schedule", {"init_value": 1.0, "decay_steps": 0}),
        ("linear_onecycle_schedule", {"peak_value": 1.0, "transition_steps": 0}),
        ("cosine_onecycle_schedule", {"peak_value": 1.0, "transition_steps": 0}),
        (
            "warmup_cosine_decay_schedule",
            {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 10, "decay_steps": 10},
        ),
    ],
)
def test_what_optax_refuses_is_refused(name, arguments):
    assert refused(name, arguments)
    with pytest.raises(InputError, match="_steps must be "):
        from_optax(name, **arguments)


def test_every_schedule_that_optax_exports_is_known():
    exported = {
        name
        for name in dir(optax.schedules)
        if name.endswith(("_schedule", "_schedules", "_decay")) and name[0] != "_"
    }
    for name in exported:
        with pytest.raises(InputError, match="arguments are not those of optax"):
            from_optax(name, nothing_that_it_takes=1)
    assert len(exported) == 14
