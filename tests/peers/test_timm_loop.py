"""Loops as timm's train.py has them: ``step_update`` after updates, ``step`` after epochs."""

import pytest
from timm.scheduler import CosineLRScheduler

from surefoot import Scheduler
from surefoot.schedules import cosine, hold, plateau, warmup
from tests.peers.loops import rates, sgd

UPDATES, EPOCHS = 5, 6


def train(optimizer, after_update, after_epoch):
    """Return the rates of all updates; both functions are given what timm's loop gives them."""
    seen, number = [], 0
    for epoch in range(EPOCHS):
        for _ in range(UPDATES):
            seen += rates(optimizer)[:1]
            optimizer.step()
            number += 1
            after_update(number)
        after_epoch(epoch + 1, 1.0)
    return seen


def nothing(*_):
    return None


def test_a_step_for_each_epoch_as_timms_scheduler_makes_it():
    optimizer = sgd(0.1)
    timms = CosineLRScheduler(optimizer, t_initial=EPOCHS, lr_min=0.01)
    theirs = train(optimizer, nothing, lambda epoch, metric: timms.step(epoch, metric))
    optimizer = sgd(0.1)
    scheduler = Scheduler(optimizer, cosine(floor=0.1), total=EPOCHS)
    mine = train(optimizer, nothing, lambda epoch, metric: scheduler.step())
    assert mine == pytest.approx(theirs, rel=1e-12)
    assert len(set(mine)) == EPOCHS


def test_a_step_for_each_update_as_timms_scheduler_makes_it():
    optimizer, total = sgd(0.1), UPDATES * EPOCHS
    timms = CosineLRScheduler(
        optimizer,
        t_initial=total - 5,
        lr_min=0.01,
        warmup_t=5,
        warmup_lr_init=0.0,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    theirs = train(optimizer, timms.step_update, nothing)
    assert theirs[0] == 0  # their warm-up begins with an update that does nothing
    plan = warmup("1 epoch") >> cosine(floor=0.1)
    for after_update in (lambda s: lambda number: s.step(), lambda s: s.seek):
        optimizer = sgd(0.1)
        scheduler = Scheduler(optimizer, plan, total=total, updates_per_epoch=UPDATES)
        mine = train(optimizer, after_update(scheduler), nothing)
        assert mine[5:] == pytest.approx(theirs[5:], rel=1e-12)
        assert mine[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])


def test_a_step_for_each_update_and_a_metric_for_each_epoch():
    optimizer = sgd(0.1)
    control = plateau(factor=0.5, patience=2)
    scheduler = Scheduler(optimizer, hold(), total=UPDATES * EPOCHS, control=control)
    seen = train(
        optimizer,
        lambda number: scheduler.step(),
        lambda epoch, metric: scheduler.observe(metric),
    )
    assert seen == [0.1] * 3 * UPDATES + [0.05] * 2 * UPDATES + [0.025] * UPDATES


def test_groups_whose_rates_are_scaled_by_layer():
    """timm keeps ``lr_scale`` beside the rate; we, like torch, read the group's own rate."""
    optimizer = sgd(0.1, 0.1)
    optimizer.param_groups[1]["lr_scale"] = 0.5
    timms = CosineLRScheduler(optimizer, t_initial=EPOCHS)
    train(optimizer, nothing, lambda epoch, metric: timms.step(min(epoch, 4), metric))
    theirs = rates(optimizer)

    optimizer = sgd(0.1, 0.1)
    optimizer.param_groups[1]["lr_scale"] = 0.5
    own = [group["lr"] * group.get("lr_scale", 1.0) for group in optimizer.param_groups]
    scheduler = Scheduler(optimizer, cosine(), total=EPOCHS, base=own)
    scheduler.seek(4)
    assert rates(optimizer) == pytest.approx(theirs, rel=1e-12)
    assert theirs[1] == pytest.approx(theirs[0] / 2)
