"""``find`` where two ranks train one model: both find the same, and leave what was there."""

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


def wrap(model, kind):
    if kind == "DDP":
        return nn.parallel.DistributedDataParallel(model)
    from torch.distributed.fsdp import fully_shard

    fully_shard(model[0])
    return fully_shard(model)


def whole(model, optimizer):
    tensors = list(model.state_dict().values())
    tensors += [each for state in optimizer.state.values() for each in state.values()]
    return [getattr(each, "full_tensor", each.clone)().clone() for each in tensors]


def work(rank, kind, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(16) if kind == "DDP" else nn.Identity()
    model = wrap(nn.Sequential(nn.Linear(4, 16), norm, nn.ReLU(), nn.Linear(16, 1)), kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(rank)  # each has batches of its own

    def train_step():
        x = torch.randn(32, 4, generator=generator)
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        train_step()
    before = whole(model, optimizer)
    finding = sf.find(train_step, optimizer, restore=[model, generator], steps=120)
    same = all(map(torch.equal, before, whole(model, optimizer)))
    told = {"same": same, "lr": finding.lr, "source": finding.source, "reason": finding.reason}
    told["attempts"] = [[each.lr, each.loss] for each in finding.attempts]
    (folder / f"{rank}.json").write_text(json.dumps(told))
    distributed.destroy_process_group()


@pytest.mark.parametrize("kind", ["DDP", "FSDP2"])
def test_two_ranks_find_the_same_and_leave_the_model_as_it_was(kind, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (kind, port, tmp_path), nprocs=2)
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert one == other
    assert one["same"]
    assert one["source"] == "measured"
