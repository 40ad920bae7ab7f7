"""What ``watch`` measures, in every kind of loop."""

import itertools
import math
import sys
import time

import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot._watch import budget
from surefoot._watch.budget import Budget
from surefoot._watch.transit import Transit
from surefoot.quantities import Sharpness
from tests.exact import training, update


def quadratic(lr, dtype=torch.float64):
    weight = nn.ParameterList([nn.Parameter(torch.tensor([3.0, 4.0], dtype=dtype))])
    return weight, torch.optim.SGD(weight.parameters(), lr=lr)


def descend(weight, optimizer):
    optimizer.zero_grad()
    loss = weight[0].square().sum() / 2
    loss.backward()
    optimizer.step()
    return loss


@pytest.mark.parametrize(("lr", "alpha"), [(0.1, -0.9), (1.0, 0.0), (1.9, 0.9)])
def test_alpha_tells_where_the_steps_end(lr, alpha, tmp_path):
    weight, optimizer = quadratic(lr)
    with sf.watch(weight, optimizer, to=tmp_path / "run", every=2) as watch:
        for _ in range(9):
            watch.step(descend(weight, optimizer))
    log = sf.read(tmp_path / "run")
    assert log["alpha"].steps.tolist() == [1, 3, 5, 7]
    found = log["alpha"].values
    assert found[0] == pytest.approx(alpha)
    with sf.watch(weight, optimizer, to=tmp_path / "each", every=1) as watch:
        for _ in range(9):
            watch.step(descend(weight, optimizer))
    assert sf.read(tmp_path / "each")["alpha"].steps.tolist() == list(range(1, 9))
    for name, sign in (("slope_before", -1), ("slope_after", -1 if lr < 1 else 1)):
        assert all(sign * each >= 0 for each in log[name].values)


def test_the_score_of_a_spike_and_what_is_not_finite_are_recorded(tmp_path):
    weight, optimizer = quadratic(0.1)
    random = torch.Generator().manual_seed(0)
    with sf.watch(weight, optimizer, to=tmp_path / "run", every=1) as watch:
        for number in range(60):
            loss = descend(weight, optimizer)
            if number == 50:
                weight[0].data[0] = math.nan
            noise = float(torch.randn((), generator=random))
            watch.step(20.0 if number == 40 else loss.detach() * 0 + noise)
    log = sf.read(tmp_path / "run")
    assert log["loss_z"].steps[0] == 16
    scores = dict(zip(*log["loss_z"], strict=True))
    assert scores[40] > 10
    assert all(abs(scores[each]) < 5 for each in range(16, 40))
    assert 55 not in scores  # nan
    broken = dict(zip(*log["non_finite"], strict=True))
    assert (broken[50], broken[51]) == (0, 1)
    assert math.isnan(dict(zip(*log["grad_norm"], strict=True))[51])


def test_the_seconds_are_those_of_the_training_alone(tmp_path):
    weight, optimizer = quadratic(0.1)
    with sf.watch(weight, optimizer, to=tmp_path / "run") as watch:
        assert math.isnan(watch.overhead)
        for _ in range(5):
            watch.step(descend(weight, optimizer))
            time.sleep(0.02)
        assert 0 < watch.overhead < 0.5
    seconds = sf.read(tmp_path / "run")["seconds"]
    assert seconds.steps.tolist() == [1, 2, 3, 4]
    assert all(0.02 <= each < 0.2 for each in seconds.values)


def test_micro_batches_give_the_loss_and_the_noise_scale(tmp_path):
    torch.manual_seed(0)
    weight = nn.ParameterList([nn.Parameter(torch.zeros(50, dtype=torch.float64))])
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.0)
    with sf.watch(weight, optimizer, to=tmp_path / "run", every=1) as watch:
        for number in range(200):
            optimizer.zero_grad()
            for micro in range(4):
                target = 1 + 2 * torch.randn(50, dtype=torch.float64)
                (weight[0] @ target / 4).backward()
                watch.microbatch(torch.tensor(number + micro))
            nn.utils.clip_grad_norm_(weight.parameters(), 0.1)  # what is compared came before
            optimizer.step()
            watch.step()
    log = sf.read(tmp_path / "run")
    assert log["loss"].values.tolist() == [number + 1.5 for number in range(200)]
    noise = log["noise_scale"].values
    assert len(noise) == 200
    assert float(torch.tensor(noise[50:]).median()) == pytest.approx(4.0, rel=0.1)


def test_without_a_loss_one_is_told_once_and_the_rest_is_recorded(tmp_path):
    weight, optimizer = quadratic(0.1)
    watch = sf.watch(weight, optimizer, to=tmp_path / "run")
    descend(weight, optimizer)
    with pytest.warns(RuntimeWarning, match="called without a loss"):
        watch.step()
    descend(weight, optimizer)
    watch.step()
    watch.close()
    log = sf.read(tmp_path / "run")
    assert "loss" not in log
    assert len(log["lr"]) == 2


def test_a_watch_whose_step_is_never_called_says_so(tmp_path):
    weight, optimizer = quadratic(0.1)
    watch = sf.watch(weight, optimizer, to=tmp_path / "run")
    for _ in range(20):
        descend(weight, optimizer)
    with pytest.warns(RuntimeWarning, match=r"20 updates were made, but watch\.step was never"):
        watch.close()


@pytest.mark.parametrize("fused", [False, True])
def test_updates_that_a_scaler_skips_are_counted(fused, tmp_path):
    parameter = nn.ParameterList([nn.Parameter(torch.ones(2))])
    optimizer = torch.optim.Adam(parameter.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    norms = []
    with sf.watch(parameter, optimizer, to=tmp_path / "run", every=1) as watch:
        for number in range(9):
            optimizer.zero_grad()
            loss = (parameter[0] * (torch.inf if number in (2, 5) else number + 1.0)).sum()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            norms.append(2**0.5 * (number + 1))
            watch.step(loss)
    log = sf.read(tmp_path / "run")
    assert log["skipped"].steps.tolist() == [2, 5]
    assert log["skipped"].values.tolist() == [1, 2]
    found = dict(zip(*log["grad_norm"], strict=True))
    for number in (0, 1, 3, 4, 6, 7, 8):
        assert found[number] == pytest.approx(norms[number])


def test_sharpness_on_request_is_measured_at_its_cadence(tmp_path):
    weight, optimizer = quadratic(0.1)
    sharpness = Sharpness(weight, lambda: weight[0].square().sum() / 2, every=4)
    with sf.watch(weight, optimizer, to=tmp_path / "run", quantities=[sharpness]) as watch:
        for _ in range(9):
            watch.step(descend(weight, optimizer))
    log = sf.read(tmp_path / "run")
    assert log["sharpness"].steps.tolist() == [0, 4, 8]
    assert log["sharpness"].values == pytest.approx([1.0] * 3, rel=1e-4)


def test_without_memory_for_a_copy_the_training_goes_on(tmp_path, monkeypatch):
    from surefoot.quantities import _update

    def full(*_arguments):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(_update, "copies", full)
    weight, optimizer = quadratic(0.1)
    watch = sf.watch(weight, optimizer, to=tmp_path / "run", every=1)
    with pytest.warns(RuntimeWarning, match="no memory for a copy of the weights: UpdateRatio, A"):
        descend(weight, optimizer)
    watch.step(1.0)
    for _ in range(3):
        watch.step(descend(weight, optimizer))
    watch.close()
    log = sf.read(tmp_path / "run")
    assert log["grad_norm"].steps.tolist() == [1, 2, 3]
    assert "update_ratio" not in log
    assert len(log["loss"]) == 4


class Clock:
    """Time that passes when told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def spent(share, update, cost, fixed, count=3000):
    """Run updates with a budget; return the share that was spent and the updates measured."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "perf_counter", clock)
        account = Budget(share, None)
        measured = []
        for number in range(count):
            if account.due(number):
                account.begin()
                measured.append(number)
                clock.now += cost
                account.spend(cost, measuring=True)
            clock.now += update + fixed
            account.spend(fixed)
            account.passed()
    return account.overhead, measured


@pytest.mark.parametrize("cost", [0.001, 0.01, 0.1])
def test_measuring_takes_the_share_that_it_may_take(cost):
    overhead, measured = spent(0.02, update=0.1, cost=cost, fixed=1e-4)
    assert overhead < 0.0205
    assert measured[:3] == [0, 10, 20]
    if cost < 0.1:
        usual = 2 if cost == 0.001 else cost / (0.02 * 0.1 - 1e-4)
        assert (measured[-1] - measured[3]) / (len(measured) - 4) == pytest.approx(usual, rel=0.3)


def test_where_the_limit_is_passed_anyway_one_update_in_a_hundred_is_measured():
    overhead, measured = spent(0.02, update=1e-3, cost=1e-3, fixed=1e-4)
    assert overhead == pytest.approx(0.11, abs=0.01)
    assert {b - a for a, b in itertools.pairwise(measured[3:])} == {100}


def test_numbers_travel_in_blocks_and_may_change_once_they_are_put():
    transit = Transit(torch.device("cpu"), summed=False)
    number, tickets = torch.zeros(()), []
    for value in range(600):
        number.fill_(value)
        tickets.append(transit.put(number if value % 2 else number.reshape(1)))
    transit.look()
    assert [ticket.arrived for ticket in tickets] == [True] * 512 + [False] * 88
    assert [ticket.open() for ticket in tickets[:512]] == list(range(512))
    transit.leave()
    transit.look(wait=True)
    assert [ticket.open() for ticket in tickets[512:]] == list(range(512, 600))
    transit.leave()


def test_rows_wait_for_their_numbers_and_keep_their_order(tmp_path, monkeypatch):
    """As on a GPU: what is on a device comes in blocks, what is on the host is there at once."""
    module = sys.modules["surefoot._watch.watch"]
    monkeypatch.setattr(module, "_transit", lambda *_: Transit(torch.device("cpu"), summed=False))
    model, optimizer = training()
    losses = []
    with sf.watch(model, optimizer, to=tmp_path / "run", every=2) as watch:
        for number in range(300):
            loss = update(model, optimizer)
            losses.append(loss.item())
            watch.step(loss)
            if number % 100 == 99:
                watch.validation(float(number))
    log = sf.read(tmp_path / "run")
    assert log["loss"].steps.tolist() == list(range(300))
    assert log["loss"].values.tolist() == losses
    assert log["validation_loss"].values.tolist() == [99, 199, 299]
    assert len(log["alpha"]) == 150
    assert log["lr"].steps.tolist() == list(range(300))
