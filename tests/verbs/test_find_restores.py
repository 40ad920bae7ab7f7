"""``find`` in a loop: what a training changes and ``restore`` does not name."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import surefoot as sf
from surefoot import InputError
from tests.exact import assert_same, state, training, update


def test_a_list_that_misses_the_model_is_refused_before_anything_moves():
    model, optimizer = training()
    expected = state(model, optimizer)
    with pytest.raises(InputError, match="misses a Net"):
        sf.find(lambda: update(model, optimizer), optimizer, restore=[], steps=40)
    assert_same(state(model, optimizer), expected)


def test_a_list_that_misses_a_part_of_the_model_is_refused():
    body, head = nn.Linear(3, 4), nn.Linear(4, 1)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
    with pytest.raises(InputError, match="misses a Linear"):
        sf.find(lambda: 1.0, optimizer, restore=[body], steps=40)


def test_bare_tensors_need_no_model():
    weight = torch.tensor([3.0], requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def train_step():
        loss = weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    finding = sf.find(train_step, optimizer, restore=[], steps=60)
    assert finding.source == "measured"
    assert weight.item() == 3.0


def average(model):
    return AveragedModel(model), lambda ema, _: ema.update_parameters(model)


def norm(_):
    other = nn.BatchNorm1d(3)
    return other, lambda other, x: other(x)


def by_data(model):
    other = copy.deepcopy(model)
    return other, lambda other, _: other.first.weight.data.mul_(0.9)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (average, "AveragedModel|Linear|BatchNorm"),
        (norm, "BatchNorm1d, whose 'running_mean'"),
        (by_data, "Linear, whose 'weight'"),
    ],
)
def test_a_model_that_the_step_changes_must_be_named(make, said):
    model, optimizer = training()
    other, change = make(model)

    def train_step():
        change(other, torch.randn(8, 3))
        return update(model, optimizer)

    with pytest.raises(InputError, match=said):
        sf.find(train_step, optimizer, restore=[model], steps=40)
    sf.find(train_step, optimizer, restore=[model, other], steps=40)


def test_a_second_optimizer_that_is_stepped_must_be_named():
    model, optimizer = training()
    other = nn.Linear(2, 1)
    second = torch.optim.Adam(other.parameters(), lr=1e-3)

    def train_step():
        other(torch.ones(4, 2)).sum().backward()
        second.step()
        return update(model, optimizer)

    train_step()
    with pytest.raises(InputError, match=r"misses a (Adam|Linear)"):
        sf.find(train_step, optimizer, restore=[model], steps=40)
    expected = state(other, second)
    sf.find(train_step, optimizer, restore=[model, other, second], steps=40)
    assert_same(state(other, second), expected)


@pytest.mark.parametrize("steps_itself", [True, False])
@pytest.mark.parametrize(
    "kind",
    [
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 10),
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=500),
    ],
)
def test_a_scheduler_that_is_attached_goes_on_where_it_was(kind, steps_itself):
    model, optimizer = training()
    scheduler = kind(optimizer)
    for _ in range(3):
        update(model, optimizer)
        scheduler.step()
    expected = state(model, optimizer), copy.deepcopy(scheduler.state_dict())

    def train_step():
        loss = update(model, optimizer)
        if steps_itself:
            scheduler.step()
        return loss

    finding = sf.find(train_step, optimizer, restore=[model], steps=60)
    assert finding.cost.updates > 16
    assert_same(state(model, optimizer), expected[0])
    found = scheduler.state_dict()
    assert {k: v for k, v in found.items() if k != "anneal_func"} == {
        k: v for k, v in expected[1].items() if k != "anneal_func"
    }
