"""Where a snapshot keeps its copies."""

import pytest
import torch

from surefoot._engine import memory
from surefoot._engine.memory import Memory
from surefoot._engine.snapshot import Snapshot
from tests.exact import assert_same, state, training, update


def test_copies_lie_beside_their_tensors_where_there_is_room():
    kept = Memory()
    kept.keep(torch.zeros(10), torch.zeros(3, dtype=torch.float64))
    assert kept.places == {"cpu": 64}
    assert kept.size == 64


@pytest.mark.parametrize("room", [0, 100, 400])
def test_what_does_not_fit_goes_to_the_disk_and_comes_back_bit_for_bit(room, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda _: room / memory.SHARE)
    monkeypatch.setattr(memory, "SMALL", 0)
    model, optimizer = training()
    update(model, optimizer)
    expected = state(model, optimizer)
    with Snapshot([model, optimizer]) as snapshot:
        for _ in range(2):
            update(model, optimizer)
        places = snapshot.places
    assert_same(state(model, optimizer), expected)
    assert places["disk"] > 0
    assert places.get("cpu", 0) <= room
    assert sum(places.values()) == snapshot.size


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.bool, torch.int64, torch.complex64])
@pytest.mark.parametrize("shape", [(), (3, 2), (0,)])
def test_all_kinds_of_tensors_go_to_the_disk(dtype, shape, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda _: -1.0)
    tensor = torch.ones(shape, dtype=dtype)
    kept = Memory()
    kept.keep(tensor)
    tensor.zero_()
    kept.restore()
    assert torch.equal(tensor, torch.ones(shape, dtype=dtype))


def test_a_part_of_a_tensor_goes_to_the_disk(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda _: 0)
    base = torch.arange(12.0).reshape(3, 4)
    part, wide = base.t()[1:3], torch.ones(1, 3).expand(4, 3)
    kept = Memory()
    kept.keep(part, wide)
    base.zero_()
    kept.restore()
    assert torch.equal(part, torch.arange(12.0).reshape(3, 4).t()[1:3])
