"""Complaints about groups, tensors and what is written where.

Rows 16, 22, 28, 29, 32 and 34–36 of docs/complaints.md.
"""

import math
import warnings

import pytest
import pytorch_warmup
import torch
from timm.scheduler import CosineLRScheduler
from torch.optim import lr_scheduler as torch_schedulers
from transformers import get_linear_schedule_with_warmup
from transformers.optimization import GreedyLR

from surefoot import Scheduler, layer_decay
from surefoot.schedules import cosine, exponential, hold, linear, plateau, warmup
from tests.peers.loops import rates, sgd, used
from tests.peers.test_complaints_resume import STOCK


def _with_a_late_group(make):
    """Return the rates after a group of the same rate came at update 3, or what was raised."""
    optimizer = sgd(0.1)
    scheduler = make(optimizer)
    used(optimizer, scheduler, 3)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.1})
    try:
        used(optimizer, scheduler, 18)
    except (KeyError, ValueError) as error:
        return error
    return rates(optimizer)


def test_16_a_group_that_is_added_later():
    found = {name: _with_a_late_group(make) for name, make in STOCK.items()}
    raised = {name for name, rates in found.items() if isinstance(rates, Exception)}
    assert raised == {
        "CosineAnnealingWarmRestarts", "LambdaLR", "MultiplicativeLR", "CyclicLR", "OneCycleLR",
        "SequentialLR",
    }  # fmt: skip
    cosine_annealing = _with_a_late_group(lambda o: torch_schedulers.CosineAnnealingLR(o, 10))
    assert isinstance(cosine_annealing, ValueError)  # where its curve turns
    constant = _with_a_late_group(lambda o: torch_schedulers.ConstantLR(o, 1 / 3, 5))
    assert constant == pytest.approx([0.1, 0.3])  # three times what was asked for
    for plan in (warmup(5) >> cosine(35), exponential(40, gamma=0.9), linear(40, floor=0.1)):
        mine = _with_a_late_group(lambda o, plan=plan: Scheduler(o, plan))
        assert mine == [0.1 * plan(21)] * 2


def test_22_updates_that_a_scaler_skipped():
    def three_overflows(make):
        parameter = torch.nn.Parameter(torch.ones(1))
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        scaler = torch.amp.GradScaler("cpu")
        scheduler = make(optimizer, scaler)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale((parameter * math.inf).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
        assert parameter.item() == 1.0
        return scheduler, optimizer

    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        theirs, _ = three_overflows(lambda o, _: torch_schedulers.LinearLR(o))
    assert theirs.last_epoch == 3  # the optimizer made no update
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine, optimizer = three_overflows(
            lambda o, scaler: Scheduler(o, warmup(10), total=10, scaler=scaler)
        )
    assert mine.updates == 0
    assert rates(optimizer) == mine.next_lr == mine.lr_at(0)


def test_28_the_rate_of_any_update():
    optimizer = sgd(0.1)
    scheduler = torch_schedulers.ExponentialLR(optimizer, 0.5)
    used(optimizer, scheduler, 1)
    with pytest.warns(UserWarning, match="get_last_lr"):
        answer = scheduler.get_lr()
    assert (rates(optimizer), answer) == ([0.05], [0.025])  # neither the last 0.1 nor the next
    assert not hasattr(scheduler, "lr_at")

    optimizer = sgd(0.1)
    scheduler = Scheduler(optimizer, exponential(40, gamma=0.5))
    used(optimizer, scheduler, 1)
    assert (scheduler.last_lr, scheduler.next_lr, scheduler.get_lr()) == ([0.1], [0.05], [0.05])
    assert scheduler.lr_at(3) == [pytest.approx(0.0125)]
    assert scheduler.updates == 1


def test_29_the_rate_that_is_logged_is_the_one_that_was_used():
    def logged(make, ask):
        optimizer = sgd(0.1)
        scheduler = make(optimizer)
        seen, log = [], []
        for _ in range(5):
            seen += rates(optimizer)
            optimizer.step()
            scheduler.step()
            log += ask(scheduler)
        return seen, log

    def theirs(optimizer):
        return get_linear_schedule_with_warmup(optimizer, 0, 5)

    used_by_theirs, log = logged(theirs, lambda s: s.get_last_lr())
    assert log[:-1] == used_by_theirs[1:]  # each is the next one's
    used_by_ours, log = logged(lambda o: Scheduler(o, linear(5)), lambda s: s.last_lr)
    assert log == used_by_ours == used_by_theirs


def test_32_a_rate_that_is_set_by_hand():
    def after_a_hand(make):
        optimizer = sgd(0.1)
        scheduler = make(optimizer)
        used(optimizer, scheduler, 3)
        optimizer.param_groups[0]["lr"] = 1.0
        by_hand = used(optimizer, scheduler, 2)
        return by_hand[1] / 0.9**4

    def recursive(o):
        return torch_schedulers.ExponentialLR(o, 0.9)

    def closed(o):
        return torch_schedulers.LambdaLR(o, lambda t: 0.9**t)

    assert after_a_hand(recursive) > 1  # kept, and lowered from there
    assert after_a_hand(closed) == pytest.approx(0.1)  # gone, for the same curve
    plan = exponential(40, gamma=0.9)
    assert after_a_hand(lambda o: Scheduler(o, plan)) == pytest.approx(0.1)
    assert after_a_hand(lambda o: Scheduler(o, plan * hold(40))) == pytest.approx(0.1)


def test_34_a_warm_up_of_a_tensor():
    def dampened(tensor):
        optimizer = sgd(0.1, tensor=tensor)
        scheduler = torch_schedulers.StepLR(optimizer, 1000)
        factor = pytorch_warmup.LinearWarmup(optimizer, 10)
        for _ in range(3):
            optimizer.step()
            with factor.dampening():
                scheduler.step()
        return rates(optimizer)[0]

    assert dampened(tensor=False) == pytest.approx(0.04)
    assert dampened(tensor=True) == pytest.approx(0.00024)  # each dampens what was dampened
    for tensor in (False, True):
        optimizer = sgd(0.1, tensor=tensor)
        used(optimizer, Scheduler(optimizer, warmup(10) >> hold(), total=1000), 3)
        assert rates(optimizer) == [pytest.approx(0.04)]


def test_35_a_tensor_stays_the_same_tensor():
    optimizer = sgd(0.1, tensor=True)
    tensor = optimizer.param_groups[0]["lr"]
    timms = CosineLRScheduler(optimizer, t_initial=10, t_in_epochs=False)
    timms.step_update(3)
    assert optimizer.param_groups[0]["lr"] is not tensor

    optimizer = sgd(0.1, tensor=True)
    greedy = GreedyLR(optimizer, patience=1)
    for _ in range(5):
        greedy.step(1.0)
    assert isinstance(optimizer.param_groups[0]["lr"], float)

    optimizer = sgd(0.1, tensor=True)
    tensor = optimizer.param_groups[0]["lr"]
    scheduler = Scheduler(optimizer, "cosine()", total=10, control=plateau(patience=1))
    used(optimizer, scheduler, 5, [1.0] * 5)
    scheduler.load_state_dict(scheduler.state_dict())
    assert optimizer.param_groups[0]["lr"] is tensor
    assert float(tensor) < 0.05


def test_36_groups_whose_rates_are_scaled():
    def scaled(lr, **options):
        optimizer = sgd(0.1, lr)
        optimizer.param_groups[1].update(options)
        return optimizer

    timms, torchs, mine = scaled(0.1, lr_scale=0.5), scaled(0.1, lr_scale=0.5), scaled(0.05)
    CosineLRScheduler(timms, t_initial=10, t_in_epochs=False).step_update(3)
    used(torchs, torch_schedulers.CosineAnnealingLR(torchs, 10), 3)
    used(mine, Scheduler(mine, cosine(10)), 3)
    first = 0.1 * cosine(10)(3)
    assert rates(timms) == pytest.approx([first, first / 2])
    assert rates(torchs) == pytest.approx([first, first])  # the scale is not looked at
    assert rates(mine) == pytest.approx([first, first / 2])  # it is in the group's own rate


def test_36_groups_by_layer_hold_their_rates():
    model = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(3)])
    for make in (
        lambda o: torch_schedulers.CosineAnnealingLR(o, 10),
        lambda o: Scheduler(o, cosine(10)),
    ):
        optimizer = torch.optim.SGD(layer_decay(model, 0.5, lr=0.1), lr=0.1)
        used(optimizer, make(optimizer), 3)
        now = 0.1 * cosine(10)(3)
        assert rates(optimizer) == pytest.approx([now / 4, now / 2, now])
