"""A training with everything that can go wrong in it, and the comparison of its states, bit by bit.

Written without the code under test: states are read with ``state_dict``, ``clone`` and ``id``.
"""

# ruff: noqa: NPY002  users draw from the global generator
import copy
import random
from typing import Any

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    """Batch norm, dropout, a frozen parameter, and a counter that is no tensor."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(8, 1)
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.last(self.drop(torch.relu(self.norm(self.first(x))))) * self.scale


INPUT = torch.randn(16, 4, generator=torch.Generator().manual_seed(5))
TARGET = INPUT.sum(dim=1, keepdim=True)


def groups_of(model):
    """Two parameter groups of different lr."""
    return [
        {"params": [*model.first.parameters(), *model.norm.parameters()], "lr": 0.01},
        {"params": model.last.parameters(), "lr": 0.03},
    ]


def training(seed=0, optimizer=None):
    """Return a fresh model and its optimizer: SGD with momentum over two groups, or another."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    model = Net()
    if optimizer is None:
        return model, torch.optim.SGD(groups_of(model), lr=0.01, momentum=0.9)
    return model, optimizer(model)


def update(model, optimizer):
    """Make one update, of any kind of optimizer, and return the loss."""

    def closure():
        optimizer.zero_grad()
        noisy = INPUT + 0.01 * torch.randn_like(INPUT) + float(np.random.rand()) * random.random()
        loss = (model(noisy) - TARGET).square().mean()
        loss.backward()
        return loss

    if isinstance(optimizer, torch.optim.LBFGS):
        return optimizer.step(closure)
    loss = closure()
    optimizer.step()
    return loss


def rng_state():
    """Return the state of the three global generators."""
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }


def state(model, optimizer=None, *, rng=True) -> dict[str, Any]:
    """Return copies of all that belongs to a training, and which objects hold it."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    result = {
        "values": copy.deepcopy(model.state_dict()),
        "objects": {name: id(tensor) for name, tensor in tensors.items()},
        "places": {name: tensor.data_ptr() for name, tensor in tensors.items()},
        "kinds": {name: (t.dtype, t.shape, t.requires_grad) for name, t in tensors.items()},
        "gradients": {
            name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()
        },
        "gradient objects": {
            name: None if p.grad is None else id(p.grad) for name, p in model.named_parameters()
        },
        "flags": {name: module.training for name, module in model.named_modules()},
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
        "calls": getattr(model, "calls", None),
    }
    if optimizer is not None:
        result["optimizer"] = copy.deepcopy(optimizer.state_dict())
        result["groups"] = [id(group) for group in optimizer.param_groups]
        result["state objects"] = [
            {key: id(value) for key, value in entries.items() if isinstance(value, torch.Tensor)}
            for entries in optimizer.state.values()
        ]
    if rng:
        result["rng"] = rng_state()
    return result


def assert_same(one: Any, other: Any, where: str = "state") -> None:
    """Compare two states; tensors and arrays bit by bit, NaN equal to NaN."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert one.shape == other.shape, where
        assert torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)), where
        assert torch.equal(torch.isnan(one), torch.isnan(other)), where
    elif isinstance(one, np.ndarray):
        assert np.array_equal(one, other), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{index}]")
    else:
        assert one == other, where
