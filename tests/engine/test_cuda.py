"""On a GPU: restore is bitwise there too, and what is measured is fetched in blocks."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.fused import Shard
from surefoot._engine.backends.room import needed

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


def training():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 4)
    ).cuda()
    first, rest = list(model[0].parameters()), list(model[1:].parameters())
    optimizer = torch.optim.AdamW([{"params": first, "lr": 1e-3}, {"params": rest, "lr": 1e-2}])
    scaler = torch.amp.GradScaler("cuda")
    inputs = torch.randn(64, 16, device="cuda")
    targets = torch.randint(4, (64,), device="cuda")

    def step():
        with torch.autocast("cuda", dtype=torch.float16):
            loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    return model, optimizer, scaler, step


def state(model, optimizer, scaler):
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return copy.deepcopy(
        [
            model.state_dict(),
            optimizer.state_dict(),
            scaler.state_dict(),
            gradients,
            torch.get_rng_state(),
            torch.cuda.get_rng_state(),
        ]
    )


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("warm", [0, 3])
def test_find_leaves_a_mixed_precision_training_as_it_was(warm):
    model, optimizer, scaler, step = training()
    for _ in range(warm):
        step()
    before, places = state(model, optimizer, scaler), [p.data_ptr() for p in model.parameters()]
    finding = sf.find(step, optimizer, restore=[model, scaler], steps=100, progress=False)
    assert finding.lr > 0
    assert same(before, state(model, optimizer, scaler))
    assert places == [p.data_ptr() for p in model.parameters()]


def test_find_leaves_it_as_it_was_after_an_exception():
    model, optimizer, scaler, step = training()
    step()
    before = state(model, optimizer, scaler)
    calls = iter(range(1000))

    def failing():
        if next(calls) == 20:
            raise RuntimeError("in the middle")
        return step()

    with pytest.raises(RuntimeError, match="in the middle"):
        sf.find(failing, optimizer, restore=[model, scaler], steps=100, progress=False)
    assert same(before, state(model, optimizer, scaler))


def test_a_sweep_trains_on_the_device():
    data = [(torch.randn(32, 8), torch.randn(32, 1)) for _ in range(4)]
    trial = sf.Trial(
        model=lambda: nn.Linear(8, 1),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=data,
        validate=data,
        loss=nn.functional.mse_loss,
        steps=20,
        device="cuda",
        autocast=torch.bfloat16,
    )
    before = torch.cuda.get_rng_state()
    result = sf.sweep(trial, [0.01, 0.1, 100.0], seeds=1, progress=False)
    assert result.diverges_at == 100.0
    assert torch.equal(before, torch.cuda.get_rng_state())


def test_watch_adds_no_synchronisation_per_update(tmp_path):
    model, optimizer, _, _ = training()
    inputs = torch.randn(64, 16, device="cuda")
    with sf.watch(model, optimizer, to=tmp_path / "run", every=1) as watch:
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(10):
                loss = model(inputs).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                watch.step(loss)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    log = sf.read(watch.path)
    assert len(log["loss"]) == len(log["grad_norm"]) == len(log["update_ratio"]) == 10
    assert log["lr"].values.tolist() == [1e-3] * 10


def sums():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 10, generator=generator)
    targets = inputs.sum(dim=1, keepdim=True).tanh()
    return sf.Trial(
        model=lambda: nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1)),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),
        loss=nn.functional.mse_loss,
        train=[(inputs[i : i + 16], targets[i : i + 16]) for i in range(0, 64, 16)],
        steps=30,
        device="cuda",
    )


LRS = [1e-3, 1e-2, 0.1]


@pytest.mark.parametrize("backend", ["fused", "compiled", "auto"])
def test_stacked_members_train_as_those_of_the_loop(backend):
    alone = sf.sweep(sums(), LRS, seeds=2, backend="loop").members
    found = sf.sweep(sums(), LRS, seeds=2, backend=backend).members
    for one, other in zip(alone, found, strict=True):
        assert other.curve.values == pytest.approx(one.curve.values, rel=1e-3)


def test_updates_of_a_stack_wait_for_nothing():
    shard = Shard(Job(sums(), [(lr, 0) for lr in LRS]), LRS, 0)
    shard.advance(2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        shard.advance(10)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert shard.updates == 12


def test_memory_of_a_member_is_what_the_allocator_says():
    trial = dataclasses.replace(sums(), model=lambda: nn.Linear(10, 2**18))
    trial = dataclasses.replace(trial, loss=lambda output, _: output.square().mean())
    found = needed(Job(trial, [(1e-3, 0)]), torch.device("cuda"))
    weights = 4 * 11 * 2**18
    assert found.lasting == pytest.approx(3 * weights, rel=0.1)
    assert found.peak > found.lasting
