"""from_timm against the installed timm."""

import itertools

import numpy as np
import pytest
import torch

from surefoot.errors import InputError
from surefoot.schedules import from_timm

pytestmark = pytest.mark.peers
library = pytest.importorskip("timm.scheduler")

TOTAL = 120
LRS = (0.3, 0.02)


def optimizer(lrs=LRS, scales=None):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    for group, scale in zip(groups, scales or [], strict=False):
        group["lr_scale"] = scale
    return torch.optim.SGD(groups, lr=0.1)


def theirs(scheduler, total=TOTAL):
    """Return the rates after ``step(t)``, of each group, as multiples of its initial lr."""
    groups = scheduler.optimizer.param_groups
    rates = np.full((total, len(groups)), np.nan)
    for t in range(total):
        try:
            (scheduler.step if scheduler.t_in_epochs else scheduler.step_update)(t)
            rates[t] = [group["lr"] / group["initial_lr"] for group in groups]
        except TypeError:  # the root of a negative number, where a logarithm missed a restart
            continue
    return rates.T


def ours(scheduler, total=TOTAL):
    found = from_timm(scheduler, total=total)
    groups = scheduler.optimizer.param_groups
    return np.asarray(
        [each.values() for each in found["lr"]]
        if isinstance(found, dict)
        else [found.values()] * len(groups)
    )


WARMUPS = [{}] + [
    {"warmup_t": n, "warmup_lr_init": first, "warmup_prefix": prefix}
    for n, first, prefix in itertools.product((1, 7), (0.0, 0.001), (False, True))
]
LOW = [{}, {"lr_min": 0.001}, {"lr_min": 0.1}]
CYCLES = [
    {},
    {"cycle_limit": 3},
    {"cycle_limit": 3, "cycle_decay": 0.5},
    {"cycle_limit": 2, "cycle_mul": 2.0},
    {"cycle_limit": 2, "cycle_mul": 2.0, "cycle_decay": 0.7},
    {"cycle_limit": 4, "cycle_mul": 1.3},
    {"cycle_limit": 4, "cycle_mul": 1.3, "cycle_decay": 0.7},
    {"cycle_limit": 0},
]
KEYS = {
    "CosineLRScheduler": [{"t_initial": 31}, {"t_initial": 30, "k_decay": 0.7}],
    "PolyLRScheduler": [{"t_initial": 31}, {"t_initial": 30, "power": 2.0, "k_decay": 1.7}],
    "TanhLRScheduler": [{"t_initial": 31}, {"t_initial": 30, "lb": -4.0, "ub": 5.0}],
}
RESTARTING = [
    (kind, {**own, **low, **cycles, **warmup})
    for kind, owns in KEYS.items()
    for own, low, cycles, warmup in itertools.product(owns, LOW, CYCLES, WARMUPS)
]
STEPPING = [
    *(
        ("StepLRScheduler", {**own, **warmup})
        for own, warmup in itertools.product(
            [
                {"decay_t": 30},
                {"decay_t": 7, "decay_rate": 0.7},
                {"decay_t": 2.5, "decay_rate": 0.9},
                {"decay_t": 50, "decay_rate": 1.2},
            ],
            WARMUPS,
        )
    ),
    *(
        ("MultiStepLRScheduler", {**own, **warmup})
        for own, warmup in itertools.product(
            [
                {"decay_t": [30, 60, 90], "decay_rate": 0.1},
                {"decay_t": [1, 9, 9, 70], "decay_rate": 0.7},
            ],
            WARMUPS,
        )
    ),
    *(
        ("WSDLRScheduler", {"t_initial": 100, **own, **low, **stable, **warmup})
        for own, low, stable, warmup in itertools.product(
            [
                {"decay_t": 20},
                {"decay_t": 100, "decay_fn": "linear"},
                {"decay_t": 33, "decay_fn": "cosine"},
                {"decay_t": 33, "decay_fn": "power", "decay_power": 1.7},
                {"decay_t": 33, "decay_fn": "exp", "decay_ratio": 0.3},
                {"decay_t": 33, "decay_fn": lambda part: (1 - part) ** 3},
            ],
            LOW,
            [
                {},
                {"stable_fn": "rsqrt", "stable_timescale": 9},
                {"stable_fn": "rsqrt", "stable_timescale": 2.5},
                {"stable_fn": "power", "stable_power": 0.7, "stable_timescale": 9},
            ],
            [{}, {"warmup_t": 1}, {"warmup_t": 11, "warmup_lr_init": 0.001}],
        )
    ),
]  # fmt: skip


def boundaries(arguments):
    """Return the updates at which a cycle starts, where their logarithm may miss it."""
    start, starts = 0.0, []
    for i in range(arguments.get("cycle_limit", 1)):
        start += arguments["t_initial"] * arguments.get("cycle_mul", 1.0) ** i
        starts.append(
            round(start) + arguments.get("warmup_prefix", False) * arguments.get("warmup_t", 0)
        )
    return starts


def needs_a_table(arguments):
    """Return whether cycles that end between updates have no closed form in some group."""
    low = arguments.get("lr_min", 0)
    return low > min(LRS) or (low > 0 and arguments.get("cycle_decay", 1) != 1)


@pytest.mark.parametrize(("kind", "arguments"), RESTARTING)
def test_every_restarting_curve_is_that_of_timm(kind, arguments):
    make = getattr(library, kind, None) or getattr(library.tanh_lr, kind)
    scheduler = make(optimizer(), **arguments)
    exact = theirs(scheduler)
    if np.isnan(exact).any() and needs_a_table(arguments):
        with pytest.raises(InputError, match="timm itself fails"):
            ours(scheduler)
        return
    same = np.isclose(ours(scheduler), exact, rtol=1e-12, atol=1e-12)
    missed = np.flatnonzero(~same.all(axis=0))
    if arguments.get("cycle_mul", 1) == 1:
        assert list(missed) == []
    else:
        assert set(missed.tolist()) <= set(boundaries(arguments))


@pytest.mark.parametrize(("kind", "arguments"), STEPPING)
def test_every_other_curve_is_that_of_timm(kind, arguments):
    make = getattr(library, kind, None) or getattr(library.multistep_lr, kind)
    scheduler = make(optimizer(), **arguments)
    np.testing.assert_allclose(ours(scheduler), theirs(scheduler), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("total", [1, 9, 50, 90, 111, 120])
@pytest.mark.parametrize(
    ("kind", "arguments"), [case for case in STEPPING if case[0] == "WSDLRScheduler"][::5]
)
def test_a_wsd_is_cut_and_never_squeezed(kind, arguments, total):
    scheduler = getattr(library, kind)(optimizer(), **arguments)
    found = ours(scheduler, total)
    assert found.shape == (len(LRS), total)
    np.testing.assert_allclose(found, theirs(scheduler, total), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("total", [1, 4, 20, 40, 100])
@pytest.mark.parametrize(("kind", "arguments"), RESTARTING[::13])
def test_a_restarting_curve_is_cut_and_never_squeezed(kind, arguments, total):
    make = getattr(library, kind, None) or getattr(library.tanh_lr, kind)
    scheduler = make(optimizer(), **arguments)
    exact = theirs(scheduler, total)
    if np.isnan(exact).any() and needs_a_table(arguments):
        return
    missed = np.flatnonzero(~np.isclose(ours(scheduler, total), exact, rtol=1e-12, atol=1e-12))
    starts = boundaries(arguments) if arguments.get("cycle_mul", 1) != 1 else []
    assert set((missed % total).tolist()) <= set(starts)


def test_it_does_not_matter_how_far_the_scheduler_has_gone():
    scheduler = library.CosineLRScheduler(optimizer(), 50, warmup_t=5, lr_min=0.001)
    before = from_timm(scheduler)
    scheduler.step(33)
    assert from_timm(scheduler) == before


@pytest.mark.parametrize("in_epochs", [True, False])
def test_noise_and_the_scales_of_groups_are_those_of_timm(in_epochs):
    scheduler = library.CosineLRScheduler(
        optimizer(scales=[1.0, 0.25]), 60, noise_range_t=(10, 40), t_in_epochs=in_epochs
    )
    with pytest.raises(InputError, match="total is needed for this CosineLRScheduler"):
        from_timm(scheduler)
    np.testing.assert_allclose(ours(scheduler), theirs(scheduler), rtol=1e-12, atol=1e-12)


def test_one_schedule_serves_groups_of_one_lr():
    scheduler = library.CosineLRScheduler(optimizer((0.2, 0.2)), 60, lr_min=0.05)
    assert str(from_timm(scheduler)) == "cosine(60, floor=0.25)"
    scheduler = library.CosineLRScheduler(optimizer((0.2, 0.1)), 60, lr_min=0.05)
    assert from_timm(scheduler).keys() == {"lr"}


def test_what_is_no_curve_of_timm_says_so():
    with pytest.warns(FutureWarning):
        scheduler = library.PlateauLRScheduler(optimizer())
    with pytest.raises(InputError, match=r"follows a metric: .* control=plateau\("):
        from_timm(scheduler)
    with pytest.raises(InputError, match="scheduler must be one of timm's Cosine"):
        from_timm(None)

    class Own(library.CosineLRScheduler):
        def _get_lr(self, t):
            return [value / (t + 1) for value in self.base_values]

    scheduler = Own(optimizer(), 60)
    with pytest.raises(InputError, match="together with total, not Own"):
        from_timm(scheduler)
    np.testing.assert_allclose(ours(scheduler), theirs(scheduler), rtol=1e-12)
