import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

import surefoot as sf
from surefoot import InputError, Scheduler
from surefoot.errors import StateError
from surefoot.schedules import cosine, cyclic, exponential, hold, linear, step, warmup
from tests.exact import training, update

PLANS = {
    "cosine": cosine(20, floor=0.1),
    "warm up, hold, decay": warmup(5) >> hold(5) >> linear(10),
    "staircase": step(4, drop=0.5, duration=20),
    "triangles": cyclic(6, duration=20),
    "product": warmup(5) * exponential(20, floor=0.01),
}
BASES = (0.01, 0.03)


def rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


@pytest.mark.parametrize("name", PLANS)
def test_each_update_uses_base_times_factor(name):
    model, optimizer = training()
    scheduler = Scheduler(optimizer, PLANS[name])
    for number in range(25):
        expected = [base * PLANS[name](number) for base in BASES]
        assert rates(optimizer) == expected
        assert scheduler.next_lr == scheduler.get_last_lr() == scheduler.get_lr() == expected
        assert scheduler.lr_at(number) == expected
        assert scheduler.updates == number
        update(model, optimizer)
        scheduler.step()
        assert scheduler.last_lr == expected


def test_it_is_a_torch_scheduler_and_leaves_the_optimizer_unpatched():
    _, optimizer = training()
    names, function = set(vars(optimizer)), type(optimizer).step
    scheduler = Scheduler(optimizer, cosine(10))
    assert isinstance(scheduler, LRScheduler)
    assert set(vars(optimizer)) == names
    assert "step" not in vars(optimizer)
    assert type(optimizer).step is function


def test_get_last_lr_agrees_with_torchs_scheduler_of_the_same_formula():
    (_, mine), (_, theirs) = training(), training()
    scheduler = Scheduler(mine, PLANS["cosine"])
    twin = torch.optim.lr_scheduler.LambdaLR(theirs, lambda epoch: PLANS["cosine"](epoch))
    for _ in range(12):
        assert scheduler.get_last_lr() == twin.get_last_lr()
        assert scheduler.last_epoch == twin.last_epoch
        for each, stepper in ((mine, scheduler), (theirs, twin)):
            each.step()
            stepper.step()


def test_a_tensor_lr_is_filled_in_place():
    lr = torch.tensor(0.5)
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(1))], lr=lr)
    scheduler = Scheduler(optimizer, linear(4))
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.375


def test_a_late_group_follows_from_its_own_lr():
    _, optimizer = training()
    scheduler = Scheduler(optimizer, linear(10))
    scheduler.step()
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 2.0})
    scheduler.step()
    assert rates(optimizer) == [base * linear(10)(2) for base in (*BASES, 2.0)]
    assert scheduler.base_lrs == [*BASES, 2.0]
    assert scheduler.state_dict()["base"] == {"lr": [*BASES, 2.0]}


def test_a_rate_set_by_hand_lasts_until_the_next_step_and_nothing_drifts():
    _, optimizer = training()
    scheduler = Scheduler(optimizer, linear(10))
    optimizer.param_groups[0]["lr"] = 7.0
    assert scheduler.next_lr[0] == 7.0
    scheduler.step()
    assert scheduler.last_lr[0] == 7.0
    assert rates(optimizer) == [base * 0.9 for base in BASES]


def test_seek_jumps_both_ways():
    _, optimizer = training()
    scheduler = Scheduler(optimizer, linear(10))
    for target in (7, 2, 0, 10**6):
        scheduler.seek(target)
        assert scheduler.updates == target
        assert scheduler._step_count == target + 1
        assert rates(optimizer) == [base * linear(10)(target) for base in BASES]


def test_a_base_keeps_frozen_groups_frozen():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
    parts = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters()}]
    optimizer = torch.optim.SGD(parts, lr=0.0)
    scheduler = Scheduler(optimizer, hold(5), base=0.2)
    assert scheduler.base_lrs == [0.2, 0.0]
    saved = scheduler.state_dict()
    other = Scheduler(optimizer, linear(5), base=0.1)
    other.load_state_dict(saved, on_mismatch="theirs")
    assert other.base_lrs == [0.2, 0.0]


def groups_with(*lrs, **options):
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=0.0, **options)


@pytest.mark.parametrize(
    ("lrs", "base", "expected"),
    [
        ((0.0, 0.1, 0.3), 0.2, [0.0, 0.2, 0.6]),  # a number is of the first that is not frozen
        ((0.0, 0.1), [0.0, 0.2], [0.0, 0.2]),
        ((0.0, 0.1), [0.5, 0.2], [0.5, 0.2]),
        ((0.1, 0.3), torch.tensor(0.25), [0.25, 0.75]),
        ((0.1, 0.3), np.float32(0.25), [0.25, 0.75]),
        ((0.1, 0.3), np.array(0.25), [0.25, 0.75]),
        ((0.1, 0.3), torch.tensor([0.25, 0.5]), [0.25, 0.5]),
        ((0.1, 0.3), [torch.tensor(0.25), np.float64(0.5)], [0.25, 0.5]),
        ((0.1, 0.3), (each for each in (0.25, 0.5)), [0.25, 0.5]),
        ((0.0,), 0.25, [0.25]),
    ],
)
def test_a_base_is_one_number_or_a_list_and_frozen_groups_stay(lrs, base, expected):
    optimizer = groups_with(*lrs)
    scheduler = Scheduler(optimizer, hold(5), base=base)
    assert scheduler.base_lrs == rates(optimizer) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lrs", "base", "said"),
    [
        ((0.0, 0.0), 0.2, "base must be a list of 2 rates.* no ratio to keep"),
        ((0.0, 0.0), [0.0, 0.0], "base must hold a rate above 0 for one group at least"),
        ((0.1, 0.1), [0.1, 0.0], r"base\[1\] must be a finite learning rate greater than 0"),
        ((0.0, 0.1), [-0.1, 0.1], r"base\[0\] must be a finite learning rate greater than 0"),
        ((0.0, 0.1), ["x", 0.1], r"base\[0\] must be a number, not 'x'"),
        ((0.1, 0.1), {0: 0.1, 1: 0.2}, "base must be one rate or a list .*, not a dict"),
        ((0.1, 0.1), {0.1, 0.2}, "base must be one rate or a list .*, not a set"),
        ((0.1, 0.1), [], "base must hold 2 rates, one for each group, not 0"),
    ],
)
def test_a_base_that_is_none_is_refused(lrs, base, said):
    optimizer = groups_with(*lrs)
    with pytest.raises(InputError, match=said):
        Scheduler(optimizer, hold(5), base=base)
    assert all("initial_lr" not in group for group in optimizer.param_groups)


@pytest.mark.parametrize("base", [0.5, [0.5, 0.25], np.array([0.5, 0.25]), (0.5, 0.25)])
def test_base_replaces_the_groups_own(base):
    _, optimizer = training()
    scheduler = Scheduler(optimizer, hold(5), base=base)
    expected = [0.5, 1.5] if isinstance(base, float) else [0.5, 0.25]  # a number keeps ratios
    assert rates(optimizer) == scheduler.base_lrs == expected


def test_initial_lr_of_an_earlier_scheduler_is_the_base():
    _, optimizer = training()
    for _ in range(3):
        Scheduler(optimizer, linear(10)).step()
    assert Scheduler(optimizer, linear(10)).base_lrs == list(BASES)


def test_text_and_total_resolve_the_schedule():
    _, optimizer = training()
    scheduler = Scheduler(optimizer, "warmup('10%') >> cosine('2 epochs')", total=20,
                          updates_per_epoch=9)  # fmt: skip
    assert scheduler.schedules == {"lr": warmup(2) >> cosine(18)}
    assert scheduler.total == 20


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(PLANS)),
    stop=st.integers(0, 24),
    optimizer_first=st.booleans(),
    new_base=st.booleans(),
)
def test_a_resumed_run_is_bit_identical_at_every_update(name, stop, optimizer_first, new_base):
    def fresh():
        model, optimizer = training()
        return model, optimizer, Scheduler(optimizer, PLANS[name])

    def go(model, optimizer, scheduler, count):
        for _ in range(count):
            update(model, optimizer)
            scheduler.step()
        return rates(optimizer)

    torch.manual_seed(0)
    model, optimizer, scheduler = fresh()
    go(model, optimizer, scheduler, stop)
    checkpoint = copy.deepcopy(
        [model.state_dict(), optimizer.state_dict(), scheduler.state_dict(), rates(optimizer)]
    )
    expected = [go(model, optimizer, scheduler, 1) for _ in range(3)]
    model, optimizer, scheduler = fresh()
    model.load_state_dict(checkpoint[0])
    loads = [
        lambda: optimizer.load_state_dict(checkpoint[1]),
        lambda: scheduler.load_state_dict(checkpoint[2]),
    ]
    for load in loads if optimizer_first else loads[::-1]:
        load()
    assert rates(optimizer) == checkpoint[3]
    assert scheduler.updates == stop
    assert [go(model, optimizer, scheduler, 1) for _ in range(3)] == expected


def test_a_state_of_another_schedule_is_refused_and_nothing_changes():
    _, optimizer = training()
    saved = Scheduler(optimizer, linear(10)).state_dict()
    scheduler = Scheduler(optimizer, cosine(10))
    scheduler.step()
    before = (scheduler.state_dict(), rates(optimizer))
    with pytest.raises(
        StateError, match=r"schedule of lr: checkpoint linear\(10\), here cosine\(10"
    ):
        scheduler.load_state_dict(saved)
    assert (scheduler.state_dict(), rates(optimizer)) == before


@pytest.mark.parametrize("choice", ["mine", "theirs"])
def test_on_a_mismatch_the_user_chooses(choice):
    (_, theirs), (_, mine) = training(), training()
    other = Scheduler(theirs, linear(10), base=[1.0, 2.0])
    other.seek(3)
    scheduler = Scheduler(mine, cosine(10))
    scheduler.load_state_dict(other.state_dict(), on_mismatch=choice)
    plan, base = (cosine(10), BASES) if choice == "mine" else (linear(10), (1.0, 2.0))
    assert scheduler.updates == 3
    assert scheduler.schedules == {"lr": plan}
    assert rates(mine) == [each * plan(3) for each in base]
    assert scheduler.base_lrs == list(base)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base": {"lr": [1.0]}}, "base must hold 2 values, one for each group, not 1"),
        ({"base": {"lr": [1.0, -1.0]}}, r"state_dict\['base'\]\['lr'\] must hold rates of at le"),
        ({"base": {"lr": 1.0}}, r"state_dict\['base'\]\['lr'\] must be a list"),
        ({"base": [1.0]}, r"state_dict\['base'\] must be a dict"),
        ({"base": {"momentum": [1.0]}}, "base values of the fields that it schedules"),
        ({"schedules": {"lr": {"type": "linear"}}}, "which is not resolved"),
        ({"schedules": {"lr": {"type": "nonsense"}}}, "nonsense"),
        ({"schedules": {"lr": []}}, "schedule"),
        ({"schedules": {"lr": 3}}, "must be a JSON object"),
        ({"control": 3}, r"state_dict\['control'\] must hold a controller"),
        ({"calls": -1}, r"state_dict\['calls'\] must be at least 0"),
        ({"total": {1}}, "must hold JSON types only"),
        ({"update": -1}, r"state_dict\['update'\] must be at least 0"),
        ({"update": "x"}, r"state_dict\['update'\] must be a whole number"),
        ({"version": 99}, "has version 99"),
    ],
)
def test_a_damaged_state_is_refused_and_nothing_changes(change, said):
    _, optimizer = training()
    scheduler = Scheduler(optimizer, linear(10))
    before = (scheduler.state_dict(), rates(optimizer))
    with pytest.raises(InputError, match=said):
        scheduler.load_state_dict({**scheduler.state_dict(), **change}, on_mismatch="theirs")
    assert (scheduler.state_dict(), rates(optimizer)) == before


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, r"it lacks \['base', 'calls', 'control', 'last_lr', 'schedules'"),
        ({"last_epoch": 3, "base_lrs": [1.0]}, "must come from a surefoot.Scheduler"),
        (None, "must be a dict, not a NoneType"),
    ],
)
def test_a_state_of_another_kind_is_refused(state, said):
    _, optimizer = training()
    with pytest.raises(InputError, match=said):
        Scheduler(optimizer, linear(10)).load_state_dict(state)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda o: Scheduler(nn.Linear(1, 1), hold(3)), "must be a torch.optim.Optimizer"),
        (lambda o: Scheduler(o, warmup(2) >> cosine()), "total must be given, in updates"),
        (lambda o: Scheduler(o, cosine(), total=0), "total must be at least 1"),
        (lambda o: Scheduler(o, cosine(9), total=5), "9 updates"),
        (lambda o: Scheduler(o, cosine("2 epochs"), total=9), "updates_per_epoch"),
        (lambda o: Scheduler(o, None), "schedule"),
        (lambda o: Scheduler(o, {}), "schedules must name at least one field"),
        (lambda o: Scheduler(o, hold(3), base=[0.1]), "base must hold 2 rates"),
        (lambda o: Scheduler(o, hold(3), base="x"), "base must be a finite|base must be a number"),
        (
            lambda o: Scheduler(o, hold(3), base=[0.1, 0.0]),
            r"base\[1\] must be a finite learning rate",
        ),
        (lambda o: Scheduler(o, hold(3), base=0), "base must be a finite learning rate"),
        (
            lambda o: Scheduler(o, hold(3)).step(3),
            r"no control=…; to jump to an update.* call seek",
        ),
        (lambda o: Scheduler(o, hold(3)).seek(-1), "update must be at least 0"),
        (lambda o: Scheduler(o, hold(3)).lr_at(1.5), "update must be a whole number"),
        (
            lambda o: Scheduler(o, hold(3)).load_state_dict({}, on_mismatch="ours"),
            "on_mismatch must be one of 'error', 'mine', 'theirs'",
        ),
    ],
)
def test_says_what_is_not_allowed(call, said):
    _, optimizer = training()
    with pytest.raises(InputError, match=said):
        call(optimizer)
    assert rates(optimizer) == list(BASES)


def test_a_wrong_base_leaves_the_groups_as_they_were():
    _, optimizer = training()
    with pytest.raises(InputError):
        Scheduler(optimizer, hold(3), base=[0.1, -1])
    assert "initial_lr" not in optimizer.param_groups[0]


def test_it_is_exported():
    assert sf.Scheduler is Scheduler
