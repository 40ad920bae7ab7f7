"""Compiled updates of a stack against the same without compilation, and against the loop."""

import dataclasses

import pytest
import torch

import surefoot as sf
from surefoot._engine.backends import compiled
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.fused import Shard, finish
from tests.engine.test_fused import (
    DECOUPLED,
    LRS,
    OTHERS,
    REAL,
    SCALING,
    STABLE,
    X,
    Y,
    elementwise,
    one_by_one,
    real,
)


@pytest.fixture
def traced(monkeypatch):
    """Trace as for compilation, but run the graph in torch: quick, and without a compiler."""

    def lower(graph, _inputs, _count):
        return graph.forward

    monkeypatch.setattr(compiled, "_lower", lower)
    compiled._function.cache_clear()
    yield
    compiled._function.cache_clear()


def shard(trial, lrs=STABLE, **options):
    made = Shard(Job(trial, [(lr, 0) for lr in lrs], **options), lrs, 0, to_compile=True)
    made.compile()
    return made


def trained(trial, lrs=STABLE, **options):
    made = shard(trial, lrs, **options)
    members = finish(made, lambda *_: None)
    assert made.refusal == ""
    return members


def final_parameters(trial, lrs=LRS):
    made = shard(trial, lrs)
    made.advance(trial.steps)
    assert made.refusal == ""
    members = [made.stack.member(index) for index in range(len(lrs))]
    return [{name: p.detach() for name, p in each.named_parameters()} for each in members]


def in_double(trial):
    train = [(x.double(), y) for x, y in trial.train]
    made = trial.model
    return dataclasses.replace(
        trial, model=lambda: made().double(), train=train, validate=[(X.double(), Y)]
    )


def assert_alike(members, others, rel=1e-5):
    for one, other in zip(members, others, strict=True):
        assert (one.lr, one.seed, one.updates) == (other.lr, other.seed, other.updates)
        assert other.curve.values == pytest.approx(one.curve.values, rel=rel, abs=1e-7)
        assert other.loss == pytest.approx(one.loss, rel=10 * rel)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", SCALING | DECOUPLED)
def test_every_optimizer_moves_as_torch_moves_it(name):
    trial = elementwise((SCALING | DECOUPLED)[name])
    limit = 1e-5 if name in DECOUPLED else 1e-6
    for lr, alone, together in zip(LRS, one_by_one(trial), final_parameters(trial), strict=True):
        for key, value in alone.items():
            off = float((together[key] - value).norm() / value.norm())
            assert off <= (limit if lr <= 1 else 10 * limit), (lr, key, off)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", OTHERS)
def test_of_other_optimizers_the_gradients_are_compiled(name):
    trial = elementwise(OTHERS[name])
    for alone, together in zip(one_by_one(trial), final_parameters(trial), strict=True):
        for key, value in alone.items():
            assert torch.equal(value, together[key]), key


TRACED = REAL.keys() - {"memory in an attribute", "a batch changed in place"}


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", sorted(TRACED))
def test_compiled_members_train_as_those_of_the_loop(name):
    trial = in_double(real(**REAL[name]))
    alone = sf.sweep(trial, STABLE, seeds=1, backend="loop").members
    assert_alike(alone, trained(trial), rel=1e-10)
    assert_alike(alone, trained(trial, exact=True), rel=1e-10)


@pytest.mark.parametrize("name", ["dropout, Adam", "BatchNorm", "clipping"])
def test_with_a_compiler_too(name):
    trial = real(**REAL[name])
    alone = sf.sweep(trial, STABLE, seeds=2, backend="loop").members
    result = sf.sweep(trial, STABLE, seeds=2, backend="compiled")
    assert (result.engine.backend, result.engine.reason) == ("compiled", "asked for")
    assert_alike(alone, result.members, rel=1e-4)
