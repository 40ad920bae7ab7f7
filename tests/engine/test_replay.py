"""A loader that can go back."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf
from surefoot._engine.replay import replay
from surefoot.errors import InputError


def loader(shuffle=True, workers=0):
    data = TensorDataset(torch.arange(10.0))
    return DataLoader(data, 3, shuffle=shuffle, num_workers=workers)


def values(batches):
    return [batch[0].tolist() for batch in batches]


@given(st.lists(st.sampled_from(["next", "iter"]), max_size=12), st.integers(0, 12))
def test_what_is_drawn_again_is_what_was_drawn(calls, before):
    def follow(batches):
        return [next(batches, "end") if call == "next" else bool(iter(batches)) for call in calls]

    batches = replay([1, 2, 3])
    for _ in range(before):
        next(batches, None)
    place = batches.mark()
    first = follow(batches)
    batches.rewind(place)
    assert follow(batches) == first
    batches.rewind(place)
    batches.release()
    assert follow(batches) == first


def test_each_epoch_is_whole_and_nothing_is_kept_without_a_mark():
    batches = replay(loader())
    for _ in range(3):
        assert sorted(each for batch in values(batches) for each in batch) == list(range(10))
    assert batches._record == []


def test_a_loop_that_was_left_begins_again_like_a_loaders():
    batches = replay([1, 2, 3])
    for batch in batches:
        if batch == 2:
            break
    assert list(batches) == [1, 2, 3]


def test_an_endless_generator_over_it_goes_back_too():
    batches = replay([1, 2, 3])

    def forever():
        while True:
            yield from batches

    endless = forever()
    first = [next(endless) for _ in range(2)]
    place = batches.mark()
    then = [next(endless) for _ in range(5)]
    batches.rewind(place)
    assert (first, then) == ([1, 2], [3, 1, 2, 3, 1])
    assert [next(endless) for _ in range(5)] == then


def test_what_is_changed_in_place_comes_back_unchanged():
    batches = replay(loader())
    place = batches.mark()
    first = next(batches)[0]
    kept = first.clone()
    first.zero_()
    batches.rewind(place)
    assert torch.equal(next(batches)[0], kept)


def test_drawing_leaves_the_generators_alone():
    batches = replay(loader())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    list(batches)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_epoch_is_the_one_that_the_loader_would_have_given():
    torch.manual_seed(3)
    plain = values(loader())
    torch.manual_seed(3)
    assert values(replay(loader())) == plain


def test_it_looks_like_the_loader():
    batches = replay(loader())
    assert (len(batches), batches.batch_size) == (4, 3)
    with pytest.raises(AttributeError):
        batches.nothing  # noqa: B018
    assert copy.copy(batches).batch_size == 3


@pytest.mark.parametrize("bad", [iter([1]), 3, (x for x in [1])])
def test_what_can_be_iterated_once_is_refused(bad):
    with pytest.raises(InputError, match="again and again"):
        sf.replay(bad)


def test_a_search_leaves_the_training_that_would_have_been():
    def train(search):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(1, 4), torch.nn.Dropout(0.2), torch.nn.Linear(4, 1)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        batches = sf.replay(loader())
        endless = (each for _ in iter(int, 1) for each in batches)

        def train_step():
            (x,) = next(endless)
            loss = (model(x[:, None] / 10) - x[:, None]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        for _ in range(5):
            train_step()
        if search:
            sf.find(train_step, optimizer, restore=[model, batches], steps=80)
        return np.array([train_step().item() for _ in range(12)])

    assert np.array_equal(train(search=True), train(search=False))
