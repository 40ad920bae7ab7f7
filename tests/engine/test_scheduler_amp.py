"""Updates that a GradScaler skips are none."""

import copy
import gc
import pickle

import pytest
import torch
from torch import nn

from surefoot import InputError, Scheduler
from surefoot._engine import skips
from surefoot.schedules import linear, plateau

SKIPPED = (1, 2, 5)


def training(device="cpu", *, fused=False, kind=torch.optim.Adam, **options):
    parameter = nn.Parameter(torch.ones(2, device=device))
    optimizer = kind([parameter], lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler(device, init_scale=4.0)
    return parameter, optimizer, scaler, Scheduler(optimizer, linear(20), scaler=scaler, **options)


def step_optimizer(parameter, optimizer, scaler, *, infinite):
    """Train once as people do; return whether the weights moved."""
    before = parameter.detach().clone()
    optimizer.zero_grad()
    scaler.scale((parameter * (torch.inf if infinite else 1.0)).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    return before, parameter.detach()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("fused", [False, True])
def test_the_schedule_counts_the_updates_that_moved_the_weights(fused, kind):
    parameter, optimizer, scaler, scheduler = training(fused=fused, kind=kind)
    made = 0
    for t in range(9):
        before, after = step_optimizer(parameter, optimizer, scaler, infinite=t in SKIPPED)
        assert torch.equal(before, after) == (t in SKIPPED)
        made += t not in SKIPPED
        scheduler.step()
        assert scheduler.updates == made
        assert scheduler.next_lr == [0.1 * linear(20)(made)]
        assert optimizer.param_groups[0]["lr"] == scheduler.next_lr[0]


def test_torchs_schedulers_go_on_over_skipped_updates():
    parameter, optimizer, scaler, _ = training()
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 20)
    for t in range(9):
        step_optimizer(parameter, optimizer, scaler, infinite=t in SKIPPED)
        theirs.step()
    assert theirs.last_epoch == 9


@pytest.mark.parametrize("fused", [False, True])
def test_the_rate_of_a_skipped_update_is_used_by_the_next(fused):
    parameter, optimizer, scaler, scheduler = training(fused=fused)
    used = []
    for t in range(9):
        rate = optimizer.param_groups[0]["lr"]
        before, after = step_optimizer(parameter, optimizer, scaler, infinite=t in SKIPPED)
        if not torch.equal(before, after):
            used.append(rate)
        scheduler.step()
    assert used == [0.1 * linear(20)(t) for t in range(6)]


@pytest.mark.parametrize("fused", [False, True])
def test_a_call_for_many_steps_counts_if_one_of_them_was_made(fused):
    parameter, optimizer, scaler, scheduler = training(fused=fused)
    for epoch in ((True, False, True), (True, True), (False, False)):
        for infinite in epoch:
            step_optimizer(parameter, optimizer, scaler, infinite=infinite)
        scheduler.step()
    assert scheduler.updates == 2


@pytest.mark.parametrize("fused", [False, True])
def test_skips_and_calls_per_update_go_together(fused):
    parameter, optimizer, scaler, scheduler = training(fused=fused, calls_per_update=2)
    for infinite in (False, True, False):
        step_optimizer(parameter, optimizer, scaler, infinite=infinite)
        scheduler.step()
        scheduler.step()
    assert scheduler.updates == 2


@pytest.mark.parametrize("fused", [False, True])
def test_a_checkpoint_counts_only_the_updates_made(fused):
    first = training(fused=fused)
    for t in range(4):
        step_optimizer(*first[:3], infinite=t in SKIPPED)
        first[3].step()
    saved = first[3].state_dict()
    assert saved["update"] == 2
    parameter, optimizer, scaler, scheduler = training(fused=fused)
    step_optimizer(parameter, optimizer, scaler, infinite=True)  # what was before does not count
    scheduler.load_state_dict(saved)
    step_optimizer(parameter, optimizer, scaler, infinite=False)
    scheduler.step()
    assert scheduler.updates == 3


def test_a_scaler_that_is_switched_off_skips_nothing():
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    scheduler = Scheduler(optimizer, linear(20), scaler=scaler)
    for _ in range(3):
        parameter.grad = torch.ones(1)
        scaler.step(optimizer)
        scheduler.step()
    assert scheduler.updates == 3


def test_a_metric_is_observed_also_where_the_update_was_skipped():
    control = plateau(factor=0.5, patience=1)
    parameter, optimizer, scaler, scheduler = training(control=control)
    for infinite, metric in ((False, 1.0), (True, 2.0)):
        step_optimizer(parameter, optimizer, scaler, infinite=infinite)
        scheduler.step(metric)
    assert scheduler.updates == 1
    assert scheduler.factor == 0.5
    assert optimizer.param_groups[0]["lr"] == 0.1 * linear(20)(1) * 0.5


def test_without_a_scaler_there_is_no_hook_on_step():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = Scheduler(optimizer, linear(20))
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks
    scheduler.step()
    assert scheduler.updates == 1


def test_the_hook_goes_with_the_scheduler():
    _, optimizer, _, scheduler = training()
    assert len(optimizer._optimizer_step_post_hooks) == 1
    del scheduler
    gc.collect()
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda things: pickle.loads(pickle.dumps(things))])
def test_a_copy_goes_on_counting(twin, fused):
    original = training(fused=fused)
    step_optimizer(*original[:3], infinite=True)
    original[3].step()
    parameter, optimizer, scaler, scheduler = twin(original)
    assert optimizer.param_groups[0]["params"][0] is parameter
    for t in range(4):
        step_optimizer(parameter, optimizer, scaler, infinite=t in SKIPPED)
        scheduler.step()
    assert scheduler.updates == 2
    assert original[3].updates == 0


def test_says_what_is_not_allowed():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(InputError, match=r"scaler must be a torch.amp.GradScaler, not a bool"):
        Scheduler(optimizer, linear(20), scaler=True)

    class Wrapped(torch.optim.Optimizer):
        def __init__(self, inner):
            self.inner, self.param_groups = inner, inner.param_groups

    with pytest.raises(InputError, match="tells of its steps; a Wrapped has no hooks"):
        Scheduler(Wrapped(optimizer), linear(20), scaler=torch.amp.GradScaler("cpu"))
    assert Scheduler(Wrapped(optimizer), linear(20)).next_lr == [0.1]


class Slow(skips.Parcel):
    """A parcel that is three questions under way, or longer, as from a device far behind."""

    asked_at_most = 3

    def __init__(self, number):
        super().__init__(number)
        self.asked = 0

    def arrived(self):
        self.asked += 1
        return self.asked > self.asked_at_most

    def wait(self):
        self.asked = self.asked_at_most


@pytest.mark.parametrize("delay", [3, 10**9])
def test_a_skip_that_is_known_late_sets_the_update_back(monkeypatch, delay):
    monkeypatch.setattr(skips, "Parcel", type("Parcel", (Slow,), {"asked_at_most": delay}))
    monkeypatch.setattr(skips, "LATEST", 6)
    parameter, optimizer, scaler, scheduler = training(fused=True)
    counted = []
    for t in range(24):
        step_optimizer(parameter, optimizer, scaler, infinite=t in SKIPPED)
        scheduler.step()
        counted.append(scheduler.updates)
        assert scheduler.next_lr == [0.1 * linear(20)(scheduler.updates)]
        true = t + 1 - sum(skip <= t for skip in SKIPPED)
        assert true <= scheduler.updates <= true + len(SKIPPED)
    assert counted[2] == 3  # ahead
    assert counted[-1] == 24 - len(SKIPPED)  # and set back


def test_a_checkpoint_waits_for_what_is_under_way(monkeypatch):
    monkeypatch.setattr(skips, "Parcel", type("Parcel", (Slow,), {"asked_at_most": 10**9}))
    parameter, optimizer, scaler, scheduler = training(fused=True)
    for t in range(7):
        step_optimizer(parameter, optimizer, scaler, infinite=t in SKIPPED)
        scheduler.step()
    assert scheduler.updates == 7
    assert scheduler.state_dict()["update"] == scheduler.updates == 4
    assert optimizer.param_groups[0]["lr"] == scheduler.next_lr[0] == 0.1 * linear(20)(4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_on_a_gpu_a_fused_skip_is_corrected_late_and_without_waiting():
    parameter, optimizer, scaler, scheduler = training("cuda", fused=True)
    step_optimizer(parameter, optimizer, scaler, infinite=False)
    scheduler.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for t in range(1, 9):
            optimizer.zero_grad()
            gradient = torch.full_like(parameter, torch.inf if t in SKIPPED else 1.0)
            scaler.scale((parameter * gradient).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
            assert scheduler.updates >= t + 1 - sum(skip <= t for skip in SKIPPED)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert scheduler.state_dict()["update"] == 6
    assert scheduler.next_lr == [0.1 * linear(20)(6)]
    for _ in range(3):  # what was on its way has come
        torch.cuda.synchronize()
        step_optimizer(parameter, optimizer, scaler, infinite=False)
        scheduler.step()
    assert scheduler.updates == 9
