"""A controller in the scheduler."""

import dataclasses
import json
import re

import pytest
import torch
from torch import nn

from surefoot import InputError, Scheduler
from surefoot.errors import StateError
from surefoot.schedules import Controller, gradient_dependent, hold, linear, plateau, warmup

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


# What is kept of a controller, and what is refused


def test_last_lr_of_a_loaded_scheduler_is_what_the_update_used():
    _, one = made(linear(20))
    for metric in (3.0, 4.0):
        one.step(metric)
    assert one.factor == 0.5  # from now on: the update just made did not use it
    used = list(one.last_lr)
    assert used == [base * linear(20)(1) for base in (0.1, 0.3)]
    _, other = made(linear(20))
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert (other.last_lr, other.next_lr) == (used, one.next_lr)


@dataclasses.dataclass(frozen=True)
class Told(Controller):
    """The factor is what was observed; the state does not hold it."""

    name = "told"
    needs = "metric"

    def start(self):
        return {"seen": 0}

    def update(self, state, observation):
        return {"seen": state["seen"] + 1}, self.observed(observation)


def test_the_factor_is_what_update_returns():
    optimizer, scheduler = made(control=Told())
    assert (scheduler.factor, rates(optimizer)) == (1.0, [0.1, 0.3])
    scheduler.step(0.25)
    assert (scheduler.factor, rates(optimizer)) == (0.25, [0.025, 0.075])
    other_optimizer, other = made(control=Told())
    other.load_state_dict(scheduler.state_dict())
    assert (other.factor, rates(other_optimizer)) == (0.25, [0.025, 0.075])
    assert other.control_state == {"seen": 1}


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_a_factor_that_is_none_changes_nothing(factor):
    optimizer, scheduler = made(linear(10), control=Told())
    with pytest.raises(InputError, match="the factor of told must be finite and ≥ 0"):
        scheduler.step(factor)
    assert (scheduler.updates, scheduler.control_state) == (0, {"seen": 0})
    assert rates(optimizer) == [0.1, 0.3]


def broken(**changes):
    """Return a state whose controller is damaged."""
    _, scheduler = made(linear(20))
    for metric in (3.0, 4.0):
        scheduler.step(metric)
    state = scheduler.state_dict()
    control = {**state["control"], **changes}
    kept = {**control["state"], **control.pop("inner", {})}
    control["state"] = {key: value for key, value in kept.items() if value != "lost"}
    return {**state, "control": control}


@pytest.mark.parametrize("choice", ["error", "mine", "theirs"])
@pytest.mark.parametrize("total", [20, 30])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"factor": -0.5}, "the factor of plateau must be finite and ≥ 0, not -0.5"),
        ({"factor": float("nan")}, "the factor of plateau must be finite and ≥ 0, not nan"),
        ({"factor": "half"}, "the factor of plateau must be a number, not 'half'"),
        ({"inner": {"best": "lost"}}, "holds a state that plateau cannot go on from.*'best'"),
        ({"inner": {"best": "low"}}, "holds a state that plateau cannot go on from; it is damaged"),
        ({"inner": {"recent": None}}, "holds a state that plateau cannot go on from"),
        ({"inner": {"factor": "x"}}, "holds a state that plateau cannot go on from"),
        ({"inner": {"factor": -1.0}}, "the factor of plateau must be finite and ≥ 0, not -1"),
    ],
)
def test_a_damaged_controller_is_refused_before_anything_changes(changes, said, total, choice):
    optimizer, scheduler = made(linear(total), plateau(factor=0.5, patience=1, low=0.01))
    scheduler.step(9.0)
    before = (scheduler.state_dict(), rates(optimizer), scheduler.schedules, scheduler.last_lr)
    with pytest.raises(StateError if choice == "error" else InputError) as caught:
        scheduler.load_state_dict(broken(**changes), choice)
    if choice != "error":
        assert re.search(said, str(caught.value))
    assert before == (
        scheduler.state_dict(), rates(optimizer), scheduler.schedules, scheduler.last_lr
    )  # fmt: skip
    same = made(linear(20))[1]
    with pytest.raises(InputError, match=said):
        same.load_state_dict(broken(**changes))
    assert (same.updates, same.factor) == (0, 1.0)


def test_a_controller_without_an_lr_to_move_is_refused_in_a_checkpoint_too():
    _, scheduler = made({"lr": linear(20), "momentum": linear(20)})
    state = scheduler.state_dict()
    for key in ("schedules", "base"):
        state[key] = {"momentum": state[key]["momentum"]}
    with pytest.raises(InputError, match="schedules must have the field 'lr'"):
        made(linear(20))[1].load_state_dict(state, "theirs")


def test_mine_with_another_argument_keeps_what_the_controller_has_learnt():
    _, one = made(linear(20))
    for metric in (3.0, 4.0, 4.0):
        one.step(metric)
    _, other = made(linear(20), plateau(factor=0.1, patience=2))
    other.load_state_dict(one.state_dict(), "mine")
    assert other.control == plateau(factor=0.1, patience=2)
    assert (other.factor, other.control_state) == (one.factor, one.control_state)
    assert other.factor < 1
    _, stranger = made(linear(20), Told())
    stranger.step(0.5)
    stranger.load_state_dict(one.state_dict(), "mine")
    assert (stranger.factor, stranger.control_state) == (0.5, {"seen": 1})


def test_seek_knows_nothing_of_the_controller():
    optimizer, scheduler = made(linear(20))
    for metric in (3.0, 4.0):
        scheduler.step(metric)
    scheduler.seek(10)
    assert scheduler.factor == 0.5
    assert rates(optimizer) == [base * (linear(20)(10) * 0.5) for base in (0.1, 0.3)]


@pytest.mark.parametrize("late", [False, True])
def test_control_of_groups_with_schedules_of_their_own(late):
    plans = [linear(10), warmup(4) >> hold(6)]
    optimizer, scheduler = made(plans)
    bases = [0.1, 0.3]
    if late:
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.7})
        bases, plans = [*bases, 0.7], [*plans, plans[1]]
    for metric in (1.0, 2.0, 3.0):
        scheduler.step(metric)
    assert scheduler.factor < 1
    expected = [b * (p(3) * scheduler.factor) for b, p in zip(bases, plans, strict=True)]
    assert rates(optimizer) == scheduler.next_lr == scheduler.lr_at(3) == expected
    state = scheduler.control_state
    scheduler.step()  # without a metric the controller stays as it is
    assert scheduler.control_state == state
    expected = [b * (p(4) * scheduler.factor) for b, p in zip(bases, plans, strict=True)]
    assert rates(optimizer) == expected


def test_more_than_the_controller_needs_is_refused_and_nothing_is_done():
    _, scheduler = made(linear(10), calls_per_update=2)
    scheduler.step(1.0)
    with pytest.raises(
        InputError, match=r"plateau needs metric: pass it .*and no grad_norm, which"
    ):
        scheduler.step(1.0, grad_norm=2.0)
    with pytest.raises(InputError, match=r"and no grad_norm"):
        scheduler.observe(1.0, grad_norm=2.0)
    assert scheduler.updates == 0
    scheduler.step(1.0)
    assert scheduler.updates == 1


def test_a_loss_with_its_graph_is_observed_without_a_warning():
    _, scheduler = made()
    loss = (torch.ones(1, requires_grad=True) * 3).sum()
    scheduler.step(loss)
    assert scheduler.control_state["best"] == 3.0
    assert loss.requires_grad
