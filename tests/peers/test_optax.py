"""``to_optax`` against ``schedule(t)``, traced in all ways, and in optax's own optimizers."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings

from surefoot import InputError
from surefoot.integrations import to_optax
from surefoot.schedules import cosine, hold, linear, warmup
from surefoot.schedules._nodes import NODES
from tests.peers.samples import FUNCTION, PLANS, TOTAL
from tests.schedules.strategies import closed

TIMES = np.arange(TOTAL + 5)
SINGLE = {"rel": 1e-4, "abs": 1e-5}
DOUBLE = {"rel": 1e-12, "abs": 1e-14}


def traced(rate, times):
    """Return the rates one by one, compiled, mapped, and from within a compiled loop."""

    def one_more(count, _):
        return count + 1, rate(count)

    return {
        "one": np.asarray([rate(int(t)) for t in times[:3]]),
        "jit": np.asarray(jax.jit(rate)(jnp.asarray(times))),
        "vmap": np.asarray(jax.vmap(rate)(jnp.asarray(times))),
        "scan": np.asarray(jax.lax.scan(one_more, jnp.asarray(0), length=len(times))[1]),
    }


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("plan", [*PLANS, FUNCTION], ids=str)
def test_every_kind_of_schedule_traced_in_every_way(plan, double):
    expected = 0.3 * plan(TIMES)
    with jax.enable_x64(double):
        for way, rates in traced(to_optax(plan, 0.3), TIMES).items():
            assert rates.dtype == (np.float64 if double else np.float32)
            same = pytest.approx(expected[: len(rates)], **(DOUBLE if double else SINGLE))
            assert rates == same, way


def test_the_samples_have_every_kind_of_schedule():
    def kinds(plan):
        return {plan.name}.union(*map(kinds, plan.parts))

    assert set.union(*map(kinds, [*PLANS, FUNCTION])) == set(NODES)


@given(closed)
@settings(deadline=None, max_examples=8)
def test_any_nesting_of_schedules(plan):
    times = np.arange(plan.total + 3)
    with jax.enable_x64(True):
        for way, rates in traced(to_optax(plan), times).items():
            assert rates == pytest.approx(plan(times)[: len(rates)], **DOUBLE), way


def descend(optimizer, updates, compiled=True):
    """Return by how much each update lowered a parameter whose gradient is always 1."""
    parameter = jnp.asarray(0.0)
    state = optimizer.init(parameter)
    update = jax.jit(optimizer.update) if compiled else optimizer.update
    moved = []
    for _ in range(updates):
        change, state = update(jnp.asarray(1.0), state, parameter)
        moved.append(-float(change))
    return moved


def test_an_optimizer_of_optax_moves_by_the_rates():
    plan = warmup(4) >> cosine(floor=0.1)
    expected = 0.3 * plan.resolve(12).values()
    rate = to_optax(plan, 0.3, total=12)
    assert descend(optax.sgd(rate), 12) == pytest.approx(expected, **SINGLE)
    adam = optax.adamw(rate, weight_decay=0.0, eps=0.0)
    assert descend(adam, 12) == pytest.approx(expected, **SINGLE)  # each of Adam's steps is 1 here


def test_any_hyperparameter_of_optax():
    momentum = to_optax(linear(10, floor=0.5), 0.9)
    optimizer = optax.inject_hyperparams(optax.sgd)(
        learning_rate=to_optax("cosine()", 0.1, total=10), momentum=momentum
    )
    parameter = jnp.asarray(0.0)
    state = optimizer.init(parameter)
    update = jax.jit(optimizer.update)
    for t in range(10):
        _, state = update(jnp.asarray(1.0), state, parameter)
        now = {name: float(value) for name, value in state.hyperparams.items()}
        assert now == pytest.approx(
            {"learning_rate": 0.1 * cosine(10)(t), "momentum": 0.9 * linear(10, floor=0.5)(t)},
            **SINGLE,
        )


def test_a_resolved_schedule_is_itself_a_schedule_of_optax_outside_of_tracing():
    rate = (0.3 * (warmup(4) >> cosine(floor=0.1))).resolve(12)
    assert descend(optax.sgd(rate), 12, compiled=False) == pytest.approx(rate.values(), **SINGLE)


def test_units_and_errors():
    rate = to_optax("warmup('1 epoch') >> hold()", 0.5, total=9, updates_per_epoch=3)
    assert [float(rate(t)) for t in range(4)] == pytest.approx([1 / 6, 1 / 3, 0.5, 0.5])
    with pytest.raises(InputError, match="total must be given"):
        to_optax("cosine()")
    with pytest.raises(InputError, match="lr must be a finite learning rate"):
        to_optax(hold(3), -0.1)


def test_without_jax_it_says_what_to_install():
    code = (
        "import sys; sys.modules['jax'] = None; import surefoot as sf\n"
        "try: sf.integrations.to_optax('hold(3)')\n"
        "except sf.errors.MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install jax" in done.stdout
