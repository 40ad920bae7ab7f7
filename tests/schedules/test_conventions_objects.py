"""Rarer settings of other libraries, on plain objects with the attributes that are read."""

import functools

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as library

from surefoot.errors import InputError
from surefoot.schedules import (
    constant,
    cosine,
    from_keras,
    from_optax,
    from_timm,
    from_torch,
    from_transformers,
    hold,
)
from surefoot.schedules.table import Table

LRS = (0.5, 0.1)
PLAIN = {
    "base_values": LRS,
    "noise_range_t": None,
    "param_group_field": "lr",
    "warmup_t": 0,
    "lr_min": 0.0,
    "t_initial": 20,
    "cycle_limit": 1,
    "cycle_mul": 1.0,
    "cycle_decay": 1.0,
    "k_decay": 1.0,
    "decay_rate": 0.1,
    "decay_t": 10,
    "stable_fn": "constant",
    "stable_timescale": None,
}


def timm(kind, lrs=LRS, **attributes):
    """Return what looks like a scheduler of timm."""
    optimizer = type("Optimizer", (), {"param_groups": [{"lr": lr} for lr in lrs]})
    known = {**PLAIN, "base_values": lrs, **attributes, "optimizer": optimizer}
    return type(kind, (), known)()


def told(*factors):
    """Return a ``_get_lr`` with these factors, the last for ever."""
    return lambda self, t: [lr * factors[min(t, len(factors) - 1)] for lr in LRS]


def test_timm_is_asked_where_there_is_no_closed_form():
    scheduler = timm("Own", _get_lr=told(1, 0.5, 0.25))
    np.testing.assert_allclose(from_timm(scheduler, total=4).values(), [1, 0.5, 0.25, 0.25])
    noisy = timm(
        "CosineLRScheduler",
        noise_range_t=(0, 3),
        _get_lr=told(1, 0.5),
        _add_noise=lambda self, values, t: [2 * value for value in values],
    )
    np.testing.assert_allclose(from_timm(noisy, total=3).values(), [2, 1, 1])
    with pytest.raises(InputError, match="total is needed for this CosineLRScheduler"):
        from_timm(noisy)
    with pytest.raises(InputError, match="scheduler has no lr at t = 0: timm itself fails"):
        from_timm(timm("Own", _get_lr=lambda self, t: [None]), total=4)
    with pytest.raises(InputError, match=r"the lr is -0.25, where the group's own is 0.5"):
        from_timm(timm("Own", _get_lr=told(1, -0.5)), total=4)
    for steps in (2.5, 0.3):
        plan = from_timm(timm("StepLRScheduler", decay_t=steps, _get_lr=told(1, 0.5)), total=2)
        assert plan == from_timm(scheduler, total=2)
    between = timm("PolyLRScheduler", power=1.0, t_initial=2.5, _get_lr=told(1, 0.5))
    assert isinstance(from_timm(between, total=3), Table)


def test_a_metric_of_timm_leads_to_the_control():
    with pytest.raises(InputError, match=r"follows a metric: .* control=plateau\("):
        from_timm(timm("PlateauLRScheduler"))


def test_a_hidden_beginning_that_cannot_be_divided_by_is_asked_for():
    hidden = {"warmup_t": 4, "warmup_prefix": False, "warmup_lr_init": 0.0, "lr_min": 0.0}
    rises = [lr / 4 for lr in LRS]
    for ending in ({"t_initial": 3}, {"t_initial": 20, "cycle_limit": 0}):
        scheduler = timm(
            "CosineLRScheduler", warmup_steps=rises, **hidden, **ending, _get_lr=told(0, 0.25, 0.5)
        )
        plan = from_timm(scheduler, total=3)
        np.testing.assert_allclose(plan.values(), [0, 0.25, 0.5])


def test_cycles_of_timm_that_have_no_closed_form():
    none = timm("CosineLRScheduler", cycle_limit=0, lr_min=0.1, lrs=(0.5,))
    assert from_timm(none) == constant(0.2)
    falling = timm("CosineLRScheduler", cycle_limit=2, cycle_decay=0.5, lr_min=0.1, lrs=(0.5,))
    np.testing.assert_allclose(from_timm(falling)([0, 20, 40]), [1, 0.5, 0.2])
    steep = timm("TanhLRScheduler", lb=-30.0, ub=3.0, _get_lr=told(1, 0.5))
    assert isinstance(from_timm(steep, total=2), Table)
    ends = timm("TanhLRScheduler", lb=-7.0, ub=3.0, lr_min=0.1, lrs=(0.5,))
    assert from_timm(ends, total=21)(20) == pytest.approx(0.2)


def test_phases_of_a_wsd_of_timm():
    decays = {"1-sqrt": 0.5**0.5, "linear": 0.5, "cosine": 0.5, "power": 0.5**1.7}
    for kind, gone in decays.items():
        wsd = timm("WSDLRScheduler", decay_fn=kind, decay_power=1.7, lr_min=0.1, lrs=(0.5,))
        left = 0.5 if kind == "cosine" else 1 - gone
        for total in (None, 16, 30):
            plan = from_timm(wsd, total)
            assert plan(9) == 1
            assert plan(15) == pytest.approx(0.2 + 0.8 * left)
    high = timm("WSDLRScheduler", decay_fn="linear", lr_min=0.6, lrs=(0.5,))
    assert from_timm(high) == constant(1.2, duration=20)
    exact = [1 / (1 + t / 4) ** 0.5 * (1 if t < 10 else 1 - (t - 10) / 10) for t in range(20)]
    rsqrt = {"stable_fn": "rsqrt", "stable_timescale": 4, "decay_fn": "linear"}
    np.testing.assert_allclose(from_timm(timm("WSDLRScheduler", **rsqrt)).values(), exact)
    above = [max(factor, 0.2) for factor in exact]
    floored = timm("WSDLRScheduler", **rsqrt, lr_min=0.1, lrs=(0.5,), _get_lr=of(above, 0.5))
    np.testing.assert_allclose(from_timm(floored).values(), above)
    for odd in ({"stable_timescale": 2.5}, {"decay_t": 2.5}, {"decay_fn": "exp", "decay_t": 9.5}):
        asked = timm("WSDLRScheduler", **{**rsqrt, **odd}, lrs=(0.5,), _get_lr=of(exact, 0.5))
        plan = from_timm(asked, total=20)
        assert isinstance(plan, Table)
        np.testing.assert_allclose(plan.values(), exact)
    own = timm("WSDLRScheduler", decay_fn="exp", lrs=(0.5,), _get_lr=of(exact, 0.5))
    np.testing.assert_allclose(from_timm(own).values(), [1] * 10 + exact[10:])


def of(factors, lr):
    return lambda self, t: [lr * factors[t]]


class Own(library.LRScheduler):
    def get_lr(self):
        return [base / (1 + self.last_epoch) for base in self.base_lrs]


@pytest.mark.parametrize("make", [
    lambda o: library.ChainedScheduler([Own(o)]),
    lambda o: library.SequentialLR(o, [library.LinearLR(o, 1, 1, 2), Own(o)], [0]),
    lambda o: library.SequentialLR(o, [Own(o), Own(o)], [99]),
])  # fmt: skip
def test_a_composite_with_a_scheduler_of_your_own_is_a_table(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = make(optimizer)
    with pytest.raises(InputError, match="total is needed for this"):
        from_torch(scheduler)
    np.testing.assert_allclose(from_torch(scheduler, total=3).values(), [1, 1 / 2, 1 / 3])


def test_the_momentum_that_a_scheduler_of_ours_has_kept_is_what_factors_are_of():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5, momentum=0.9)
    scheduler = library.OneCycleLR(optimizer, 0.5, total_steps=10)
    before = from_torch(scheduler)["momentum"][0]
    group = optimizer.param_groups[0]
    group["initial_momentum"], group["momentum"] = group["momentum"], 0.1
    assert from_torch(scheduler)["momentum"][0] == before


def lambda_of(name, **keywords):
    """Return what looks like a function that Transformers gives to a LambdaLR."""

    def target(step, **keywords):
        return 1.0

    target.__module__, target.__name__ = "transformers.optimization", name
    return functools.partial(target, **keywords)


def read(target, total=None, lr=0.5):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    return from_torch(library.LambdaLR(optimizer, target), total)


def test_lambdas_of_transformers_are_read_by_their_names_and_keywords():
    warm = {"num_warmup_steps": 5, "num_training_steps": 20}
    prefix = "_get_"
    plan = read(lambda_of(f"{prefix}cosine_schedule_with_warmup_lr_lambda", **warm, num_cycles=0.5))
    assert plan == from_transformers("cosine", 5, 20)
    plan = read(
        lambda_of(
            f"{prefix}polynomial_decay_schedule_with_warmup_lr_lambda",
            **warm, lr_end=0.1, power=2.0, lr_init=0.5,
        )
    )  # fmt: skip
    assert plan == from_transformers("polynomial", 5, 20, lr=0.5, lr_end=0.1, power=2.0)
    stable = {"num_warmup_steps": 5, "num_decay_steps": 4, "num_stable_steps": -6}
    plan = read(lambda_of(f"{prefix}wsd_scheduler_lambda", **stable), total=9)
    np.testing.assert_allclose(plan.values(), [0, 0.2, 0.4, 0.6, 0.8, 0, 0, 0, 0], atol=1e-12)
    for unknown in ("_get_new_lambda", f"{prefix}wsd_scheduler_lambda"):
        assert read(lambda_of(unknown), total=3) == hold(3) or isinstance(
            read(lambda_of(unknown), total=3), Table
        )


def test_a_warm_up_of_transformers_along_a_root_is_a_table():
    plan = from_transformers(
        "warmup_stable_decay", 4, 20, num_decay_steps=4, warmup_type="1-sqrt", min_lr_ratio=0.2
    )
    exact = [0.2 + 0.8 * (1 - (1 - j / 4) ** 0.5) for j in range(4)]
    np.testing.assert_allclose(plan.values()[:5], [*exact, 1])


def test_optax_and_keras_in_rarer_settings():
    waits = from_optax(
        "linear_schedule", init_value=0.5, end_value=0.1, transition_steps=4, transition_begin=2
    )
    np.testing.assert_allclose(waits.values(), [0.5, 0.5, 0.5, 0.4, 0.3, 0.2])
    none = from_optax("linear_schedule", init_value=0.5, end_value=0.1, transition_steps=0)
    assert none == constant(0.5)
    bounded = from_optax(
        "exponential_decay", init_value=1, transition_steps=1, decay_rate=0.5, end_value=0.3
    )
    np.testing.assert_allclose(bounded.resolve(4).values(), [1, 0.5, 0.3, 0.3])
    warm = from_optax("warmup_constant_schedule", init_value=0, peak_value=0.5, warmup_steps=2)
    np.testing.assert_allclose(warm.resolve(4).values(), [0, 0.25, 0.5, 0.5])
    cold = from_optax("warmup_constant_schedule", init_value=0.1, peak_value=0.5, warmup_steps=0)
    assert cold == constant(0.1)

    def keras(kind, **config):
        return type(kind, (), {"get_config": lambda self: config})()

    flat = {"initial_learning_rate": 0.5, "decay_steps": 3, "end_learning_rate": 0.1, "power": 0.0}
    assert from_keras(keras("PolynomialDecay", **flat, cycle=False)) == constant(0.5)
    restarts = {"initial_learning_rate": 0.5, "alpha": 0.0, "t_mul": 2.0, "m_mul": 1.0}
    plan = from_keras(keras("CosineDecayRestarts", **restarts, first_decay_steps=4))
    assert plan == 0.5 * cosine(4).repeat(growth=2)
    with pytest.raises(InputError, match="first_decay_steps must be a whole number of updates"):
        from_keras(keras("CosineDecayRestarts", **restarts, first_decay_steps=4.5))
    base = type("LearningRateSchedule", (), {"__call__": lambda self, step: 1 / (1 + step)})
    own = type("Own", (base,), {"__call__": lambda self, step: 1 / (2 + step)})
    np.testing.assert_allclose(from_keras(own(), total=3).values(), [1 / 2, 1 / 3, 1 / 4])
