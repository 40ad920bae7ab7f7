"""Fused members against torch run one by one."""

import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from torch import nn, optim
from torch.nn.functional import cross_entropy, mse_loss

import surefoot as sf
from surefoot import InputError
from surefoot._engine.backends._backend import Job, UnfitError
from surefoot._engine.backends.fused import Shard

LRS = np.geomspace(1e-5, 10, 7).tolist()
UPDATES = 25


class Weights(nn.Module):
    """Two matrices; a loss that is quadratic in each element needs no sum for its gradient."""

    def __init__(self, biases=True):
        super().__init__()
        self.first = nn.Parameter(torch.randn(6, 5))
        self.second = nn.Parameter(torch.randn(5, 7))
        if biases:
            self.bias = nn.Parameter(torch.randn(7))


def bowls(model, batch):
    total = 0.0
    for number, parameter in enumerate(model.parameters()):
        slope = batch[number][: parameter.numel()].view(parameter.shape)
        total = total + (0.06 * parameter * parameter + slope * parameter).sum()
    return total


SLOPES = [
    [torch.randn(64, generator=torch.Generator().manual_seed(10 * t + i)) for i in range(3)]
    for t in range(20)
]


class Recorder:
    """A validation function that keeps the parameters of every member."""

    def __init__(self):
        self.seen = []

    def __call__(self, model):
        self.seen.append({name: p.detach().clone() for name, p in model.named_parameters()})
        return 0.0


def elementwise(optimizer, model=Weights, **changes):
    return sf.Trial(
        **{
            "model": model,
            "optimizer": optimizer,
            "objective": bowls,
            "train": SLOPES,
            "validate": Recorder(),
            "steps": UPDATES,
            **changes,
        }
    )


def one_by_one(trial, lrs=LRS, seed=0):
    """Train with plain torch and return the final parameters for each rate."""
    found = []
    for lr in lrs:
        torch.manual_seed(seed)
        model = trial.model()
        optimizer = trial.optimizer(model, lr)
        for update in range(trial.steps):
            optimizer.zero_grad()
            trial.objective(model, list(trial.train)[update % len(trial.train)]).backward()
            optimizer.step()
        found.append({name: p.detach() for name, p in model.named_parameters()})
    return found


def fused(trial, lrs=LRS, **options):
    trial.validate.seen.clear()
    sf.sweep(trial, lrs, seeds=1, backend="fused", **options)
    return trial.validate.seen[-len(lrs) :]  # before them untrained models, and those of the check


def of(kind, **options):
    return lambda model, lr: kind(model.parameters(), lr=lr, **options)


def grouped(model, lr):
    return optim.AdamW(
        [
            {"params": [model.first], "weight_decay": 0.0},
            {"params": [model.second, model.bias], "lr": 3 * lr, "betas": (0.8, 0.99)},
        ],
        lr=lr,
    )


SCALING = {
    "SGD": of(optim.SGD),
    "SGD momentum": of(optim.SGD, momentum=0.9),
    "SGD Nesterov": of(optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.01),
    "SGD dampening": of(optim.SGD, momentum=0.9, dampening=0.3),
    "Adam": of(optim.Adam),
    "Adam amsgrad": of(optim.Adam, amsgrad=True, weight_decay=0.01),
    "RMSprop": of(optim.RMSprop),
    "RMSprop centered": of(optim.RMSprop, centered=True, momentum=0.9),
    "Adagrad": of(optim.Adagrad),
    "Adagrad decay": of(optim.Adagrad, lr_decay=0.01),
    "Adadelta": of(optim.Adadelta),
    "RAdam": of(optim.RAdam),
    "Adamax": of(optim.Adamax),
}
DECOUPLED = {
    "AdamW": of(optim.AdamW, weight_decay=0.05),
    "groups": grouped,
    "RAdam decoupled": of(optim.RAdam, weight_decay=0.05, decoupled_weight_decay=True),
}
OTHERS = {
    "NAdam": of(optim.NAdam),
    "Rprop": of(optim.Rprop),
    "ASGD": of(optim.ASGD, lambd=0.01),
    "Adafactor": of(optim.Adafactor),
}


@pytest.mark.parametrize("name", SCALING | DECOUPLED | OTHERS)
def test_exact_updates_are_those_of_torch_to_the_last_bit(name):
    trial = elementwise((SCALING | DECOUPLED | OTHERS)[name])
    for alone, together in zip(one_by_one(trial), fused(trial, exact=True), strict=True):
        for key, value in alone.items():
            assert torch.equal(value, together[key]), key


def test_muon_too():
    trial = elementwise(of(optim.Muon), model=lambda: Weights(biases=False))
    for alone, together in zip(one_by_one(trial), fused(trial, exact=True), strict=True):
        assert torch.equal(alone["first"], together["first"])
        assert torch.equal(alone["second"], together["second"])


@pytest.mark.parametrize("name", OTHERS)
def test_where_the_update_is_not_proportional_to_the_rate_it_is_exact_whatever_was_asked(name):
    trial = elementwise(OTHERS[name])
    assert Shard(Job(trial, [(lr, 0) for lr in LRS], exact=False), LRS, 0).exact


@pytest.mark.parametrize("name", SCALING | DECOUPLED)
def test_quick_updates_differ_by_rounding(name):
    trial = elementwise((SCALING | DECOUPLED)[name])
    limit = 1e-5 if name in DECOUPLED else 1e-6
    pairs = zip(LRS, one_by_one(trial), fused(trial, exact=False), strict=True)
    for lr, alone, together in pairs:
        if lr > 1:
            continue
        for key, value in alone.items():
            off = float((together[key] - value).norm() / value.norm())
            assert off <= limit, (lr, key, off)


X = torch.randn(48, 5, generator=torch.Generator().manual_seed(2))
Y = (X.sum(dim=1) > 0).long() + (X[:, 0] > 0.3).long()


def net():
    return nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 3))


def with_dropout():
    return nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 3))


def partly_frozen():
    model = net()
    model[0].requires_grad_(False)
    return model


def tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(5, 5)
            self.again = self.inner
            self.last = nn.Linear(5, 3)

        def forward(self, x):
            return self.last(torch.tanh(self.again(torch.tanh(self.inner(x)))))

    return Tied()


class Remembers(nn.Module):
    """Keeps what it saw in an attribute that is no buffer, and uses it at the next update."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.last = None

    def forward(self, x):
        found = self.layer(x)
        before, self.last = self.last, found.detach()
        return found if before is None else found + 0.5 * before


def sees_the_weights(model, batch):
    return cross_entropy(model(batch[0]), batch[1]) + 0.01 * model[0].weight.square().sum()


def mutates(model, batch):
    return cross_entropy(model(batch[0].mul_(0.5)), batch[1])


def real(**changes):
    return sf.Trial(
        **{
            "model": net,
            "optimizer": of(optim.SGD, momentum=0.9),
            "train": [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 48, 16)],
            "loss": cross_entropy,
            "validate": [(X, Y)],
            "steps": 30,
            **changes,
        }
    )


STABLE = [1e-4, 3e-3, 0.03, 0.1]

REAL = {
    "BatchNorm": {},
    "dropout": {"model": with_dropout},
    "dropout, Adam": {"model": with_dropout, "optimizer": of(optim.Adam)},
    "frozen parameters": {"model": partly_frozen},
    "tied weights": {"model": tied},
    "Adafactor": {"optimizer": of(optim.Adafactor), "model": with_dropout},
    "clipping": {"clip_norm": 0.1},
    "accumulation": {"accumulate": 3},
    "a schedule": {"schedule": "warmup(5) >> cosine()"},
    "weight decay": {"optimizer": of(optim.AdamW, weight_decay=0.1), "model": with_dropout},
    "an objective that reads the weights": {"loss": None, "objective": sees_the_weights},
    "memory in an attribute": {"model": Remembers, "validate": None},
    "a batch changed in place": {"loss": None, "objective": mutates},
    "double precision": {
        "model": lambda: net().double(),
        "train": [(X.double(), Y)],
        "validate": [(X.double(), Y)],
    },
    "all of it": {
        "model": lambda: nn.Sequential(*net(), nn.Dropout(0.1)),
        "clip_norm": 0.5,
        "accumulate": 2,
        "schedule": "warmup(5) >> linear()",
        "optimizer": of(optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.01),
    },
}


@pytest.mark.parametrize("name", REAL)
def test_fused_members_train_as_those_of_the_loop(name):
    trial = real(**REAL[name])
    alone = sf.sweep(trial, STABLE, seeds=2, backend="loop").members
    for exact, seeds in ((True, 2), (False, 1)):
        together = sf.sweep(trial, STABLE, seeds=seeds, backend="fused", exact=exact).members
        for one, other in zip(alone[: seeds * len(STABLE)], together, strict=True):
            assert (one.lr, one.seed, one.updates) == (other.lr, other.seed, other.updates)
            assert other.curve.values == pytest.approx(one.curve.values, rel=1e-5, abs=1e-7), exact
            assert other.loss == pytest.approx(one.loss, rel=1e-4), exact


def test_in_double_precision_even_rates_at_which_training_is_chaos_agree():
    trial = real(model=lambda: with_dropout().double(), train=[(X.double(), Y)], validate=None)
    alone = sf.sweep(trial, LRS, seeds=1, backend="loop").members
    together = sf.sweep(trial, LRS, seeds=1, backend="fused", exact=True).members
    for one, other in zip(alone, together, strict=True):
        assert other.curve.values == pytest.approx(one.curve.values, rel=1e-5)


def test_rates_at_which_training_explodes_end_as_in_the_loop_and_disturb_nobody():
    trial = real(loss=None, objective=lambda m, batch: mse_loss(m(batch[0]), batch[0][:, :3]))
    trial = dataclasses.replace(trial, model=lambda: nn.Linear(5, 3), validate=None, steps=120)
    lrs = [0.01, 1e3, 0.1, 1e30]
    alone = sf.sweep(trial, lrs, seeds=1, backend="loop").members
    together = sf.sweep(trial, lrs, seeds=1, backend="fused", exact=True).members
    assert [m.updates for m in alone] == [m.updates for m in together]
    assert [len(m.curve) for m in alone] == [len(m.curve) for m in together]
    assert [m.loss for m in together[2:]] == [math.inf, math.inf]
    assert [m.loss for m in together[:2]] == pytest.approx([m.loss for m in alone[:2]], rel=1e-5)


def test_when_every_member_is_lost_the_rest_of_the_budget_is_not_trained():
    stepped = []

    class Counted(optim.SGD):
        def step(self, closure=None):
            stepped.append(1)
            return super().step(closure)

    trial = real(
        model=lambda: nn.Linear(5, 3),
        optimizer=of(Counted),
        validate=None,
        steps=1000,
        loss=None,
        objective=lambda m, batch: mse_loss(m(batch[0]), batch[0][:, :3]),
    )
    with pytest.raises(InputError, match="stayed finite"):
        sf.sweep(trial, [1e30, 1e31], seeds=1, backend="fused", exact=True)
    assert len(stepped) < 2 * 60


def test_each_member_draws_its_own_numbers_if_asked():
    trial = real(model=with_dropout, validate=None)
    lrs = [1e-9, 2e-9]  # nothing is learned: only the masks make a difference
    for backend in ("loop", "fused"):
        same = sf.sweep(trial, lrs, seeds=1, backend=backend).members
        apart = sf.sweep(trial, lrs, seeds=1, backend=backend, randomness="different").members
        assert same[0].curve.values == pytest.approx(same[1].curve.values, rel=1e-5)
        assert not np.allclose(apart[0].curve.values, apart[1].curve.values, rtol=1e-3)
        assert apart[0].curve.values.mean() == pytest.approx(same[0].curve.values.mean(), rel=0.05)


def test_nothing_outside_is_touched():
    before = (torch.get_rng_state(), np.random.get_state()[1].copy())  # noqa: NPY002
    sf.sweep(real(model=with_dropout), STABLE, seeds=1, backend="fused")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_the_optimizer_state_of_one_member_is_its_own():
    class Together(optim.SGD):
        """Scales its update by the norm of all its parameters, as trust ratios do."""

        @torch.no_grad()
        def step(self, closure=None):
            parameters = [p for group in self.param_groups for p in group["params"]]
            norm = torch.stack([p.norm() for p in parameters]).norm()
            for p in parameters:
                p -= self.param_groups[0]["lr"] * norm * p.grad

    trial = real(model=with_dropout, optimizer=of(Together))
    alone = sf.sweep(trial, STABLE, seeds=1, backend="loop").members
    together = sf.sweep(trial, STABLE, seeds=1, backend="fused").members
    for one, other in zip(alone, together, strict=True):
        assert other.curve.values == pytest.approx(one.curve.values, rel=1e-5)


# What cannot be fused.


class Elsewhere(nn.Module):
    """Its weights are reached past the module's own books."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.kept = [self.layer.weight]

    def forward(self, x):
        return x @ self.kept[0].T


def hooked():
    model = with_dropout()
    model[0].weight.register_hook(lambda grad: 0.1 * grad)
    return model


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x):
        found = self.layer(x)
        return found if found.mean() > 0 else 2 * found


STRANGER = nn.Parameter(torch.ones(1))


def also_a_stranger(model, lr):
    return optim.SGD([*model.parameters(), STRANGER], lr=lr)


UNFIT = {
    "weights kept elsewhere": ({"model": Elsewhere}, "gradient of its parameter|together"),
    "a gradient hook": ({"model": hooked}, "'0.weight' has a gradient hook"),
    "a branch on values": ({"model": Branches}, "branches on the values of tensors"),
    "a foreign parameter": ({"optimizer": also_a_stranger}, "not the model's"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_fused_is_refused_with_its_reason_and_auto_runs_the_loop(name):
    changes, said = UNFIT[name]
    trial = real(**changes)
    with pytest.raises(UnfitError, match=f"This trial cannot be fused: .*({said})"):
        sf.sweep(trial, STABLE, seeds=1, backend="fused")
    alone = sf.sweep(trial, STABLE, seeds=1, backend="loop").members
    result = sf.sweep(trial, STABLE, seeds=1)
    assert result.members == alone
    assert result.engine.backend == "loop"
    assert re.search("^it cannot be fused: |takes loop ", result.engine.reason)  # or was the slower
