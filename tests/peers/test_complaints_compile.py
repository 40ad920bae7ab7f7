"""Complaints about compiled optimizers: rows 23–26 of docs/complaints.md."""

import shutil

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.optim import lr_scheduler as torch_schedulers

from surefoot import Scheduler
from surefoot.schedules import one_cycle, one_cycle_momentum, plateau

with_a_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler"
)
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def graphs(make, updates, *, backend="eager", tensor=True, metric=None, betas=(0.95, 0.999)):
    """Return how many graphs a compiled AdamW takes under a scheduler."""
    torch._dynamo.reset()
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    lr = torch.tensor(0.1) if tensor else 0.1
    optimizer = torch.optim.AdamW([parameter], lr=lr, betas=betas)
    scheduler = make(optimizer)
    counter = CompileCounterWithBackend(backend)
    step = torch.compile(optimizer.step, backend=counter)
    for _ in range(updates):
        step()
        scheduler.step(*([] if metric is None else [metric]))
    return counter.frame_count


def ours(optimizer):
    return Scheduler(optimizer, one_cycle(), total=200)


def with_momentum(optimizer):
    schedules = {"lr": one_cycle(), "betas.0": one_cycle_momentum()}
    return Scheduler(optimizer, schedules, total=200)


@quiet
def test_23_a_rate_that_is_a_float():
    def steps(o):
        return torch_schedulers.StepLR(o, 1, 0.9)

    assert graphs(steps, 20, tensor=False) == 2  # torch has mended this in effect
    assert graphs(ours, 20, tensor=False) <= 2
    assert graphs(ours, 200) == 1


@quiet
def test_24_control_by_a_metric_of_a_tensor():
    def reduced(o):
        return torch_schedulers.ReduceLROnPlateau(o, patience=0)

    assert graphs(reduced, 5, metric=1.0) == 1  # torch has mended this
    controlled = graphs(
        lambda o: Scheduler(o, "hold()", total=20, control=plateau(patience=1)), 20, metric=1.0
    )
    assert controlled == 1


@quiet
@with_a_compiler
@pytest.mark.slow
def test_25_betas_that_move():
    def theirs(o):
        return torch_schedulers.OneCycleLR(o, 0.1, total_steps=40)

    assert graphs(theirs, 4, backend="inductor") == 5  # one for each update
    tensors = (torch.tensor(0.95), torch.tensor(0.999))
    assert graphs(with_momentum, 200, backend="inductor", betas=tensors) <= 2


@quiet
def test_26_an_optimizer_whose_step_is_compiled():
    def compiled():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        optimizer.step = torch.compile(optimizer.step, backend="eager")
        return optimizer

    with pytest.raises(AttributeError, match="__func__"):
        torch_schedulers.LinearLR(compiled())
    optimizer = compiled()
    step = optimizer.step
    scheduler = Scheduler(optimizer, "linear()", total=10)
    optimizer.step()
    scheduler.step()
    assert optimizer.step is step
    assert scheduler.last_lr == [0.1]
    assert scheduler.next_lr == [pytest.approx(0.09)]
