"""When a checkpoint is of the same plan, and who writes when there are two schedulers."""

import copy
import gc
import json

import pytest
import torch
from torch import nn

from surefoot import InputError, Scheduler
from surefoot.errors import StateError
from surefoot.schedules import constant, cosine, hold, linear, one_cycle_momentum, table
from tests.engine.test_scheduler_amp import Slow, step_optimizer, training


def group(lr, **options):
    return {"params": [nn.Parameter(torch.ones(1))], "lr": lr, **options}


def adam(*lrs, **options):
    return torch.optim.AdamW([group(lr) for lr in lrs], weight_decay=0.2, **options)


def rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def held(optimizer):
    return [(float(group["lr"]), group["weight_decay"]) for group in optimizer.param_groups]


# What is no mismatch


def test_the_order_of_the_fields_is_none():
    plans = {"lr": linear(9), "weight_decay": cosine(9)}
    saved = Scheduler(adam(0.1), plans)
    saved.seek(4)
    loaded = Scheduler(adam(0.1), dict(reversed(plans.items())))
    loaded.load_state_dict(saved.state_dict())
    assert loaded.updates == 4


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [(0.1, torch.tensor(0.1)), (torch.tensor(0.3), 0.3), (0.15 * 3, 0.45), (0.0, 0.0)],
)
def test_rates_of_another_precision_are_none(theirs, mine):
    saved = Scheduler(adam(0.2, theirs, capturable=True), linear(9)).state_dict()
    optimizer = adam(0.2, mine, capturable=True)
    loaded = Scheduler(optimizer, linear(9))
    loaded.load_state_dict(saved)
    assert loaded.base_lrs == [0.2, float(mine)]


def test_rates_that_differ_by_more_are_one():
    saved = Scheduler(adam(0.1), linear(9)).state_dict()
    with pytest.raises(StateError, match="base of lr: checkpoint"):
        Scheduler(adam(0.1 * (1 + 2e-6)), linear(9)).load_state_dict(saved)
    with pytest.raises(StateError, match="base of lr: checkpoint"):
        Scheduler(adam(0.1, 0.1), linear(9)).load_state_dict(saved)


def test_a_late_group_is_the_last_of_a_list():
    optimizer = adam(0.1, 0.2)
    saved = Scheduler(optimizer, [linear(9), cosine(9)])
    optimizer.add_param_group(group(0.3))
    saved.step()
    loaded = Scheduler(adam(0.1, 0.2, 0.3), [linear(9), cosine(9), cosine(9)])
    loaded.load_state_dict(saved.state_dict())
    assert (loaded.next_lr, loaded.last_lr) == (saved.next_lr, saved.last_lr)
    other = Scheduler(adam(0.1, 0.2, 0.3), [linear(9), cosine(9), linear(9)])
    with pytest.raises(StateError, match="schedule of lr: checkpoint"):
        other.load_state_dict(saved.state_dict())


def test_a_list_of_the_same_schedules_is_one_schedule():
    scheduler = Scheduler(adam(0.1, 0.2), [linear(9), "linear(9)"])
    assert scheduler.schedules == {"lr": linear(9)}
    scheduler.load_state_dict(Scheduler(adam(0.1, 0.2), linear(9)).state_dict())
    assert scheduler.updates == 0


# What is refused, and changes nothing


@pytest.mark.parametrize("choice", ["error", "mine", "theirs"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedules": {}, "base": {}}, r"state_dict\['schedules'\] must be a dict that holds a f"),
        ({"base": {"lr": ["x"]}}, r"state_dict\['base'\]\['lr'\] must be a number, not 'x'"),
        ({"last_lr": 3}, r"state_dict\['last_lr'\] must be a list"),
        ({"last_lr": [None]}, r"state_dict\['last_lr'\] must be a number"),
        ({"total": 0}, r"state_dict\['total'\] must be at least 1"),
        ({"total": 1.5}, r"state_dict\['total'\] must be a whole number"),
        ({"schedules": {"lr": []}}, r"state_dict\['schedules'\]\['lr'\] must hold a schedule"),
        ({"control": {"state": {}}}, "must hold a controller, its state and its factor"),
    ],
)
def test_a_damaged_state(change, said, choice):
    optimizer = adam(0.1)
    scheduler = Scheduler(optimizer, linear(9))
    before = (scheduler.state_dict(), held(optimizer))
    with pytest.raises(InputError, match=said):
        scheduler.load_state_dict({**scheduler.state_dict(), **change}, choice)
    assert (scheduler.state_dict(), held(optimizer)) == before


def test_a_base_of_the_constructor_holds_until_theirs_is_taken():
    saved = Scheduler(adam(0.3), linear(9)).state_dict()
    scheduler = Scheduler(adam(0.1), linear(9), base=0.5)
    scheduler.load_state_dict(saved)
    assert scheduler.base_lrs == [0.5]
    scheduler.load_state_dict(saved, "theirs")
    assert scheduler.base_lrs == [0.3]
    with pytest.raises(StateError, match="base of lr: checkpoint"):
        scheduler.load_state_dict(Scheduler(adam(0.7), linear(9)).state_dict())


def test_last_lr_is_that_of_the_run_that_was_saved():
    saved = Scheduler(adam(0.1), linear(9))
    saved.optimizer.param_groups[0]["lr"] = 7.0  # by hand
    saved.step()
    loaded = Scheduler(adam(0.1), linear(9))
    loaded.load_state_dict(json.loads(json.dumps(saved.state_dict())))
    assert loaded.last_lr == [7.0]
    fresh = Scheduler(adam(0.2), linear(9), base=0.5)
    fresh.load_state_dict(Scheduler(adam(0.2), linear(9)).state_dict())
    assert fresh.last_lr == [0.5]  # no update was made


# Late groups


def test_a_late_group_without_a_field_is_refused_before_anything_is_written():
    optimizer = torch.optim.SGD([group(0.1, ratio=2.0)])
    scheduler = Scheduler(optimizer, {"lr": linear(9), "ratio": linear(9)})
    scheduler.step()
    before = (rates(optimizer), optimizer.param_groups[0]["ratio"], scheduler.updates)
    optimizer.add_param_group(group(0.3))
    for call in (scheduler.step, lambda: scheduler.seek(5)):
        with pytest.raises(InputError, match="'ratio', which group 1 of SGD does not have"):
            call()
    with pytest.raises(InputError, match="must have the field 'ratio', which is scheduled"):
        scheduler.state_dict()
    now = (rates(optimizer)[:1], optimizer.param_groups[0]["ratio"], scheduler.updates)
    assert now == before
    assert "initial_lr" not in optimizer.param_groups[1]
    optimizer.param_groups[1]["ratio"] = 4.0
    scheduler.step()
    assert optimizer.param_groups[1]["ratio"] == 4.0 * linear(9)(2)


def test_reading_adopts_nobody():
    optimizer = adam(0.1)
    scheduler = Scheduler(optimizer, linear(10))
    optimizer.add_param_group(group(0.7))
    assert scheduler.lr_at(5) == [0.05, 0.35]
    assert scheduler.base_lrs == [0.1, 0.7]
    assert scheduler.next_lr == [0.1, 0.7]
    assert scheduler.state_dict()["base"] == {"lr": [0.1, 0.7]}
    assert "initial_lr" not in optimizer.param_groups[1]
    optimizer.param_groups[1]["lr"] = 0.9  # so a rate may still be given
    scheduler.step()
    assert rates(optimizer) == [0.1 * 0.9, 0.9 * 0.9]


# A momentum stays below 1


def sgd(momentum):
    return torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1, momentum=momentum)


def spike(length, at):
    factors = [1.0] * length
    factors[at] = 1.2
    return table(factors, duration=length)


@pytest.mark.parametrize(
    "plan",
    [
        spike(5000, 4242),
        hold(70_000) >> constant(1.2, 1) >> hold(3000),
        constant(1.0, 65_536) >> constant(1.2, 1),
        hold(65_535) >> constant(1.2, 1) >> hold(3000),
        hold(9) >> constant(1.2, 1),
        linear(9) >> constant(1.2, 2_000_000),
    ],
)
def test_every_update_is_looked_at(plan):
    with pytest.raises(
        InputError, match=r"takes momentum of group 0 from 0.9 to 1.08, and it must"
    ):
        Scheduler(sgd(0.9), {"momentum": plan})
    assert Scheduler(sgd(0.8), {"momentum": plan}).updates == 0


def test_a_late_group_s_momentum_too_and_nothing_is_written():
    optimizer = sgd(0.5)
    scheduler = Scheduler(optimizer, {"momentum": constant(1.5, 10)})
    optimizer.add_param_group(group(0.1, momentum=0.9))
    with pytest.raises(InputError, match=r"takes momentum of group 1 from 0.9 to 1.35"):
        scheduler.step()
    assert scheduler.updates == 0
    assert optimizer.param_groups[1]["momentum"] == 0.9


def test_theirs_too_and_nothing_changes():
    saved = Scheduler(sgd(0.5), {"momentum": constant(1.5, 10)}).state_dict()
    saved["base"]["momentum"] = [0.9]
    optimizer = sgd(0.5)
    scheduler = Scheduler(optimizer, {"momentum": constant(1.2, 10)})
    with pytest.raises(InputError, match=r"takes momentum of group 0 from 0.9 to 1.35"):
        scheduler.load_state_dict(saved, "theirs")
    assert scheduler.schedules == {"momentum": constant(1.2, 10)}
    assert optimizer.param_groups[0]["momentum"] == 0.6


def test_a_momentum_that_returns_to_where_it_was_is_fine():
    plan = one_cycle_momentum(0.85 / 0.95)
    scheduler = Scheduler(sgd(0.95), {"momentum": plan}, total=2000)
    assert scheduler.optimizer.param_groups[0]["momentum"] == pytest.approx(0.95)


# Two schedulers, one optimizer


def test_the_last_scheduler_of_a_field_holds_when_the_optimizer_is_loaded():
    optimizer = adam(0.1)
    saved = copy.deepcopy(optimizer.state_dict())
    old = Scheduler(optimizer, {"lr": linear(10), "weight_decay": linear(10)})
    old.seek(5)
    new = Scheduler(optimizer, cosine(10), base=0.7)
    new.seek(3)
    optimizer.load_state_dict(saved)
    assert held(optimizer) == [(0.7 * cosine(10)(3), 0.2 * linear(10)(5))]
    assert (new.base_lrs, new.next_lr) == ([0.7], rates(optimizer))
    old.step()  # who writes last wins
    assert rates(optimizer) == [0.7 * linear(10)(6)]
    new.step()
    assert rates(optimizer) == [0.7 * cosine(10)(4)]


def test_schedulers_of_different_fields_leave_each_other_alone():
    optimizer = adam(0.1)
    saved = copy.deepcopy(optimizer.state_dict())
    first, second = (
        Scheduler(optimizer, linear(10)),
        Scheduler(optimizer, {"weight_decay": constant(0.5, 10)}),
    )
    first.seek(5)
    optimizer.load_state_dict(saved)
    assert held(optimizer) == [(0.05, 0.1)]
    assert second.updates == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
def test_a_copy_of_both_remembers_who_is_the_last(order):
    optimizer = adam(0.1)
    saved = copy.deepcopy(optimizer.state_dict())
    both = {"lr": linear(10), "weight_decay": linear(10)}
    trio = (optimizer, Scheduler(optimizer, both), Scheduler(optimizer, cosine(10)))
    trio[1].seek(2)
    trio[2].seek(5)
    copied, *_ = twins = copy.deepcopy([trio[place] for place in order])
    copied.load_state_dict(saved)
    assert held(copied) == [(0.1 * cosine(10)(5), 0.2 * linear(10)(2))]
    assert len(twins) == 3


def test_a_scheduler_that_takes_theirs_takes_the_field_over():
    optimizer = adam(0.1)
    saved = copy.deepcopy(optimizer.state_dict())
    decay = Scheduler(adam(0.1), {"lr": linear(10), "weight_decay": cosine(10)})
    one = Scheduler(optimizer, linear(10))
    other = Scheduler(optimizer, {"weight_decay": linear(10)})
    other.seek(9)
    one.load_state_dict(decay.state_dict(), "theirs")
    optimizer.load_state_dict(saved)
    assert held(optimizer) == [(0.1, 0.2)]
    assert other.updates == 9


def test_nothing_keeps_an_optimizer_or_a_scheduler_alive():
    optimizer = adam(0.1)
    made = [Scheduler(optimizer, linear(10)) for _ in range(3)]
    hooks = len(optimizer._optimizer_load_state_dict_post_hooks)
    del made
    gc.collect()
    assert len(optimizer._optimizer_load_state_dict_post_hooks) == hooks - 3


# Skips that are under way when something else happens


@pytest.fixture
def slow(monkeypatch):
    from surefoot._engine import skips

    monkeypatch.setattr(skips, "Parcel", type("Parcel", (Slow,), {"asked_at_most": 2}))


def go(parts, skipped, count=1):
    for _ in range(count):
        step_optimizer(*parts[:3], infinite=skipped)
        parts[3].step()


@pytest.mark.parametrize("how", ["seek", "load"])
def test_skips_from_before_a_jump_are_forgotten(slow, how):
    parts = training(fused=True)
    scheduler = parts[3]
    state = Scheduler(parts[1], linear(20))
    state.seek(10)
    go(parts, True, 2)
    assert scheduler.updates == 2  # nobody knows yet
    scheduler.seek(10) if how == "seek" else scheduler.load_state_dict(state.state_dict())
    assert scheduler.updates == 10
    go(parts, False, 6)
    assert scheduler.updates == 16


def test_a_load_that_is_refused_has_counted_the_skips(slow):
    parts = training(fused=True)
    go(parts, True, 1)
    with pytest.raises(StateError):
        parts[3].load_state_dict(Scheduler(adam(0.1), cosine(20)).state_dict())
    assert parts[3].updates == 0
    assert rates(parts[1]) == [0.1]


def test_a_parcel_from_before_a_checkpoint_is_not_opened_again(slow):
    parts = training(fused=True)
    go(parts, False, 1)  # a parcel is under way: no skip so far
    go(parts, True, 1)
    assert parts[3].state_dict()["update"] == 1
    for made in range(2, 9):
        go(parts, False)
        assert parts[3].updates == made


def test_last_lr_after_a_skipped_update_is_of_the_last_that_was_made():
    parts = training()
    go(parts, False, 2)
    assert (parts[3].last_lr, parts[3]._step_count) == ([0.1 * linear(20)(1)], 3)
    go(parts, True, 1)
    assert (parts[3].last_lr, parts[3]._step_count) == ([0.1 * linear(20)(1)], 3)
    assert parts[3].next_lr == [0.1 * linear(20)(2)]
    go(parts, False, 1)
    assert (parts[3].last_lr, parts[3]._step_count) == ([0.1 * linear(20)(2)], 4)


# A tensor lr on the long way through step()


@pytest.mark.parametrize("plans", [{"lr": linear(10), "weight_decay": 0.5}, [linear(10), hold(10)]])
def test_a_tensor_lr_shows_as_it_was_written_on_the_long_way_too(plans):
    optimizer = adam(torch.tensor(0.1), torch.tensor(0.3), capturable=True)
    scheduler = Scheduler(optimizer, plans)
    second = linear(10) if isinstance(plans, dict) else hold(10)
    bases = scheduler.base_lrs
    for t in range(4):
        written = [bases[0] * linear(10)(t), bases[1] * second(t)]
        assert scheduler.next_lr == written
        scheduler.step()
        assert scheduler.last_lr == written


def test_the_longest_of_the_schedules_tells_the_total():
    plans = {"lr": "linear(8)", "weight_decay": "linear(5, floor=0.5)", "betas.0": "hold(3)"}
    scheduler = Scheduler(adam(0.1), plans)
    assert scheduler.total == 8
    assert scheduler.schedules["weight_decay"].total == 8


def test_an_optimizer_with_a_group_without_an_lr_is_refused():
    optimizer = adam(0.1, 0.2)
    del optimizer.param_groups[1]["lr"]
    with pytest.raises(InputError, match="group 1 of AdamW has none"):
        Scheduler(optimizer, {"weight_decay": linear(3)})
    with pytest.raises(InputError, match="group 1 of AdamW has none"):
        Scheduler(optimizer, linear(3))
