"""A compiled step is compiled once, however often its values change."""

import shutil

import pytest
import torch
from torch import nn

from surefoot import Scheduler
from surefoot.schedules import linear, warmup

# torch's compiler warns of torch's own deprecated parts
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

LR = {"lr": warmup(10) >> linear(190)}
BETAS = {**LR, "betas.0": linear(200, floor=0.9)}
DECAY = {**LR, "weight_decay": linear(200, floor=0.5)}
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")


def adam(lr, betas=(0.9, 0.999), decay=0.1):
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(3)) for _ in range(2)]
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=decay)


def tensors(*values):
    return tuple(torch.tensor(value) for value in values)


class Graphs:
    """A backend that counts what it is asked to compile."""

    def __init__(self):
        self.count = 0

    def __call__(self, module, _inputs):
        self.count += 1
        return module.forward


def run(optimizer, plans, step, updates):
    """Return the weights after training with gradients that are a function of the weights."""
    scheduler = Scheduler(optimizer, plans)
    parameters = optimizer.param_groups[0]["params"]
    for _ in range(updates):
        for parameter in parameters:
            parameter.grad = parameter.detach().sin()
        step()
        scheduler.step()
    return torch.cat([parameter.detach() for parameter in parameters])


CASES = {
    "lr": (LR, lambda: adam(torch.tensor(0.1)), 1),
    "a float lr": (LR, lambda: adam(0.1), 2),
    "betas": (BETAS, lambda: adam(torch.tensor(0.1), tensors(0.9, 0.999)), 1),
    "float betas": (BETAS, lambda: adam(torch.tensor(0.1)), 2),
    "weight decay": (DECAY, lambda: adam(torch.tensor(0.1)), 2),
}


@pytest.mark.parametrize("name", CASES)
def test_200_updates_take_this_many_graphs_and_train_alike(name):
    plans, made, graphs = CASES[name]
    torch._dynamo.reset()
    backend, optimizer = Graphs(), made()
    compiled = run(optimizer, plans, torch.compile(optimizer.step, backend=backend), 200)
    assert backend.count <= graphs
    plain = adam(0.1)
    assert torch.allclose(compiled, run(plain, plans, plain.step, 200), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", ["lr", "betas"])
def test_with_real_code_too(name):
    plans, made, graphs = CASES[name]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    optimizer = made()
    compiled = run(optimizer, plans, torch.compile(optimizer.step), 200)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= graphs
    plain = adam(0.1)
    assert torch.allclose(compiled, run(plain, plans, plain.step, 200), rtol=1e-4, atol=1e-5)


def test_an_optimizer_whose_step_is_compiled_takes_a_scheduler_of_ours_and_none_of_torchs():
    optimizer = adam(torch.tensor(0.1))
    backend = Graphs()
    optimizer.step = torch.compile(optimizer.step, backend=backend)
    with pytest.raises(AttributeError):
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1.0)
    torch._dynamo.reset()
    run(optimizer, LR, optimizer.step, 20)
    assert backend.count == 1


def test_a_scaler_s_count_costs_no_graph():
    torch._dynamo.reset()
    backend, optimizer = Graphs(), adam(torch.tensor(0.1))
    parameters = optimizer.param_groups[0]["params"]
    optimizer.step = torch.compile(optimizer.step, backend=backend)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scheduler = Scheduler(optimizer, linear(40), scaler=scaler)
    for t in range(20):
        optimizer.zero_grad()
        factor = torch.inf if t % 5 == 4 else 1.0
        scaler.scale(sum((parameter * factor).sum() for parameter in parameters)).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
    assert scheduler.updates == 16
    assert backend.count == 1
