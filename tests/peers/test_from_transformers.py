"""from_transformers against the installed Transformers."""

import itertools
import warnings

import numpy as np
import pytest
import torch

from surefoot.errors import InputError
from surefoot.schedules import from_transformers

pytestmark = pytest.mark.peers
library = pytest.importorskip("transformers.optimization")

LR = 0.3
RUNS = [(0, 1), (0, 40), (1, 40), (7, 40), (13, 97), (39, 40), (10, 10), (50, 40)]
WAVES = [0.5, 1, 2.5, 0.3, 7 / 3, 0]


def product(name, *choices):
    for run, *chosen in itertools.product(RUNS, *choices):
        yield name, *run, {key: value for each in chosen for key, value in each.items()}


CASES = [
    *product("constant"),
    *product("constant_with_warmup"),
    *product("linear"),
    *product("cosine", [{}, *({"num_cycles": c} for c in WAVES)]),
    *product("cosine_with_restarts", [{}, *({"num_cycles": c} for c in (1, 3, 7))]),
    *product(
        "polynomial", [{}, {"lr_end": 0.01}, {"lr_end": 0}], [{}, {"power": 0.5}, {"power": 3}]
    ),
    *product("inverse_sqrt", [{}, {"timescale": 5}, {"timescale": 100}]),
    *product(
        "cosine_with_min_lr",
        [{"min_lr": 0.03}, {"min_lr_rate": 0.2}, {"min_lr_rate": 1.5}],
        [{}, *({"num_cycles": c} for c in WAVES)],
    ),
    *product(
        "cosine_warmup_with_min_lr",
        [{"min_lr": 0.03}, {"min_lr_rate": 0.2}],
        [{}, {"warmup_lr_rate": 0.1}, {"warmup_lr_rate": 0.0}],
        [{}, *({"num_cycles": c} for c in WAVES)],
    ),
    *(
        (
            "warmup_stable_decay",
            w,
            n,
            {"num_decay_steps": d, "warmup_type": up, "decay_type": down} | more,
        )
        for w, n, d in [(0, 40, 10), (7, 40, 33), (13, 97, 20), (10, 30, 1)]
        for up in ("linear", "cosine", "1-sqrt")
        for down in ("linear", "cosine", "1-sqrt")
        for more in ({}, {"min_lr_ratio": 0.1}, {"min_lr_ratio": 0.05, "num_cycles": 1.7})
    ),
]


def theirs(name, warmup, total, specific, lr=LR):
    """Return the rates that updates 0 … total − 1 use, as multiples of the base lr."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = library.get_scheduler(name, optimizer, warmup, total, specific)
    rates = [optimizer.param_groups[0]["lr"] / lr]
    for _ in range(1, total):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"] / lr)
    return np.asarray(rates)


def ours(name, warmup, total, specific, lr=LR):
    return from_transformers(name, warmup, total, lr=lr, **specific)


@pytest.mark.parametrize(("name", "warmup", "total", "specific"), CASES)
def test_every_factor_is_that_of_transformers(name, warmup, total, specific):
    schedule = ours(name, warmup, total, specific)
    assert schedule.total == total
    exact = theirs(name, warmup, total, specific)
    missed = np.flatnonzero(abs(schedule.values() - exact) > 1e-12)
    if name == "cosine_with_restarts":
        # (cycles · progress) % 1 is 1 − 1e-16 instead of 0 at some restarts: their lr is 0 there
        starts = warmup + np.arange(1, specific.get("num_cycles", 1)) / specific.get(
            "num_cycles", 1
        ) * (total - warmup)
        missed = [t for t in missed if not (t in starts and exact[t] < 1e-12)]
    assert list(missed) == []


@pytest.mark.parametrize("down", ["linear", "cosine", "1-sqrt"])
@pytest.mark.parametrize("more", [{}, {"num_cycles": 1.0}])
@pytest.mark.parametrize("low", [0, 0.1, 1.5])
@pytest.mark.parametrize(
    ("warmup", "decay", "stable"),
    [(5, 10, 10), (5, 0, 10), (0, 10, 0), (0, 0, 0), (3, 0, 0), (5, 10, None), (7, 20, None)],
)
@pytest.mark.parametrize("total", [1, 9, 15, 20, 25, 40])
def test_warmup_stable_decay_before_inside_and_after_its_parts(
    warmup, decay, stable, low, more, down, total
):
    specific = {"num_decay_steps": decay, "decay_type": down, "min_lr_ratio": low, **more}
    if stable is not None:
        specific["num_stable_steps"] = stable
    found = ours("warmup_stable_decay", warmup, total, specific)
    assert found.total == total
    with warnings.catch_warnings():  # "Both are specified. num_stable_steps will be used."
        warnings.simplefilter("ignore")
        exact = theirs("warmup_stable_decay", warmup, total, specific)
    np.testing.assert_allclose(found.values(), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("warmup", "total", "decay", "stable"), [(7, 1, 20, None), (0, 2, 0, 0)])
def test_what_has_no_room_for_its_decay_is_that_of_transformers(warmup, total, decay, stable):
    specific = {"num_decay_steps": decay, "num_stable_steps": stable, "min_lr_ratio": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exact = theirs("warmup_stable_decay", warmup, total, specific)
    found = ours("warmup_stable_decay", warmup, total, specific).values()
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_all_of_its_names_are_known():
    known = {case[0] for case in CASES}
    assert known | {"reduce_lr_on_plateau", "greedy"} == {
        kind.value for kind in library.SchedulerType
    }
    for name in ("reduce_lr_on_plateau", library.SchedulerType.GREEDY):
        with pytest.raises(InputError, match=r"follows a metric: .* control=plateau\("):
            from_transformers(name)


@pytest.mark.parametrize("name", ["constant", "constant_with_warmup", "inverse_sqrt"])
def test_what_has_no_end_is_open_and_fills_the_run(name):
    schedule = from_transformers(name, 7)
    assert schedule.is_open
    np.testing.assert_allclose(
        schedule.resolve(60).values(), theirs(name, 7, 60, {}), rtol=1e-12, atol=1e-12
    )


def test_stable_steps_may_be_given_instead_of_the_total():
    specific = {"num_decay_steps": 11, "num_stable_steps": 13, "decay_type": "1-sqrt"}
    schedule = from_transformers("warmup_stable_decay", 5, **specific)
    assert schedule.total == 29
    np.testing.assert_allclose(
        schedule.values(),
        theirs("warmup_stable_decay", 5, 29, {**specific, "num_stable_steps": None}),
        rtol=1e-12,
        atol=1e-12,
    )


def test_its_wrong_arguments_are_named():
    with pytest.raises(InputError, match="lr is needed"):
        from_transformers("polynomial", 5, 50)
    with pytest.raises(InputError, match="min_lr or min_lr_rate is needed"):
        from_transformers("cosine_with_min_lr", 5, 50)
    with pytest.raises(InputError, match="unexpected keyword argument 'cycles'"):
        from_transformers("cosine", 5, 50, cycles=3)
    with pytest.raises(InputError, match=r"missing .*'num_training_steps'"):
        from_transformers("cosine", 5)
    with pytest.raises(InputError, match="name must be one of linear, cosine"):
        from_transformers("cosin", 5, 50)
