"""``watch`` of compiled updates: measured, and their graphs stay as they are."""

import pytest
import torch
from torch import nn

import surefoot as sf
from tests.exact import INPUT, TARGET

# torch's compiler warns of torch's own deprecated parts
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def compiled_step(model, optimizer):
    """Return a whole update, its optimizer's step compiled, as torch's tutorial has it."""
    step = torch.compile(lambda: optimizer.step(), backend="eager")

    def train_step():
        optimizer.zero_grad()
        loss = (model(INPUT) - TARGET).square().mean()
        loss.backward()
        step()
        return loss

    return train_step


def graphs(watched, folder):
    """Return the graphs of a compiled model and step, and the weights they end with."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.01))
    train_step = compiled_step(torch.compile(model, backend="eager"), optimizer)
    watch = sf.watch(model, optimizer, to=folder, every=3) if watched else None
    for _ in range(12):
        loss = train_step()
        if watch is not None:
            watch.step(loss)
    if watch is not None:
        watch.close()
    weights = [p.detach().clone() for p in model.parameters()]
    return counters["stats"]["unique_graphs"], weights


def test_compiled_updates_keep_their_graphs_and_are_measured_from_outside(tmp_path):
    count, weights = graphs(watched=False, folder=None)
    assert graphs(watched=True, folder=tmp_path / "run")[0] == count == 2
    again = graphs(watched=True, folder=tmp_path / "run-2")[1]
    assert all(map(torch.equal, weights, again))
    log = sf.read(tmp_path / "run")
    assert log["loss"].steps.tolist() == list(range(12))
    assert log["grad_norm"].steps.tolist() == log["update_ratio"].steps.tolist() == [3, 6, 9]
    assert log["alpha"].steps.tolist() == [4, 7, 10]


def test_a_compiled_update_has_the_numbers_of_an_uncompiled_one(tmp_path):
    found = {}
    for compiled in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        with sf.watch(model, optimizer, to=tmp_path / "run", every=3) as watch:
            train_step = compiled_step(model, optimizer)
            for _ in range(12):
                if compiled:
                    watch.step(train_step())
                else:
                    optimizer.zero_grad()
                    loss = (model(INPUT) - TARGET).square().mean()
                    loss.backward()
                    optimizer.step()
                    watch.step(loss)
        found[compiled] = sf.read(watch.path)
    for name in ("grad_norm", "update_ratio", "slope_before", "slope_after"):
        plain = dict(zip(*found[False][name], strict=True))
        for step, value in zip(*found[True][name], strict=True):
            assert value == pytest.approx(plain[step], rel=1e-4)
