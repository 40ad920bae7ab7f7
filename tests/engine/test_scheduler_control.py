"""A controller in the scheduler."""

import json

import pytest
import torch
from torch import nn

from surefoot import InputError, Scheduler
from surefoot.errors import StateError
from surefoot.schedules import gradient_dependent, hold, linear, plateau, warmup

HALVES = plateau(factor=0.5, patience=1)


def made(plan=None, control=HALVES, lrs=(0.1, 0.3), **options):
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in lrs]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    return optimizer, Scheduler(optimizer, plan or hold(50), control=control, **options)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def test_its_factor_multiplies_the_schedules():
    plan = warmup(4) >> linear(16)
    optimizer, scheduler = made(plan)
    state = HALVES.start()
    for t, metric in enumerate([5.0, 4.0, 6.0, 6.0, 6.0, 6.0, 3.0, 6.0, 6.0, 6.0]):
        used = rates(optimizer)
        state, factor = HALVES.update(state, {"metric": metric})
        scheduler.step(metric)
        assert scheduler.last_lr == used
        assert scheduler.factor == factor
        assert scheduler.control_state == state
        assert rates(optimizer) == scheduler.next_lr == scheduler.lr_at(t + 1)
        assert rates(optimizer) == [base * (plan(t + 1) * factor) for base in (0.1, 0.3)]
    assert scheduler.factor < 1


def test_observing_changes_the_rate_at_once_and_makes_no_update():
    optimizer, scheduler = made()
    scheduler.step()
    for metric in (1.0, 2.0):
        scheduler.observe(metric)
    assert scheduler.updates == 1
    assert scheduler.factor == 0.5
    assert rates(optimizer) == [0.1 * 0.5, 0.3 * 0.5]
    assert scheduler.last_lr == [0.1, 0.3]


def test_steps_without_a_metric_keep_the_factor():
    optimizer, scheduler = made(linear(10), plateau(factor=0.5, patience=1))
    scheduler.step(1.0)
    scheduler.step(2.0)
    scheduler.step()
    assert scheduler.updates == 3
    assert rates(optimizer) == [base * (linear(10)(3) * 0.5) for base in (0.1, 0.3)]


def test_only_the_lr_is_controlled():
    optimizer, scheduler = made({"lr": hold(10), "momentum": linear(10)}, plateau(patience=1))
    scheduler.step(1.0)
    scheduler.step(2.0)
    assert optimizer.param_groups[0]["momentum"] == 0.9 * 0.8
    assert rates(optimizer)[0] == 0.1 * scheduler.factor < 0.1


def test_a_gradient_norm_is_observed_also_as_a_tensor():
    control = gradient_dependent()
    optimizer, scheduler = made(control=control)
    state = control.start()
    for norm in (1.0, 1.0, 5.0, 0.2):
        state, factor = control.update(state, {"grad_norm": norm})
        scheduler.step(grad_norm=torch.tensor(norm, dtype=torch.float64))
        assert scheduler.factor == factor
        assert rates(optimizer)[0] == 0.1 * factor


def test_a_checkpoint_goes_on_with_the_controller_where_it_was():
    (_, one), (optimizer, other) = made(), made()
    for metric in (3.0, 4.0, 5.0, 5.0):
        one.step(metric)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for metric in (5.0, 5.0, 2.0, 7.0, 7.0, 7.0):
        assert other.control_state == one.control_state
        assert rates(optimizer) == one.next_lr
        one.step(metric)
        other.step(metric)


def test_a_checkpoint_of_another_controller_is_a_mismatch():
    _, one = made(control=plateau(factor=0.1, patience=1))
    one.step(1.0)
    one.step(2.0)
    optimizer, other = made()
    other.step(1.0)
    with pytest.raises(StateError, match=r"control: checkpoint plateau\(.*here plateau\("):
        other.load_state_dict(one.state_dict())
    other.load_state_dict(one.state_dict(), "mine")
    assert (other.control, other.factor, other.updates) == (HALVES, one.factor, 2)
    other.load_state_dict(one.state_dict(), "theirs")
    assert (other.control, other.factor) == (one.control, one.factor)
    assert other.control_state == one.control_state
    assert rates(optimizer) == one.next_lr


@pytest.mark.parametrize(("mine", "theirs"), [(None, HALVES), (HALVES, None)])
def test_a_controller_may_come_and_go_with_a_checkpoint(mine, theirs):
    _, one = made(control=theirs)
    _, other = made(control=mine)
    with pytest.raises(StateError, match="control: checkpoint"):
        other.load_state_dict(one.state_dict())
    other.load_state_dict(one.state_dict(), "theirs")
    assert other.control == theirs
    other.step()
    assert other.updates == 1


def test_of_n_calls_the_last_goes_on_and_observes():
    optimizer, scheduler = made(linear(10), calls_per_update=3)
    for call in range(9):
        assert scheduler.updates == call // 3
        assert rates(optimizer)[0] == 0.1 * linear(10)(call // 3)
        scheduler.step(9.0 - call // 3)
    _, once = made(linear(10))
    for call in range(3):
        once.step(9.0 - call)
    assert scheduler.control_state == once.control_state


def test_calls_of_an_unfinished_update_are_part_of_the_checkpoint():
    _, scheduler = made(control=None, calls_per_update=3)
    for _ in range(4):
        scheduler.step()
    _, other = made(control=None, calls_per_update=3)
    other.load_state_dict(scheduler.state_dict())
    other.step()
    assert other.updates == 1
    other.step()
    assert other.updates == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: made(control=None)[1].step(1.0), r"step takes no metric where .* no control=…"),
        (lambda: made(control=None)[1].step(grad_norm=1.0), "step takes no grad_norm where"),
        (lambda: made(control=None)[1].observe(1.0), "takes no metric where"),
        (lambda: made()[1].observe(), "observe needs what was observed"),
        (lambda: made()[1].step(grad_norm=1.0), "plateau needs metric"),
        (lambda: made()[1].step("high"), "metric must be a number"),
        (lambda: made(control="plateau"), "control must be a controller, .* not a str"),
        (lambda: made(calls_per_update=0), "calls_per_update must be at least 1"),
        (lambda: made(on_mismatch="ours"), "on_mismatch must be one of"),
    ],
)
def test_says_what_is_not_allowed(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_what_cannot_be_observed_makes_no_update():
    optimizer, scheduler = made(linear(10))
    with pytest.raises(InputError, match=r"not finite|NaN|nan"):
        scheduler.step(float("nan"))
    assert scheduler.updates == 0
    assert rates(optimizer) == [0.1, 0.3]
