import math

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import InputError, Scheduler
from surefoot._engine import groups
from surefoot._engine.fields import Field

USUAL = {
    "SGD": 0.1,
    "Adam": 1e-3,
    "AdamW": 1e-3,
    "Adamax": 1e-3,
    "NAdam": 1e-3,
    "RAdam": 1e-3,
    "SparseAdam": 1e-3,
    "Muon": 1e-3,
    "RMSprop": 0.01,
    "Adagrad": 0.01,
    "Adafactor": 0.01,
    "Adadelta": 1.0,
    "ASGD": 0.01,
    "Rprop": 0.01,
    "LBFGS": 1.0,
}


def optimizer(*lrs):
    return torch.optim.SGD(
        [{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in lrs], lr=0.1
    )


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_rate_of_each_stock_optimizer(name):
    made = getattr(torch.optim, name)([nn.Parameter(torch.ones(2, 2))])
    assert groups.default_lr(made) == USUAL[name]


def test_the_usual_rate_of_a_subclass_is_that_of_its_base_and_of_a_stranger_1e_3():
    class Mine(torch.optim.SGD):
        pass

    class Stranger(torch.optim.Optimizer):
        pass

    parameters = [nn.Parameter(torch.ones(1))]
    assert groups.default_lr(Mine(parameters, lr=1.0)) == 0.1
    assert groups.default_lr(Stranger(parameters, {"lr": 1.0})) == 1e-3


def test_the_usual_rates_are_those_of_torch_but_for_sgd_and_the_adam_family():
    for name in set(USUAL) - {"SGD", "Adamax", "NAdam"}:
        made = getattr(torch.optim, name)([nn.Parameter(torch.ones(2, 2))])
        assert made.param_groups[0]["lr"] == USUAL[name], name


def test_ratios_are_to_the_first_group():
    assert groups.ratios(optimizer(0.1, 0.3, 0.0)) == pytest.approx((1.0, 3.0, 0.0))


@pytest.mark.parametrize(
    ("lrs", "said"),
    [
        ((0.0, 0.1), "the lr of the optimizer's first parameter group must be a finite"),
        ((math.nan,), "the lr of the optimizer's first parameter group"),
        ((0.1, math.nan), "must be finite and ≥ 0"),
        ((0.1, math.inf), "must be finite and ≥ 0"),
        ((0.1, -0.2), "must be finite and ≥ 0"),
    ],
)
def test_rates_without_a_ratio_are_refused(lrs, said):
    made = optimizer(*[0.1] * len(lrs))
    for group, lr in zip(made.param_groups, lrs, strict=True):
        group["lr"] = lr
    with pytest.raises(InputError, match=said):
        groups.ratios(made)


def test_a_group_without_lr_is_refused_by_its_number():
    made = optimizer(0.1, 0.2)
    del made.param_groups[1]["lr"]
    with pytest.raises(InputError, match="group 1 of SGD has none"):
        groups.read(made)


def test_a_whole_number_becomes_a_rate_and_a_base_of_another_kind_a_number():
    made = optimizer(1, 0.5)
    made.param_groups[1]["initial_lr"] = torch.tensor(0.5)  # as torch's schedulers leave it
    assert groups.advance(made.param_groups, 0.5, 1.0) == [1.0, 0.5]
    assert groups.read(made) == (0.5, 0.25)
    assert [type(group["lr"]) for group in made.param_groups] == [float, float]
    assert [group["initial_lr"] for group in made.param_groups] == [1.0, 0.5]


def test_one_place_of_a_list_or_tuple_is_written():
    group = {"betas": (0.9, 0.99), "list": [1.0, 2.0], "tensors": (torch.tensor(1.0), 2.0)}
    for entry in group:
        groups.put(group, Field(f"{entry}.0", entry, 0), 0.5)
    assert group == {"betas": (0.5, 0.99), "list": [0.5, 2.0], "tensors": (torch.tensor(0.5), 2.0)}


def test_a_tensor_lr_is_filled_in_place():
    lr = torch.tensor(0.5)
    made = torch.optim.Adam([nn.Parameter(torch.ones(1))], lr=lr)
    groups.write(made, [0.25])
    assert made.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25


def test_every_group_needs_a_rate_and_a_factor():
    made = optimizer(0.1, 0.2)
    for call in (
        lambda: groups.write(made, [0.3]),
        lambda: groups.fill_each(made.param_groups, Field("lr", "lr"), [0.5]),
    ):
        with pytest.raises(ValueError, match="zip"):
            call()


def test_numbers_of_numpy_become_floats():
    made = optimizer(np.float32(0.5), np.float64(0.25))
    Scheduler(made, "linear(4)").seek(2)
    assert [group["lr"] for group in made.param_groups] == [0.25, 0.125]
    assert [type(group["lr"]) for group in made.param_groups] == [float, float]
