"""Complaints about control by a metric: rows 11–15 of docs/complaints.md."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau, SequentialLR

from surefoot import InputError, Scheduler
from surefoot.schedules import cosine, hold, plateau, warmup
from tests.peers.loops import rates, sgd, used


def controlled(optimizer, plan="hold()", total=100, **options):
    return Scheduler(optimizer, plan, total=total, control=plateau(**options))


def test_11_a_warm_up_and_then_control_by_a_metric():
    optimizer = sgd()
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        SequentialLR(optimizer, [LinearLR(optimizer, 0.1), ReduceLROnPlateau(optimizer)], [5])

    plan = (warmup(4) >> cosine()).resolve(20)
    metrics = [1.0, 0.5, 0.4] + [0.39999] * 17
    seen = used(optimizer, controlled(optimizer, plan, 20, patience=3), 20, metrics)
    assert seen[:6] == [plan(t) for t in range(6)]
    assert seen[6:9] == [0.5 * plan(t) for t in range(6, 9)]
    assert seen[9:12] == [0.25 * plan(t) for t in range(9, 12)]


def test_12_a_metric_that_is_negative_and_gets_steadily_worse():
    worse = [-10 * (1 - 5e-5) ** k for k in range(60)]
    assert worse[-1] > worse[0]
    optimizer = sgd(0.1)
    used(optimizer, ReduceLROnPlateau(optimizer, patience=3), 60, worse)
    assert rates(optimizer) == [0.1]  # each of them is "better" by 0.01 % of itself
    optimizer = sgd(0.1)
    used(optimizer, controlled(optimizer, patience=3, raise_after=None), 60, worse)
    assert rates(optimizer)[0] < 0.001

    better = [-10 * (1 + 0.01) ** k for k in range(60)]
    optimizer = sgd(0.1)
    used(optimizer, controlled(optimizer, patience=3), 60, better)
    assert rates(optimizer) == [0.1]


def test_13_a_lucky_value_and_then_steady_improvement():
    falling = [100 * 0.95**k for k in range(60)]
    metrics = [0.5, *falling]
    assert min(falling) > 0.5
    optimizer = sgd(0.1)
    used(optimizer, ReduceLROnPlateau(optimizer, patience=2), 61, metrics)
    assert rates(optimizer)[0] < 1.1e-8  # while the metric fell sixty times in a row
    optimizer = sgd(0.1)
    used(optimizer, controlled(optimizer, patience=3), 61, metrics)
    assert rates(optimizer) == [0.1]


def test_14_a_metric_that_is_no_number():
    optimizer = sgd(0.1)
    used(optimizer, ReduceLROnPlateau(optimizer, patience=2), 4, [1.0, *[math.nan] * 3])
    assert rates(optimizer) == [pytest.approx(0.01)]
    optimizer = sgd(0.1)
    with pytest.raises(InputError, match="metric must be finite"):
        used(optimizer, controlled(optimizer, patience=2), 4, [1.0, *[math.nan] * 3])
    for policy, rate in (("ignore", 0.1), ("bad", 0.05), ("lower", 0.0125)):
        optimizer = sgd(0.1)
        scheduler = controlled(optimizer, patience=3, on_nan=policy)
        used(optimizer, scheduler, 4, [1.0, *[math.nan] * 3])
        assert rates(optimizer) == [pytest.approx(rate)]


def test_15_the_last_rate_can_be_asked_for():
    optimizer = sgd(0.1)
    assert ReduceLROnPlateau(optimizer).get_last_lr() == [0.1]  # torch has mended this
    assert controlled(optimizer).get_last_lr() == [0.1]


def test_control_writes_into_a_tensor():
    optimizer = sgd(0.5, tensor=True)
    tensor = optimizer.param_groups[0]["lr"]
    scheduler = Scheduler(optimizer, hold(), total=9, control=plateau(factor=0.5, patience=1))
    used(optimizer, scheduler, 3, [1.0, 1.0, 1.0])
    assert optimizer.param_groups[0]["lr"] is tensor
    assert torch.equal(tensor, torch.tensor(0.125))
