"""Complaints about going on from a checkpoint: rows 1–6, 27 and 31 of docs/complaints.md."""

import json
import pickle

import pytest
import torch
from torch.optim import lr_scheduler as torch_schedulers
from transformers import get_linear_schedule_with_warmup

from surefoot import Scheduler
from surefoot.errors import StateError
from surefoot.schedules import cosine, exponential, linear, step, warmup
from tests.peers.loops import ours, rates, saved, sgd, used

UPDATES = 40


def _sequential(o, **k):
    parts = [
        torch_schedulers.LinearLR(o, 0.1, total_iters=10),
        torch_schedulers.CosineAnnealingLR(o, 30),
    ]
    return torch_schedulers.SequentialLR(o, parts, [10], **k)


def _chained(o):
    return torch_schedulers.ChainedScheduler(
        [
            torch_schedulers.LinearLR(o, 0.1, total_iters=10),
            torch_schedulers.ExponentialLR(o, 0.95),
        ]
    )


STOCK = {
    "StepLR": lambda o, **k: torch_schedulers.StepLR(o, 7, 0.5, **k),
    "MultiStepLR": lambda o, **k: torch_schedulers.MultiStepLR(o, [10, 20], **k),
    "ConstantLR": lambda o, **k: torch_schedulers.ConstantLR(o, 0.3, 20, **k),
    "LinearLR": lambda o, **k: torch_schedulers.LinearLR(o, 0.1, total_iters=10, **k),
    "ExponentialLR": lambda o, **k: torch_schedulers.ExponentialLR(o, 0.9, **k),
    "PolynomialLR": lambda o, **k: torch_schedulers.PolynomialLR(o, 50, 2.0, **k),
    "CosineAnnealingLR": lambda o, **k: torch_schedulers.CosineAnnealingLR(o, 50, **k),
    "CosineAnnealingWarmRestarts": lambda o, **k: torch_schedulers.CosineAnnealingWarmRestarts(
        o, 5, 2, **k
    ),
    "LambdaLR": lambda o, **k: torch_schedulers.LambdaLR(o, lambda t: 0.95**t, **k),
    "MultiplicativeLR": lambda o, **k: torch_schedulers.MultiplicativeLR(o, lambda t: 0.95, **k),
    "CyclicLR": lambda o, **k: torch_schedulers.CyclicLR(
        o, 0.01, 0.1, step_size_up=10, cycle_momentum=False, **k
    ),
    "OneCycleLR": lambda o, **k: torch_schedulers.OneCycleLR(
        o, 0.1, total_steps=60, cycle_momentum=False, **k
    ),
    "SequentialLR": _sequential,
    "ChainedScheduler": _chained,
}
MINE = {
    "warm up, cosine": ours(warmup(10) >> cosine(30)),
    "stairs": ours(step(7, drop=0.5, duration=40)),
    "product": ours(warmup(10) * exponential(40, floor=0.01)),
}


def _error(make, resumed, k):
    """Return the largest deviation from the run that never stopped, as a share of its rate."""
    whole = used(*_built(make), UPDATES)
    rest = used(*resumed, UPDATES - k)
    return max(abs(a - b) / b for a, b in zip(rest, whole[k:], strict=True))


def _built(make, lr=0.1):
    optimizer = sgd(lr)
    return optimizer, make(optimizer)


def _optimizer_first(make, k):
    optimizer_state, scheduler_state = saved(make, k, 0.1)
    optimizer = sgd(0.1)
    optimizer.load_state_dict(optimizer_state)
    scheduler = make(optimizer)
    scheduler.load_state_dict(scheduler_state)
    return optimizer, scheduler


def test_1_the_optimizer_loaded_before_the_scheduler_is_built():
    wrong = [name for name, make in STOCK.items() if _error(make, _optimizer_first(make, 9), 9)]
    assert wrong == [
        "ConstantLR", "LinearLR", "CosineAnnealingWarmRestarts", "LambdaLR", "CyclicLR",
        "OneCycleLR", "SequentialLR", "ChainedScheduler",
    ]  # fmt: skip
    assert _error(STOCK["ConstantLR"], _optimizer_first(STOCK["ConstantLR"], 9), 9) > 0.69
    for make in MINE.values():
        assert {_error(make, _optimizer_first(make, k), k) for k in range(UPDATES)} == {0}


def test_2_the_scheduler_told_which_update_it_is():
    def by_last_epoch(make, k):
        optimizer = sgd(0.1)
        optimizer.load_state_dict(saved(make, k, 0.1)[0])
        return optimizer, make(optimizer, last_epoch=k - 1)

    def by_seek(make, k):
        optimizer, scheduler = _built(make)
        scheduler.seek(k)
        return optimizer, scheduler

    with_argument = {name: make for name, make in STOCK.items() if name != "ChainedScheduler"}
    wrong = {
        name: error
        for name, make in with_argument.items()
        if (error := max(_error(make, by_last_epoch(make, k), k) for k in (9, 14, 20))) > 1e-9
    }
    assert set(wrong) == {
        "StepLR", "MultiStepLR", "ConstantLR", "CosineAnnealingWarmRestarts", "SequentialLR",
    }  # fmt: skip
    assert wrong["ConstantLR"] == pytest.approx(2.333, abs=1e-3)
    for make in MINE.values():
        assert {_error(make, by_seek(make, k), k) for k in range(UPDATES)} == {0}


def test_3_the_state_of_the_scheduler_alone():
    for make, metrics in (
        (lambda o: torch_schedulers.StepLR(o, 5, 0.1), None),
        (lambda o: torch_schedulers.ReduceLROnPlateau(o, patience=0), [1.0] * 10),
    ):
        optimizer, scheduler = _built(make)
        used(optimizer, scheduler, 10, metrics)
        optimizer, resumed = _built(make)
        resumed.load_state_dict(scheduler.state_dict())
        assert rates(optimizer) == [0.1]
        assert resumed.get_last_lr()[0] < 0.0011
    for make in MINE.values():
        _, state = saved(make, 10, 0.1)
        optimizer, resumed = _built(make)
        resumed.load_state_dict(state)
        assert rates(optimizer) == resumed.get_last_lr() == resumed.next_lr == resumed.lr_at(10)


def test_4_training_longer_than_the_checkpoint_meant_to():
    def cosine_annealing(total):
        return lambda o: torch_schedulers.CosineAnnealingLR(o, total)

    _, state = saved(cosine_annealing(50), 40, 0.1)
    optimizer, scheduler = _built(cosine_annealing(100))
    scheduler.load_state_dict(state)
    assert scheduler.T_max == 50  # replaced without a word
    assert used(optimizer, scheduler, 60)[-1] > 0.09  # and the rate has risen again

    def one_cycle(total):
        return lambda o: torch_schedulers.OneCycleLR(o, 0.1, total_steps=total)

    _, state = saved(one_cycle(50), 40, 0.1)
    optimizer, scheduler = _built(one_cycle(100))
    scheduler.load_state_dict(state)
    with pytest.raises(ValueError, match="Tried to step 51 times"):
        used(optimizer, scheduler, 60)

    _, state = saved(ours(cosine(), 50), 40, 0.1)
    optimizer, scheduler = _built(ours(cosine(), 100))
    with pytest.raises(StateError, match="total: checkpoint 50, here 100"):
        scheduler.load_state_dict(state)
    scheduler.load_state_dict(state, on_mismatch="mine")
    assert used(optimizer, scheduler, 60) == [0.1 * cosine(100)(t) for t in range(40, 100)]
    optimizer, scheduler = _built(ours(cosine(), 100))
    scheduler.load_state_dict(state, on_mismatch="theirs")
    assert used(optimizer, scheduler, 60) == [0.1 * cosine(50)(t) for t in range(40, 100)]


def test_5_resuming_with_a_new_base_rate():
    def half_cosine(o):
        return torch_schedulers.CosineAnnealingLR(o, 40)

    states = saved(half_cosine, 20, 0.1)
    optimizer, scheduler = _built(half_cosine, lr=0.01)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    assert rates(optimizer) == pytest.approx([0.05])  # the 0.01 that was asked for is forgotten

    states = saved(ours(cosine(40)), 20, 0.1)
    for optimizer_first in (False, True):
        optimizer = sgd(0.01)
        if optimizer_first:
            optimizer.load_state_dict(states[0])
        scheduler = Scheduler(optimizer, cosine(40), base=0.01)
        if not optimizer_first:
            optimizer.load_state_dict(states[0])
        scheduler.load_state_dict(states[1])
        assert rates(optimizer) == [pytest.approx(0.005)]
        assert used(optimizer, scheduler, 20) == [0.01 * cosine(40)(t) for t in range(20, 40)]


def test_6_a_checkpoint_of_another_schedule():
    _, state = saved(lambda o: torch_schedulers.ExponentialLR(o, 0.9), 10, 0.1)
    _, scheduler = _built(lambda o: torch_schedulers.CosineAnnealingLR(o, 40))
    scheduler.load_state_dict(state)
    assert scheduler.gamma == 0.9  # of an ExponentialLR, in a CosineAnnealingLR

    _, state = saved(ours(exponential(40, gamma=0.9)), 10, 0.1)
    _, scheduler = _built(ours(cosine(40)))
    with pytest.raises(StateError) as refused:
        scheduler.load_state_dict(state)
    assert "exponential(40, gamma=0.9)" in str(refused.value)
    assert "cosine(40)" in str(refused.value)
    with pytest.raises(Exception, match="seek"):  # nor of another library
        scheduler.load_state_dict(saved(lambda o: torch_schedulers.StepLR(o, 3), 4)[1])


def test_27_what_the_state_says_of_the_schedule():
    assert saved(STOCK["LambdaLR"], 3)[1]["lr_lambdas"] == [None]
    _, state = saved(lambda o: get_linear_schedule_with_warmup(o, 10, 100), 50)
    assert state["lr_lambdas"] == [{}]
    optimizer, scheduler = _built(lambda o: get_linear_schedule_with_warmup(o, 10, 1000))
    scheduler.load_state_dict(state)  # of 100 updates, into one of 1000
    optimizer.step()
    scheduler.step()
    assert rates(optimizer)[0] > 0.095
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(STOCK["LambdaLR"](sgd()).lr_lambdas)

    plan = (warmup(10) >> linear()).resolve(100)
    assert pickle.loads(pickle.dumps(plan)) == plan
    _, state = saved(ours(plan), 50)
    assert json.loads(json.dumps(state)) == state
    assert "linear" in json.dumps(state)
    with pytest.raises(StateError, match="100"):
        _built(ours(warmup(10) >> linear(), 1000))[1].load_state_dict(state)


def test_31_a_rate_that_is_a_float32_tensor_does_not_drift():
    gamma, updates = 0.9999, 20_000
    theirs, mine = sgd(0.1, tensor=True), sgd(0.1, tensor=True)
    recursive = torch_schedulers.ExponentialLR(theirs, gamma)
    absolute = Scheduler(mine, exponential(updates, gamma=gamma))
    theirs.step()
    for _ in range(updates):
        recursive.step()
        absolute.step()
    exact = 0.1 * gamma**updates
    assert abs(rates(theirs)[0] / exact - 1) > 1e-5
    assert abs(rates(mine)[0] / exact - 1) < 1e-6
    assert isinstance(mine.param_groups[0]["lr"], torch.Tensor)
    # With Python floats the recursive form is no problem.
    floats = sgd(0.1)
    used(floats, torch_schedulers.ExponentialLR(floats, gamma), 1000)
    assert rates(floats)[0] == pytest.approx(0.1 * gamma**1000, rel=1e-12)
