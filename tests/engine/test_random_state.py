# ruff: noqa: NPY002  users draw from the global generator
import random

import numpy as np
import pytest
import torch

from surefoot._engine.random_state import RandomState
from tests.exact import assert_same, rng_state


def draw():
    return torch.rand(1).item(), np.random.rand(), random.random()


def seed_by_hand(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def test_a_seeded_state_draws_what_seeding_by_hand_draws():
    state = RandomState.seeded(7)
    with state.active():
        drawn = [draw(), draw()]
    seed_by_hand(7)
    assert drawn == [draw(), draw()]


def test_seeding_a_state_leaves_the_global_generators_alone():
    before = rng_state()
    RandomState.seeded(7)
    assert_same(rng_state(), before)


def test_a_state_goes_on_where_its_block_ended_and_other_draws_do_not_disturb_it():
    seed_by_hand(3)
    expected = [draw() for _ in range(4)]
    state, drawn = RandomState.seeded(3), []
    for _ in range(4):
        with state.active():
            drawn.append(draw())
        draw()
    assert drawn == expected


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_global_generators_come_back_after_an_exception(error):
    before = rng_state()
    with pytest.raises(error), RandomState.seeded(1).active():
        raise error(draw())
    assert_same(rng_state(), before)


class FakeCuda:
    """Stands in for ``torch.cuda`` where there is none: one generator, asleep at first."""

    def __init__(self, monkeypatch):
        self.awake = False
        self.generator = torch.Generator().manual_seed(1234)
        self.default_generators = (self.generator,)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: self.awake)
        monkeypatch.setattr(torch.cuda, "default_generators", self.default_generators)
        monkeypatch.setattr(torch.cuda, "manual_seed_all", self.generator.manual_seed)
        monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [self.generator.get_state()])
        monkeypatch.setattr(
            torch.cuda, "set_rng_state_all", lambda states: self.generator.set_state(states[0])
        )

    def draw(self):
        return torch.rand(1, generator=self.generator).item()


def test_cuda_is_restored_and_seeded_when_awake(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    cuda.awake = True
    cuda.draw()
    before = cuda.generator.get_state()
    state = RandomState.seeded(5)
    with state.active():
        drawn = cuda.draw()
    assert drawn == torch.rand(1, generator=torch.Generator().manual_seed(5)).item()
    assert torch.equal(cuda.generator.get_state(), before)


def test_seeding_does_not_reach_a_cuda_that_is_still_asleep(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    expected = cuda.generator.get_state()
    with RandomState.seeded(5).active():
        cuda.awake = True  # the trial moved its model there
        cuda.draw()
    assert torch.equal(cuda.generator.get_state(), expected)
