"""Trials that a stack could get wrong without an error: fused they are right, or refused."""

import functools

import numpy as np
import pytest
import torch
from torch import nn, optim
from torch.nn import functional as F

import surefoot as sf
from surefoot import InputError
from surefoot._engine.backends._backend import Job, UnfitError
from surefoot._engine.backends.agreement import _Comparison
from surefoot._engine.backends.choose import run_job
from surefoot._engine.backends.fused import Shard

G = torch.Generator().manual_seed(0)
X = torch.randn(48, 5, generator=G)
Y = (X.sum(1) > 0).long() + (X[:, 0] > 0.3).long()
LRS = [1e-3, 1e-2, 0.1, 0.5]


def sgd(model, lr):
    return optim.SGD(model.parameters(), lr=lr)


def net():
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3))


def make(**changes):
    return sf.Trial(
        **{
            "model": net,
            "optimizer": sgd,
            "train": [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 48, 16)],
            "loss": F.cross_entropy,
            "steps": 30,
            "validate": [(X, Y)],
            **changes,
        }
    )


class Cached(nn.Module):
    """Keeps its weights in eval mode, as quick inference does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.kept = None

    def train(self, mode=True):
        self.kept = None if mode else self.kept
        return super().train(mode)

    def forward(self, x):
        if self.training:
            return self.layer(x)
        if self.kept is None:
            self.kept = self.layer.weight.detach().clone()
        return F.linear(x, self.kept, self.layer.bias)


class Merged(nn.Module):
    """A low-rank part that is merged into frozen weights in eval mode."""

    def __init__(self):
        super().__init__()
        self.whole = nn.Parameter(torch.randn(3, 5) * 0.3, requires_grad=False)
        self.a = nn.Parameter(torch.randn(2, 5) * 0.3)
        self.b = nn.Parameter(torch.zeros(3, 2))
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        with torch.no_grad():
            if mode == self.merged:
                self.whole += (self.b @ self.a) * (-1 if mode else 1)
                self.merged = not mode
        return self

    def forward(self, x):
        found = F.linear(x, self.whole)
        return found if self.merged else found + F.linear(F.linear(x, self.a), self.b)


class Head(nn.Module):
    """Its last layer begins at zero, so that no gradient reaches the first one at first."""

    def __init__(self, kind):
        super().__init__()
        self.first, self.last = nn.Linear(5, 16), nn.Linear(16, 3)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.kind = kind
        if kind == "module":
            self.last.register_full_backward_pre_hook(lambda _, grads: (0.1 * grads[0],))

    def forward(self, x):
        found = torch.tanh(self.first(x))
        if self.kind == "tensor" and found.requires_grad:
            found.register_hook(lambda grad: -grad)
        return self.last(found)


class Average(nn.Module):
    """Frozen weights that follow the others, and are what validation sees."""

    def __init__(self):
        super().__init__()
        self.own, self.mean = nn.Linear(5, 3), nn.Linear(5, 3)
        self.mean.requires_grad_(False)
        self.mean.load_state_dict(self.own.state_dict())

    def forward(self, x):
        return (self.own if self.training else self.mean)(x)


def averaging(decay, late=0):
    def build(model, lr):
        optimizer = optim.SGD(model.own.parameters(), lr=lr)
        made = [0]

        def follow(*_):
            made[0] += 1
            if made[0] > late:
                with torch.no_grad():
                    for mean, own in zip(
                        model.mean.parameters(), model.own.parameters(), strict=True
                    ):
                        mean.lerp_(own, 1 - decay)

        optimizer.register_step_post_hook(follow)
        return optimizer

    return build


def decaying(model, lr):
    optimizer = optim.SGD(model.parameters(), lr=lr)

    def decay(optimizer, *_):
        for group in optimizer.param_groups:
            group.update(lr=0.99 * group["lr"])

    optimizer.register_step_post_hook(decay)
    return optimizer


class Lookahead(optim.SGD):
    """Keeps ``parameter.data`` from its construction on."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)
        self.fast = [p.data for group in self.param_groups for p in group["params"]]
        self.slow = [each.clone() for each in self.fast]
        self.made = 0

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        self.made += 1
        if self.made % 10 == 0:
            for slow, fast in zip(self.slow, self.fast, strict=True):
                fast.copy_(slow.lerp_(fast, 0.5))


class Noisy(optim.SGD):
    """Draws noise in each step."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(-group["lr"] * (p.grad + 0.01 * torch.randn_like(p)))


class Alias(nn.Module):
    """Sees its weights through another tensor."""

    def __init__(self, buffer):
        super().__init__()
        self.layer, self.last = nn.Linear(5, 5), nn.Linear(5, 3)
        alias = self.layer.weight.detach()
        if buffer:
            self.register_buffer("alias", alias)
        else:
            self.alias = alias

    def forward(self, x):
        return self.last(torch.tanh(self.layer(x))) + 0.2 * F.linear(x, self.alias)[:, :3]


class Buffered(nn.Module):
    """Applies a function to its input and a buffer."""

    def __init__(self, buffer, function):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.register_buffer("kept", buffer)
        self.function = function

    def forward(self, x):
        return self.layer(self.function(x, self.kept))


class Scaled(nn.Module):
    """Has a parameter without dimensions."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.scale * self.layer(x)


class Mean(nn.Module):
    """A running mean in an attribute, which validation uses."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(5, 8), nn.Linear(8, 3)
        self.mean = torch.zeros(8)

    def forward(self, x):
        found = self.layer(x)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * found.detach().mean(0)
        return self.last(torch.tanh(found - self.mean))


class Spectral(nn.Module):
    """A filter of the spectrum, whose weight is complex."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(3, dtype=torch.complex64))
        self.layer = nn.Linear(5, 3)

    def forward(self, x):
        return self.layer(torch.fft.irfft(torch.fft.rfft(x) * self.filter, n=5))


def spectral_with_frozen_layer():
    model = Spectral()
    model.layer.requires_grad_(False)
    return model


def frozen_filter():
    model = Spectral()
    model.filter.requires_grad_(False)
    return model


def turns_the_filter(model, lr):
    optimizer = optim.SGD(model.layer.parameters(), lr=lr)
    optimizer.register_step_post_hook(lambda *_: model.filter.data.add_(0.01j))
    return optimizer


class Late(nn.Module):
    """Does something else from its tenth training call on, or in evaluation after that."""

    def __init__(self, what):
        super().__init__()
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, 3)
        self.what, self.calls, self.seen = what, 0, []

    def forward(self, x):
        self.calls += self.training
        found = torch.tanh(self.first(x))
        if self.what == "hook" and found.requires_grad:
            found.register_hook(lambda grad: grad.clamp(-0.02, 0.02))
        if self.what == "list" and self.training:
            self.seen.append(found.detach().mean())
        if self.calls < 10:
            return self.last(found)
        if self.what == "clamp":
            with torch.no_grad():
                self.first.weight.clamp_(-0.1, 0.1)
        if self.what == "buffer" and self.training:
            self.register_buffer("kept", found.detach().mean(0))
        if self.what == "list":
            return self.last(found - torch.stack(self.seen).mean())
        return self.last(found - self.kept if self.what == "buffer" else 0.5 * found)


class Replacing(optim.SGD):
    """Gives its parameters other tensors at the tenth step."""

    made = 0

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        self.made += 1
        for p in self.param_groups[0]["params"] if self.made == 10 else ():
            p.data = p.data * 0.5


def penalized(model, batch):
    inputs = batch[0].clone().requires_grad_()
    found = model(inputs)
    (slope,) = torch.autograd.grad(found.sum(), inputs, create_graph=True)
    return F.cross_entropy(found, batch[1]) + 0.1 * slope.square().sum()


def by_lr(kind, **options):
    return lambda model, lr: kind(
        model.parameters(), lr=lr, **{key: value(lr) for key, value in options.items()}
    )


MASK = torch.tensor([True, True, False, True, True])
CASES = {
    "weights cached in eval": {"model": Cached},
    "weights merged in eval": {"model": Merged},
    "a tensor hook": {"model": functools.partial(Head, "tensor")},
    "a module hook": {"model": functools.partial(Head, "module")},
    "an average by a hook": {"model": Average, "optimizer": averaging(0.9999)},
    "a late average": {"model": Average, "optimizer": averaging(0.9, late=20)},
    "an optimizer with a rate of its own": {"optimizer": decaying},
    "an optimizer that keeps data": {"optimizer": lambda m, lr: Lookahead(m.parameters(), lr)},
    "an optimizer that draws": {"optimizer": lambda m, lr: Noisy(m.parameters(), lr=lr)},
    "an alias": {"model": lambda: Alias(False)},
    "an alias as buffer": {"model": lambda: Alias(True)},
    "weight decay by the rate": {
        "optimizer": by_lr(optim.AdamW, weight_decay=lambda lr: 1e-4 / lr)
    },
    "betas by the rate": {"optimizer": by_lr(optim.Adam, betas=lambda lr: (0.9, 1 - lr / 10))},
    "momentum by the rate": {"optimizer": by_lr(optim.SGD, momentum=lambda lr: 1 - lr)},
    "a mask": {"model": lambda: Buffered(MASK, lambda x, m: torch.where(m, x, 0.0))},
    "a sparse buffer": {
        "model": lambda: Buffered(torch.eye(5).to_sparse(), lambda x, m: torch.sparse.mm(m, x.T).T)
    },
    "a complex buffer": {
        "model": lambda: Buffered(torch.ones(5, dtype=torch.complex64), lambda x, m: (x * m).real)
    },
    "a complex weight": {
        "model": Spectral,
        "optimizer": lambda m, lr: optim.Adam(m.parameters(), lr=lr),
        "validate": lambda m: F.cross_entropy(m(X), Y),
        "clip_norm": 0.5,
    },
    "a complex weight, frozen layer": {"model": spectral_with_frozen_layer},
    "a frozen complex weight that turns": {"model": frozen_filter, "optimizer": turns_the_filter},
    "a scalar, Adagrad": {
        "model": Scaled,
        "optimizer": lambda m, lr: optim.Adagrad(m.parameters(), lr=lr),
    },
    "other from the tenth call on": {"model": lambda: Late("halve")},
    "clamped from the tenth call on": {"model": lambda: Late("clamp")},
    "a late buffer": {"model": lambda: Late("buffer")},
    "a list that grows": {"model": lambda: Late("list")},
    "a hook that does nothing yet": {
        "model": lambda: Late("hook"),
        "loss": lambda out, target: F.cross_entropy(out, target) / 10,
    },
    "tensors replaced late": {"optimizer": lambda m, lr: Replacing(m.parameters(), lr=lr)},
    "a running mean in an attribute": {"model": Mean},
    "a gradient penalty": {"loss": None, "objective": penalized},
    "a tensor lr": {
        "optimizer": lambda m, lr: optim.Adam(m.parameters(), lr=torch.tensor(lr / 10)),
        "schedule": "warmup(5) >> cosine()",
    },
    "Adam before BatchNorm": {
        "model": lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)),
        "optimizer": lambda m, lr: optim.Adam(m.parameters(), lr=lr / 10),
        "validate": None,
    },
    "tiny gradients, huge rates": {
        "loss": None,
        "objective": lambda m, batch: 1e-7 * F.cross_entropy(m(batch[0]), batch[1]),
        "validate": lambda m: F.cross_entropy(m(X), Y),
        "optimizer": lambda m, lr: optim.SGD(m.parameters(), lr=2e4 * lr),
        "steps": 300,
    },
}
FUSES = {
    "other from the tenth call on",
    "clamped from the tenth call on",
    "weights cached in eval",
    "weights merged in eval",
    "an optimizer with a rate of its own",
    "an optimizer that keeps data",
    "an optimizer that draws",
    "weight decay by the rate",
    "betas by the rate",
    "momentum by the rate",
    "a mask",
    "a complex buffer",
    "a complex weight",
    "a complex weight, frozen layer",
    "a scalar, Adagrad",
    "a tensor lr",
    "Adam before BatchNorm",
    "tiny gradients, huge rates",
}


@pytest.mark.parametrize("name", CASES)
def test_fused_it_is_as_in_the_loop_or_refused(name):
    trial = make(**CASES[name])
    alone = sf.sweep(trial, LRS, seeds=1, backend="loop").members
    if name in FUSES:
        members = sf.sweep(trial, LRS, seeds=1, backend="fused").members
    else:
        with pytest.raises(UnfitError, match="This trial cannot be fused"):
            sf.sweep(trial, LRS, seeds=1, backend="fused")
        result = sf.sweep(trial, LRS, seeds=1)
        assert result.engine.backend == "loop"
        members = result.members
    assert [m.loss for m in members] == pytest.approx([m.loss for m in alone], rel=1e-4)


def test_what_is_kept_outside_the_model_is_named():
    kept = {}

    def objective(model, batch):
        loss = F.cross_entropy(model(batch[0]), batch[1])
        kept["mean"] = 0.9 * kept.get("mean", 0.0) + 0.1 * loss.detach()
        return loss + 0 * kept["mean"]

    trial = make(loss=None, objective=objective, validate=None)
    with pytest.raises(InputError, match="keeps tensors from one update to the next outside"):
        sf.sweep(trial, LRS, seeds=1)


def test_autocast_agrees_within_its_own_rounding():
    trial = make(autocast=torch.bfloat16, validate=None)
    alone = sf.sweep(trial, LRS, seeds=1, backend="loop").members
    members = sf.sweep(trial, LRS, seeds=1, backend="fused").members
    assert [m.loss for m in members] == pytest.approx([m.loss for m in alone], rel=0.02)


@pytest.mark.parametrize("exact", [True, False])
def test_a_look_at_a_shard_changes_nothing_in_it(exact):
    def train(look):
        shard = Shard(Job(make(), [(lr, 0) for lr in LRS], exact=exact), LRS, 0)
        shard.advance(10)
        if look:
            shard.judge()
        shard.advance(10)
        return shard.curves()

    assert train(True) == train(False)


def test_frozen_weights_are_not_copied_for_each_member():
    def model():
        made = net()
        made[0].requires_grad_(False)
        return made

    shard = Shard(Job(make(model=model), [(lr, 0) for lr in LRS], exact=True), LRS, 0)
    places = {each[0].weight.data_ptr() for each in shard._updates._models}
    assert len(places) == 1
    assert "0.weight" not in shard.stack.parameters


def test_members_come_in_the_order_of_the_plan():
    members = [(0.1, 0), (0.1, 1), (0.01, 0)]
    for backend in ("loop", "fused", "auto"):
        found, _ = run_job(Job(make(steps=6), members), backend, None, lambda *_: None)
        assert [(m.lr, m.seed) for m in found] == members


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("alone", "fused"),
    [
        ([1.0, 2.0, INF], [1.0, 500.0, INF]),
        ([1.0, NAN], [1.0, 1.0]),
        ([1.0, 0.5], [1.0, NAN]),
        ([1.0, 0.5, 0.4], [1.0, 0.5]),
        ([1.0, 0.5], [1.0, 0.6]),
    ],
)
def test_losses_that_differ_are_seen(alone, fused):
    with pytest.raises(UnfitError, match="its loss comes out different"):
        _Comparison(1e-4).losses(alone, fused)
    assert _Comparison(1e-4).losses(alone, alone) is None or np.isnan(alone).any()


@pytest.mark.parametrize("other", [NAN, -1.0, 0.8, 0.0])
def test_tensors_that_went_elsewhere_are_seen(other):
    def at(value):
        return {"w": torch.tensor([value, value])}

    compare = _Comparison(1e-4)
    compare.grads(at(1.0), at(1.0), first=True)
    compare.tensors(at(1.0), at(1.01), at(0.0))
    with pytest.raises(UnfitError, match="its tensor 'w' comes out different"):
        compare.tensors(at(1.0), at(other), at(0.0))
    buffers = _Comparison(1e-4)
    with pytest.raises(UnfitError, match="its tensor 'w' comes out different"):
        buffers.tensors(at(1.0), at(other), at(0.0))


@pytest.mark.parametrize("other", [NAN, -1.0, 1.01, None])
def test_gradients_that_differ_are_seen(other):
    grad = None if other is None else torch.tensor([other])
    with pytest.raises(UnfitError, match="gradient of its parameter 'w'"):
        _Comparison(1e-4).grads({"w": torch.tensor([1.0])}, {"w": grad}, first=True)
