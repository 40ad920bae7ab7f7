"""``watch`` where two ranks train one model: one record, of the whole model."""

import json
import os
import socket

import pytest
import torch
from torch import distributed, multiprocessing, nn

import surefoot as sf

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(), reason="needs gloo"
)
UPDATES = 30


def make(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1, bias=False))
    if kind == "DDP":
        return nn.parallel.DistributedDataParallel(model)
    if kind == "FSDP2":
        from torch.distributed.fsdp import fully_shard

        fully_shard(model[0])
        return fully_shard(model)
    return model


def batches():
    return torch.randn(UPDATES, 32, 4, generator=torch.Generator().manual_seed(1))


def train(model, optimizer, watch, part):
    for batch in batches():
        x = batch[part]
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if watch is not None:
            watch.step(loss)
            if watch.updates % 10 == 0:
                watch.validation(loss)


def weights(model):
    return [
        (p.full_tensor() if hasattr(p, "full_tensor") else p).detach().clone()
        for p in model.parameters()
    ]


def work(rank, kind, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.set_num_threads(1)
    ended = []
    half = slice(16 * rank, 16 * rank + 16)
    for watched in (False, True):
        model = make(kind)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        if watched:
            with sf.watch(model, optimizer, to=folder / "run", every=3) as watch:
                train(model, optimizer, watch, half)
                (folder / f"{rank}.json").write_text(json.dumps([watch.updates, str(watch.path)]))
        else:
            train(model, optimizer, None, half)
        ended.append(weights(model))
    assert all(map(torch.equal, *ended))
    distributed.destroy_process_group()


@pytest.mark.parametrize("kind", ["DDP", "FSDP2"])
def test_the_record_is_that_of_one_process_with_the_whole_batch(kind, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (kind, port, tmp_path), nprocs=2)
    model = make("alone")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with sf.watch(model, optimizer, to=tmp_path / "alone", every=3) as watch:
        train(model, optimizer, watch, slice(None))
    alone, run = sf.read(tmp_path / "alone"), sf.read(tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["alone", "run"]
    for name in ("grad_norm", "update_ratio", "slope_before", "slope_after", "lr", "non_finite"):
        assert run[name].steps.tolist() == alone[name].steps.tolist()
        assert run[name].values == pytest.approx(alone[name].values, rel=1e-3, abs=1e-7)
    if kind == "FSDP2":  # all ranks take part: the loss is their mean
        assert run["loss"].values == pytest.approx(alone["loss"].values, rel=1e-4)
    assert run["loss"].steps.tolist() == list(range(UPDATES))
    assert run["validation_loss"].steps.tolist() == [9, 19, 29]
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert told == [[UPDATES, str(tmp_path / "run")]] * 2
