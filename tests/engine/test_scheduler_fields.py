"""Schedules of more than the lr, and of each group by itself."""

import math

import pytest
import torch
from torch import nn

from surefoot import InputError, Scheduler
from surefoot.errors import StateError
from surefoot.schedules import constant, cosine, hold, linear, plateau, step, warmup


def parameters():
    return [nn.Parameter(torch.ones(2))]


def adam(*lrs, **options):
    groups = [{"params": parameters(), "lr": lr} for lr in lrs]
    return torch.optim.AdamW(groups, **({"weight_decay": 0.1, "betas": (0.9, 0.99)} | options))


def sgd(momentum=0.9):
    return torch.optim.SGD(parameters(), lr=0.1, momentum=momentum)


def test_every_field_is_its_own_value_times_its_factor():
    optimizer = adam(0.1, 0.2)
    optimizer.param_groups[1]["weight_decay"] = 0.4
    plans = {"lr": linear(10), "weight_decay": cosine(10), "betas.0": linear(10, floor=0.5)}
    scheduler = Scheduler(optimizer, plans)
    for t in range(12):
        for group, lr, decay in zip(optimizer.param_groups, (0.1, 0.2), (0.1, 0.4), strict=True):
            assert group["lr"] == lr * linear(10)(t)
            assert group["weight_decay"] == decay * cosine(10)(t)
            assert group["betas"] == (0.9 * linear(10, floor=0.5)(t), 0.99)
        optimizer.step()
        scheduler.step()
        assert scheduler.last_lr == [0.1 * linear(10)(t), 0.2 * linear(10)(t)]


def test_the_own_values_are_kept_in_the_groups():
    optimizer = adam(0.1)
    Scheduler(optimizer, {"lr": hold(3), "weight_decay": hold(3), "betas.1": hold(3)})
    group = optimizer.param_groups[0]
    assert group["initial_lr"] == 0.1
    assert group["initial_weight_decay"] == 0.1
    assert group["initial_betas.1"] == 0.99
    assert "initial_betas.0" not in group


def test_momentum_of_sgd_and_every_other_number_of_a_group_can_be_scheduled():
    optimizer = sgd()
    optimizer.param_groups[0]["ratio"] = 3
    Scheduler(optimizer, {"lr": hold(4), "momentum": linear(4), "ratio": 0.5}).seek(2)
    assert optimizer.param_groups[0]["momentum"] == 0.45
    assert optimizer.param_groups[0]["ratio"] == 1.5


def test_where_the_lr_is_not_scheduled_it_is_left_alone():
    optimizer = sgd()
    scheduler = Scheduler(optimizer, {"momentum": linear(4)})
    optimizer.param_groups[0]["lr"] = 0.7
    scheduler.step()
    assert "initial_lr" not in optimizer.param_groups[0]
    assert optimizer.param_groups[0]["lr"] == 0.7
    assert scheduler.last_lr == scheduler.next_lr == scheduler.lr_at(3) == [0.7]
    assert optimizer.param_groups[0]["momentum"] == 0.9 * 0.75


def test_tensors_are_filled_in_place_wherever_they_stand():
    lr, first, second, decay = (torch.tensor(x) for x in (0.1, 0.9, 0.99, 0.5))
    optimizer = torch.optim.AdamW(
        parameters(), lr=lr, betas=(first, second), weight_decay=decay, capturable=True
    )
    plans = {"lr": linear(4), "betas.0": linear(4, floor=0.5), "weight_decay": linear(4)}
    scheduler = Scheduler(optimizer, plans)
    scheduler.step()
    group = optimizer.param_groups[0]
    assert group["lr"] is lr
    assert group["betas"][0] is first
    assert group["betas"][1] is second
    assert group["weight_decay"] is decay
    assert (lr.item(), decay.item()) == pytest.approx((0.075, 0.375))
    assert first.item() == pytest.approx(0.9 * 0.875)


def test_a_tensor_lr_shows_as_it_was_written_and_not_in_the_precision_of_the_tensor():
    optimizer = adam(torch.tensor(0.1), capturable=True)
    scheduler = Scheduler(optimizer, linear(10))
    base = optimizer.param_groups[0]["initial_lr"]
    for t in range(3):
        assert scheduler.next_lr == scheduler.get_last_lr() == [base * linear(10)(t)]
        scheduler.step()
        assert scheduler.last_lr == [base * linear(10)(t)]


@pytest.mark.parametrize("as_tensor", [False, True])
def test_each_group_follows_its_own_schedule_and_a_late_one_the_last(as_tensor):
    lrs = [torch.tensor(0.5) if as_tensor else 0.5 for _ in range(2)]
    optimizer = adam(*lrs, capturable=as_tensor)
    scheduler = Scheduler(optimizer, [linear(4), "warmup(4)"])
    assert scheduler.last_lr == scheduler.next_lr == [0.5, 0.125]
    scheduler.step()
    assert (scheduler.last_lr, scheduler.next_lr) == ([0.5, 0.125], [0.375, 0.25])
    late = torch.tensor(2.0) if as_tensor else 2.0
    optimizer.add_param_group({"params": parameters(), "lr": late})
    assert scheduler.next_lr == [0.375, 0.25, 2.0]
    scheduler.step()
    assert scheduler.last_lr == [0.375, 0.25, 2.0]
    assert scheduler.next_lr == [0.25, 0.375, 2.0 * 0.75]
    assert [float(group["lr"]) for group in optimizer.param_groups] == scheduler.next_lr
    assert scheduler.schedules == {"lr": [linear(4), warmup(4)]}


def test_any_field_may_have_a_schedule_for_each_group():
    optimizer = adam(0.1, 0.2)
    Scheduler(optimizer, {"weight_decay": [linear(4), hold(4)]}).seek(2)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.1]


def test_the_names_that_torch_uses_are_there_for_those_who_read_them():
    scheduler = Scheduler(adam(0.1), linear(4))
    scheduler.step()
    assert scheduler._last_lr == scheduler.get_last_lr() == [0.1 * 0.75]
    assert (scheduler.base_lrs, scheduler.last_epoch, scheduler._step_count) == ([0.1], 1, 2)
    scheduler._step_count += 1  # Accelerate does so
    assert scheduler._step_count == 3


def test_a_late_group_is_adopted_in_every_field():
    optimizer = adam(0.1)
    scheduler = Scheduler(optimizer, {"lr": linear(4), "weight_decay": [linear(4)]})
    optimizer.add_param_group({"params": parameters(), "lr": 1.0, "weight_decay": 0.8})
    scheduler.step()
    assert optimizer.param_groups[1]["lr"] == 0.75
    assert optimizer.param_groups[1]["weight_decay"] == pytest.approx(0.6)
    assert scheduler.state_dict()["base"] == {"lr": [0.1, 1.0], "weight_decay": [0.1, 0.8]}


def test_groups_may_have_the_value_0_as_long_as_one_has_not():
    optimizer = adam(0.1, 0.1)
    optimizer.param_groups[0]["weight_decay"] = 0.0
    Scheduler(optimizer, {"lr": 1.0, "weight_decay": linear(4)}).step()
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.1 * 0.75]


def test_closed_schedules_tell_the_total_of_open_ones():
    scheduler = Scheduler(adam(0.1), {"lr": linear(8), "weight_decay": "warmup(2) >> hold()"})
    assert scheduler.total == 8
    assert scheduler.schedules["weight_decay"] == warmup(2) >> hold(6)


def test_an_automatic_warm_up_asks_the_optimizer_for_its_beta2():
    known, none = adam(0.1, betas=(0.9, 0.98)), sgd()
    assert Scheduler(known, "warmup('auto') >> hold()", total=5000).schedules == {
        "lr": warmup(100) >> hold(4900)
    }
    assert Scheduler(none, "warmup('auto') >> hold()", total=5000).schedules == {
        "lr": warmup(500) >> hold(4500)
    }


def test_values_of_the_fields_come_back_with_a_checkpoint():
    plans = {"lr": [linear(9), step(2, duration=9)], "weight_decay": linear(9), "betas.0": 0.5}
    one, other = adam(0.1, 0.2), adam(0.1, 0.2)
    saved = Scheduler(one, plans)
    saved.seek(5)
    loaded = Scheduler(other, plans)
    loaded.load_state_dict(saved.state_dict())
    for mine, theirs in zip(one.param_groups, other.param_groups, strict=True):
        assert {k: v for k, v in mine.items() if k != "params"} == {
            k: v for k, v in theirs.items() if k != "params"
        }


def test_other_fields_are_a_mismatch_and_theirs_are_taken():
    one, other = adam(0.1), adam(0.1, weight_decay=0.3)
    saved = Scheduler(one, {"lr": linear(9), "weight_decay": [cosine(9)]})
    saved.seek(4)
    loaded = Scheduler(other, linear(9))
    with pytest.raises(StateError, match="fields: checkpoint lr, weight_decay, here lr\n"):
        loaded.load_state_dict(saved.state_dict())
    loaded.load_state_dict(saved.state_dict(), "theirs")
    assert other.param_groups[0]["weight_decay"] == 0.1 * cosine(9)(4)
    assert loaded.state_dict() == saved.state_dict()


def test_another_weight_decay_than_the_checkpoints_is_a_mismatch():
    plans = {"lr": linear(9), "weight_decay": linear(9)}
    saved = Scheduler(adam(0.1), plans).state_dict()
    other = adam(0.1, weight_decay=0.3)
    loaded = Scheduler(other, plans, base=0.5)
    with pytest.raises(StateError, match=r"base of weight_decay: checkpoint \[0.1\], here \[0.3\]"):
        loaded.load_state_dict(saved)
    loaded.load_state_dict(saved, "mine")
    assert other.param_groups[0]["weight_decay"] == 0.3
    assert loaded.base_lrs == [0.5]


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        (
            {"momentum": 1.0},
            "'momentum', which group 0 of AdamW does not have .* it has lr, betas.",
        ),
        ({"betas": 1.0}, "'betas', which group 0 of AdamW does not have as a number"),
        ({"betas.2": 1.0}, "'betas.2', which group 0"),
        ({"betas.x": 1.0}, "'betas.x', which group 0"),
        ({"amsgrad": 1.0}, "'amsgrad', which group 0"),
        ({"params": 1.0}, "'params', which group 0"),
        ({3: 1.0}, "has the field 3, which"),
        ({"weight_decay": linear(3)}, "'weight_decay', which is 0 in every group of AdamW"),
        ([linear(3)], "a list of 1 for 'lr', and the optimizer has 2"),
        ({"lr": [linear(3)] * 3}, "a list of 3 for 'lr', and the optimizer has 2"),
        ({"lr": [1.0, None]}, "schedule"),
        ({"lr": "hold()", "betas.0": "hold()"}, "total must be given, in updates"),
        ({"betas.0": 1.2 * hold(3)}, "takes betas.0 of group 0 from 0.9 to 1.08, and it must st"),
        ({"betas.1": [hold(3), 1.5 * hold(3)]}, "betas.1 of group 1 from 0.99 to 1.485"),
    ],
)
def test_says_what_is_not_allowed(plans, said):
    optimizer = adam(0.1, 0.2, weight_decay=0.0)
    with pytest.raises(InputError, match=said):
        Scheduler(optimizer, plans, total=None if "hold()" in str(plans) else 10)
    assert "initial_lr" not in optimizer.param_groups[0]


@pytest.mark.parametrize("options", [{"base": 0.1}, {"control": plateau()}])
def test_what_is_about_the_lr_needs_the_lr(options):
    with pytest.raises(InputError, match="schedules must have the field 'lr'"):
        Scheduler(sgd(), {"momentum": linear(4)}, **options)


def test_an_lr_of_0_is_refused_unless_a_base_is_given():
    optimizer = torch.optim.SGD(parameters(), lr=0.0)
    with pytest.raises(InputError, match="'lr', which is 0 in every group of SGD"):
        Scheduler(optimizer, hold(3))
    assert Scheduler(optimizer, hold(3), base=0.1).next_lr == [0.1]


def test_a_factor_above_1_is_fine_where_the_product_stays_below():
    optimizer = sgd(momentum=0.5)
    Scheduler(optimizer, {"momentum": constant(1.9, 5)})
    assert math.isclose(optimizer.param_groups[0]["momentum"], 0.95)
