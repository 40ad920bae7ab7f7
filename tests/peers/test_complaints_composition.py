"""Complaints about putting schedules together: rows 7–10, 17–21 and 30 of docs/complaints.md."""

import warnings

import pytest
import torch
from torch.optim import lr_scheduler as torch_schedulers

from surefoot import Scheduler
from surefoot.schedules import (
    cosine,
    exponential,
    hold,
    inverse_time,
    linear,
    one_cycle,
    step,
    warmup,
)
from tests.peers.loops import ours, rates, sgd, used


def stock(make, updates, lr=1.0):
    """Return the rates of a torch scheduler that is made from an optimizer."""
    optimizer = sgd(lr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's false alarms about the order of steps
        return used(optimizer, make(optimizer), updates)


def mine(plan, updates, lr=1.0):
    optimizer = sgd(lr)
    return used(optimizer, ours(plan)(optimizer), updates)


def ramp(o):
    """Return five updates from 0.1 and then a decay."""
    parts = [
        torch_schedulers.LinearLR(o, 0.1, total_iters=5),
        torch_schedulers.ExponentialLR(o, 0.9),
    ]
    return torch_schedulers.SequentialLR(o, parts, [5])


def test_7_the_first_rate_of_a_sequence_and_a_first_phase_of_length_0():
    assert stock(ramp, 2, 0.1) == pytest.approx([0.01, 0.028])  # torch has mended both

    def empty_first(o):
        parts = [
            torch_schedulers.ConstantLR(o, 0.1, 1),
            torch_schedulers.ConstantLR(o, 0.5, 3),
        ]
        return torch_schedulers.SequentialLR(o, parts, [0])

    assert stock(empty_first, 4) == [0.5, 0.5, 0.5, 1.0]
    assert mine(hold(0) >> 0.5 * hold(3) >> hold(1), 4) == [0.5, 0.5, 0.5, 1.0]


def test_8_a_composite_within_a_composite():
    def wrapped(o):
        return torch_schedulers.SequentialLR(
            o, [ramp(o), torch_schedulers.ConstantLR(o, 1.0, 1)], [100]
        )

    bare, inside = stock(ramp, 12), stock(wrapped, 12)
    assert bare[4] == pytest.approx(0.82)
    assert inside[4] == pytest.approx(1.0)  # a wrapper around it that does nothing

    def second(o):
        return torch_schedulers.SequentialLR(
            o, [torch_schedulers.ConstantLR(o, 0.1, 3), ramp(o)], [3]
        )

    with pytest.raises(NotImplementedError):
        stock(second, 12)

    plan = warmup(5, start=0.1) >> exponential(20, gamma=0.9)
    assert mine((plan >> hold(75)) >> hold(1), 25) == mine(plan, 25)
    assert mine(0.1 * hold(3) >> plan, 28)[3:] == mine(plan, 25)
    assert mine((plan * hold(25)) >> plan, 50)[25:] == mine(plan, 25)


def test_9_the_level_at_which_the_next_phase_starts():
    def then(second):
        def make(o):
            first = torch_schedulers.LinearLR(o, 0.1, 0.5, total_iters=4)
            return torch_schedulers.SequentialLR(o, [first, second(o)], [5])

        return make

    goes_on = stock(then(lambda o: torch_schedulers.MultiplicativeLR(o, lambda t: 0.9)), 6)
    starts_anew = stock(then(lambda o: torch_schedulers.ExponentialLR(o, 0.9)), 6)
    assert (goes_on[5], starts_anew[5]) == (pytest.approx(0.45), 1.0)  # one decay, by two names

    def sibling(o):
        parts = [
            torch_schedulers.ConstantLR(o, 1.0, 4),
            torch_schedulers.OneCycleLR(o, 1.0, total_steps=10),
        ]
        return torch_schedulers.SequentialLR(o, parts, [4])

    assert stock(sibling, 4) == [0.04] * 4  # constant 1.0 was asked for

    first = warmup(5, start=0.1)
    for second in (exponential(9, gamma=0.9), step(1, 0.9, 9), inverse_time(1, duration=9)):
        assert mine(first >> second, 14)[5] == 1.0
        assert mine(first >> 0.5 * second, 14)[5] == 0.5
    assert mine(hold(4) >> one_cycle().resolve(10), 14)[:4] == [1.0] * 4


def test_10_a_product_is_a_product():
    def stairs_and(other):
        return lambda o: torch_schedulers.ChainedScheduler(
            [torch_schedulers.ExponentialLR(o, 0.1), other(o)]
        )

    with_lambda = stock(stairs_and(lambda o: torch_schedulers.LambdaLR(o, lambda t: 1.0)), 5)
    assert with_lambda == [1.0] * 5  # 1e-4 at the end was asked for
    with_floor = stock(
        stairs_and(lambda o: torch_schedulers.CosineAnnealingLR(o, 10, eta_min=0.1)), 10
    )
    assert with_floor[9] > 0.05  # 1e-9 × 0.12 was asked for

    plan = exponential(11, gamma=0.1) * cosine(11, floor=0.1)
    expected = [0.1**t * cosine(11, floor=0.1)(t) for t in range(11)]
    assert mine(plan, 11) == pytest.approx(expected, rel=1e-12)
    assert mine(exponential(5, gamma=0.1) * hold(5), 5)[4] == pytest.approx(1e-4)


def test_17_one_cycle_past_its_end():
    optimizer = sgd()
    scheduler = torch_schedulers.OneCycleLR(optimizer, 1.0, total_steps=10, cycle_momentum=False)
    last = used(optimizer, scheduler, 10)[-1]
    assert last == pytest.approx(4e-6)
    assert rates(optimizer)[0] > 0.04  # ten thousand times that is what a log shows
    with pytest.raises(ValueError, match="Tried to step 11 times"):
        scheduler.step()

    seen = mine(one_cycle().resolve(10), 15)
    assert seen[10:] == [seen[10]] * 5
    assert seen[10] <= seen[9]


def test_18_one_cycle_reaches_its_peak_whatever_the_length():
    def cycle(total, **options):
        return lambda o: torch_schedulers.OneCycleLR(
            o, 1.0, total_steps=total, cycle_momentum=False, **options
        )

    assert max(stock(cycle(11), 11)) < 0.98
    assert stock(cycle(1), 1) == [pytest.approx(4e-6)]
    with pytest.raises(ZeroDivisionError):
        stock(cycle(10, pct_start=0.1), 10)
    for total in range(4, 60):
        assert max(mine(one_cycle().resolve(total), total)) == 1.0
    for total in range(1, 12):
        for share in (0.1, 0.3, 0.5):
            assert all(0 < rate <= 1 for rate in mine(one_cycle(rise=share).resolve(total), total))


def test_19_a_schedule_of_the_rate_leaves_the_betas_and_the_rate_alone():
    def adam():
        return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=3e-4, betas=(0.9, 0.999))

    optimizer = adam()
    torch_schedulers.OneCycleLR(optimizer, 0.01, total_steps=10)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)
    assert optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.01 / 25)  # not of 3e-4

    optimizer = adam()
    scheduler = Scheduler(optimizer, one_cycle(), total=10)
    scheduler.step()
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    assert max(scheduler.lr_at(t)[0] for t in range(10)) == 3e-4


def test_20_a_warm_up_from_0_and_phases_of_length_0():
    with pytest.raises(ValueError, match="Starting multiplicative factor"):
        torch_schedulers.LinearLR(sgd(), 0.0, total_iters=5)
    assert stock(lambda o: torch_schedulers.LinearLR(o, 0.1, total_iters=0), 9) == [0.1] * 9
    assert stock(lambda o: torch_schedulers.ConstantLR(o, 0.1, total_iters=0), 9) == [0.1] * 9
    with pytest.raises(ZeroDivisionError):
        stock(lambda o: torch_schedulers.CosineAnnealingLR(o, 0), 2)

    assert mine(warmup(4, start=0.0) >> hold(1), 5) == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert mine(warmup(0) >> cosine(0) >> linear(4), 4) == mine(linear(4), 4)


def test_21_restarts_at_their_exact_updates():
    for first, growth, restart in ((3, 3, 363), (7, 10, 777)):
        optimizer = sgd(0.1)
        scheduler = torch_schedulers.CosineAnnealingWarmRestarts(optimizer, first, growth)
        scheduler.step(restart)
        assert rates(optimizer) == [pytest.approx(0.0, abs=1e-6)]  # the top, 0.1, is right
        plan = cosine(first).repeat(growth=growth).resolve(4 * restart)
        assert plan(restart) == 1.0
        assert plan(restart - 1) < 0.001
    with pytest.raises(ValueError, match="Expected integer T_mult"):
        torch_schedulers.CosineAnnealingWarmRestarts(sgd(), 10, 1.5)
    plan = cosine(10).repeat(growth=1.5).resolve(100)
    assert (plan(10), plan(25)) == (1.0, 1.0)


def test_30_a_cosine_ends_at_its_floor():
    risen = stock(lambda o: torch_schedulers.CosineAnnealingLR(o, 10), 21)
    assert risen[20] == pytest.approx(1.0)
    assert mine(cosine(10), 21)[10:] == [0.0] * 11
