"""Members of a stack that are lost leave it, and nothing else changes."""

import copy
import math

import pytest
import torch
from torch import nn, optim
from torch.nn import functional as F

import surefoot as sf
from surefoot._engine.backends import fused, pilot
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.fused import Shard, finish
from surefoot._engine.backends.pilot import Choice, Pilot
from tests.engine.test_compiled import assert_alike, counted
from tests.engine.test_fused import of

LRS = [1e-3, 300.0, 0.1, 1000.0, 0.01]
"""Two of them are lost soon, by overflow, and do not come last."""

X = torch.randn(48, 5, generator=torch.Generator().manual_seed(1))
Y = X.sum(1, keepdim=True).sin()

NETS = {
    "plain": [],
    "BatchNorm": [nn.BatchNorm1d(8, affine=False)],
    "dropout": [nn.Dropout(0.3)],
}


def regression(between=(), **changes):
    def model():
        return nn.Sequential(
            nn.Linear(5, 8), *copy.deepcopy(list(between)), nn.Tanh(), nn.Linear(8, 1)
        )

    return sf.Trial(
        **{
            "model": model,
            "optimizer": of(optim.SGD),
            "train": [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 48, 16)],
            "loss": F.mse_loss,
            "steps": 30,
            "validate": [(X, Y)],
            **changes,
        }
    )


@pytest.fixture(autouse=True)
def _look_soon(monkeypatch):
    monkeypatch.setattr(fused, "LOOK_EVERY", 5)


def sizes(monkeypatch):
    """Return a list of how many members each shard goes on with."""
    seen, keep = [], Shard.keep

    def kept(self, indexes):
        keep(self, indexes)
        seen.append(len(indexes))

    monkeypatch.setattr(Shard, "keep", kept)
    return seen


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_members_are_those_of_the_loop(monkeypatch, name, exact):
    kept = sizes(monkeypatch)
    trial = regression(NETS[name])
    alone = sf.sweep(trial, LRS, seeds=2, backend="loop").members
    found = sf.sweep(trial, LRS, seeds=2, backend="fused", exact=exact).members
    assert kept
    assert all(count < len(LRS) for count in kept)
    for one, other in zip(alone, found, strict=True):
        assert (one.lr, one.seed, one.diverged) == (other.lr, other.seed, other.diverged)
        assert one.updates == other.updates
        if not one.diverged:
            assert other.curve.values == pytest.approx(one.curve.values, rel=1e-3)
            assert other.loss == pytest.approx(one.loss, rel=1e-2)
    assert [member.lr for member in found if member.diverged] == [300.0, 1000.0] * 2


def test_where_each_member_draws_its_own_numbers_none_leaves(monkeypatch):
    kept = sizes(monkeypatch)
    trial = regression(NETS["dropout"])
    sf.sweep(trial, LRS, seeds=1, backend="fused", randomness="different")
    assert kept == []


class Watches(optim.SGD):
    """Keeps the memory of its parameters, so that its stack cannot be cut."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr)
        self.watched = [p.data for group in self.param_groups for p in group["params"]]


def test_where_the_stack_cannot_be_cut_it_goes_on_whole(monkeypatch):
    kept = sizes(monkeypatch)
    trial = regression(optimizer=of(Watches))
    alone = sf.sweep(trial, LRS, seeds=1, backend="loop").members
    found = sf.sweep(trial, LRS, seeds=1, backend="fused").members
    assert kept == []
    assert [member.diverged for member in found] == [member.diverged for member in alone]
    assert_alike([m for m in alone if not m.diverged], [m for m in found if not m.diverged], 1e-3)


def test_progress_is_whole_and_auto_trains_none_of_them_again(monkeypatch):
    kept, told = sizes(monkeypatch), []
    monkeypatch.setattr(pilot, "WORTH_STACKING", math.inf)
    monkeypatch.setattr(
        Pilot, "_cost", lambda self, choice, _: 0.0 if choice == Choice("fused") else math.inf
    )
    trial = regression(validate=None)
    result = sf.sweep(trial, LRS, seeds=2, workers=1, progress=lambda *what: told.append(what))
    assert result.engine.backend == "fused"
    assert kept == [3, 3]
    whole = trial.steps * 2 * len(LRS)
    assert told[-1][:2] == (whole, whole)
    assert len(result.members) == 2 * len(LRS)


@pytest.mark.parametrize(("costs", "graphs"), [(0.0, 2), (1e9, 1)])
def test_a_compiled_stack_is_cut_where_that_wins_back_compiling_again(monkeypatch, costs, graphs):
    seen = counted(monkeypatch)
    monkeypatch.setattr(
        "surefoot._engine.backends.experience.Experience.waiting", property(lambda _: costs)
    )
    trial = regression(validate=None)
    alone = sf.sweep(trial, LRS, seeds=1, backend="loop").members
    made = Shard(Job(trial, [(lr, 0) for lr in LRS]), LRS, 0, to_compile=True)
    assert made.experience().seconds == 0
    made.compile()
    members = finish(made, lambda *_: None)
    assert (
        made.experience(len(LRS)).seconds > 0
    )  # of all five is remembered, for the next grid has them too
    assert [member.lr for member in members] == LRS
    found = {member.lr: member for member in members}
    assert len(seen) == graphs
    finite = [member for member in alone if not member.diverged]
    assert_alike(finite, [found[member.lr] for member in finite], 1e-4)
    assert sorted(lr for lr, member in found.items() if member.diverged) == [300.0, 1000.0]


def test_halving_tells_of_a_lost_member_once_and_stops_the_others_as_before():
    trial = regression(validate=None, steps=40)
    lrs = [*LRS, 0.05, 0.02]
    alone = sf.sweep(trial, lrs, seeds=2, backend="loop", keep=1).members
    found = sf.sweep(trial, lrs, seeds=2, backend="fused", keep=1).members
    for one, other in zip(alone, found, strict=True):
        assert (one.lr, one.seed, one.diverged, one.stopped) == (
            *(other.lr, other.seed, other.diverged, other.stopped),
        )


def test_after_the_last_update_nothing_is_cut(monkeypatch):
    kept = sizes(monkeypatch)
    monkeypatch.setattr(fused, "LOOK_EVERY", 30)
    found = finish(Shard(Job(regression(), [(lr, 0) for lr in LRS]), LRS, 0), lambda *_: None)
    assert [member.diverged for member in found] == [lr > 1 for lr in LRS]
    assert kept == []


def test_nothing_leaves_where_all_is_finite_or_all_is_lost(monkeypatch):
    kept = sizes(monkeypatch)
    for lrs in ([0.01, 0.1], [300.0, 1000.0]):
        found = finish(Shard(Job(regression(), [(lr, 0) for lr in lrs]), lrs, 0), lambda *_: None)
        assert [member.diverged for member in found] == [lr > 1 for lr in lrs]
    assert kept == []
