"""Compiled updates of a stack against the same without compilation, and against the loop."""

import dataclasses
import sys

import pytest
import torch
from torch import nn, optim

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
    of,
    one_by_one,
    real,
    with_dropout,
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


def counted(monkeypatch):
    """Return a list of the graphs that come to be compiled, which torch then runs."""
    seen = []

    def lower(graph, _inputs, _count):
        seen.append(graph)
        return graph.forward

    monkeypatch.setattr(compiled, "_lower", lower)
    compiled._function.cache_clear()
    return seen


class Later(nn.Module):
    """Computes something else once it is told to."""

    def __init__(self):
        super().__init__()
        self.layer, self.late = nn.Linear(5, 3), False

    def forward(self, x):
        return self.layer(x * x) if self.late else self.layer(x)


def test_a_model_that_another_part_switches_is_compiled_anew(monkeypatch):
    graphs = counted(monkeypatch)
    trial = in_double(real(model=Later, validate=None))
    made = shard(trial)
    made.advance(10)
    made.stack._model.late = True
    made.advance(10)
    without = Shard(made.job, STABLE, 0, to_compile=True)
    without.advance(10)
    without.stack._model.late = True
    without.advance(10)
    assert made.refusal == ""
    assert len(graphs) == 2
    for one, other in zip(without.curves(), made.curves(), strict=True):
        assert other == pytest.approx(one, rel=1e-10)


SQUARED = False


def loss_of_late(output, target):
    loss = nn.functional.cross_entropy(output, target)
    return loss * loss if SQUARED else loss


def test_a_global_that_a_loss_reads_is_looked_at_before_each_update(monkeypatch):
    graphs = counted(monkeypatch)
    found = []
    for compiling in (False, True):
        monkeypatch.setattr(sys.modules[__name__], "SQUARED", False)
        trial = in_double(real(loss=loss_of_late, validate=None))
        made = Shard(Job(trial, [(lr, 0) for lr in STABLE]), STABLE, 0, to_compile=True)
        if compiling:
            made.compile()
        made.advance(10)
        monkeypatch.setattr(sys.modules[__name__], "SQUARED", True)
        made.advance(10)
        assert made.refusal == ""
        found += made.curves()
    assert len(graphs) == 2
    half = len(found) // 2
    for one, other in zip(found[:half], found[half:], strict=True):
        assert other == pytest.approx(one, rel=1e-10)


def test_stacks_that_differ_in_their_optimizer_share_nothing(monkeypatch):
    graphs = counted(monkeypatch)
    for options in ({"momentum": 0.5}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}):
        trial = in_double(real(optimizer=of(optim.SGD, **options)))
        alone = sf.sweep(trial, STABLE, seeds=1, backend="loop").members
        assert_alike(alone, trained(trial), rel=1e-10)
    assert len(graphs) == 3
    assert_alike(alone, trained(trial), rel=1e-10)
    assert len(graphs) == 3  # the same again


def test_another_size_of_batch_is_compiled_and_checked_too(monkeypatch):
    graphs = counted(monkeypatch)
    train = [(X[:16], Y[:16]), (X[16:32], Y[16:32]), (X[32:41], Y[32:41])]
    trial = in_double(real(train=train, model=with_dropout))
    alone = sf.sweep(trial, STABLE, seeds=1, backend="loop").members
    assert_alike(alone, trained(trial), rel=1e-10)
    assert len(graphs) == 2


class Turns(nn.Module):
    """Computes something else from its tenth update on."""

    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(5, 3), 0

    def forward(self, x):
        self.calls += 1
        found = self.layer(x)
        return found if self.calls < 10 else found + self.layer(x * x)


class Restless(nn.Module):
    """Computes something else at each update."""

    def __init__(self):
        super().__init__()
        self.layer, self.word = nn.Linear(5, 3), "a"

    def forward(self, x):
        self.word += "b"
        return self.layer(x) * len(self.word)


class Hoards(nn.Module):
    """Has a buffer that grows."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.register_buffer("seen", torch.zeros(1, 5))

    def forward(self, x):
        if self.training:
            self.seen = torch.cat([self.seen, x.detach().mean(0, keepdim=True)])
        return self.layer(x - self.seen.mean(0))


@pytest.mark.parametrize("model", [Turns, Restless, Hoards])
def test_a_model_that_counts_its_updates_goes_on_without(monkeypatch, model):
    graphs = counted(monkeypatch)
    trial = in_double(real(model=model, validate=None))
    made = shard(trial)
    members = finish(made, lambda *_: None)
    assert "compiled more than 4 times" in made.refusal
    assert len(graphs) == 4
    assert_alike(sf.sweep(trial, STABLE, seeds=1, backend="loop").members, members, rel=1e-10)


WRONG = {
    "its loss": lambda losses, *rest: (losses * 1.01, *rest),
    "its parameter '0.weight'": lambda *found: (found[0], found[1] * 1.1, *found[2:]),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_compiled_wrongly_is_not_used(monkeypatch, what):
    def lower(graph, _inputs, _count):
        return lambda *inputs: WRONG[what](*graph.forward(*inputs))

    monkeypatch.setattr(compiled, "_lower", lower)
    compiled._function.cache_clear()
    trial = real(model=with_dropout)
    made = shard(trial, exact=True)  # so that the graph returns losses and gradients
    members = finish(made, lambda *_: None)
    assert made.refusal == f"{what} comes out different when compiled"
    assert_alike(sf.sweep(trial, STABLE, seeds=1, backend="loop").members, members)


@pytest.mark.usefixtures("traced")
def test_a_parameter_without_gradient_is_left_alone_by_weight_decay():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.spare = nn.Linear(5, 3), nn.Parameter(torch.ones(2))

        def forward(self, x):
            return self.layer(x)

    trial = real(model=Spare, optimizer=of(optim.SGD, weight_decay=0.5))
    made = shard(trial)
    made.advance(5)
    assert made.refusal == "its parameter 'spare' has no gradient"
    assert made.stack.member(0).spare.tolist() == [1.0, 1.0]


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", ["a batch changed in place", "memory in an attribute"])
def test_what_cannot_be_traced_is_fused_without(name):
    trial = real(**REAL[name])
    made = shard(trial)
    members = finish(made, lambda *_: None)
    assert made.refusal.startswith("compiling failed (")
    assert_alike(sf.sweep(trial, STABLE, seeds=1, backend="loop").members, members)


def rewritten(function, *inputs):
    """Return the rewritten graph of a function, and assert that it computes the same."""
    from torch.fx.experimental.proxy_tensor import make_fx

    from surefoot._engine.backends.rewrites import Rewrites

    graph = make_fx(function, tracing_mode="fake")(*inputs)
    Rewrites()(graph.graph)
    graph.recompile()
    expected, got = function(*inputs), graph(*inputs)
    assert len(expected) == len(got)
    for one, other in zip(expected, got, strict=True):
        torch.testing.assert_close(other, one, atol=1e-6, rtol=1e-6)
    return graph


def called(graph):
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize(("rows", "columns"), [(64, 10), (10, 64), (64, 64), (8, 8)])
def test_products_are_turned_where_their_columns_are_few_and_stay_what_they_were(rows, columns):
    def product(a, b):
        return torch.bmm(a, b).sin(), torch.bmm(a, b).permute(0, 2, 1)

    graph = rewritten(product, torch.randn(3, rows, 5), torch.randn(3, 5, columns))
    shapes = [n.meta["val"].shape[1:] for n in graph.graph.nodes if "bmm" in str(n.target)]
    narrow = columns < 16 <= rows
    assert [tuple(shape) for shape in shapes] == [
        (columns, rows) if narrow else (rows, columns),
        (columns, rows),
    ]


@pytest.mark.parametrize(
    ("shape", "dim"), [((3, 5, 10), 2), ((3, 7, 5), 1), ((4, 1), 1), ((4, 6), -1)]
)
def test_a_value_in_each_row_of_zeros_is_chosen_without_a_scatter(shape, dim):
    def one_hot(index, values):
        zeros = torch.ops.aten.full.default(shape, 0.0)
        return (torch.ops.aten.scatter_add.default(zeros, dim, index, values),)

    rows = list(shape)
    rows[dim] = 1
    graph = rewritten(one_hot, torch.randint(shape[dim], rows), torch.randn(rows))
    assert "aten.where.self" in called(graph)
    assert not any("scatter" in each for each in called(graph))


@pytest.mark.parametrize(
    ("filled", "rows"), [(1.0, (3, 1)), (0.0, (3, 2)), (0.0, (2, 1))], ids=["ones", "two", "few"]
)
def test_other_scatters_stay(filled, rows):
    def scatter(index, values):
        zeros = torch.ops.aten.full.default((3, 10), filled)
        return (torch.ops.aten.scatter_add.default(zeros, 1, index, values),)

    graph = rewritten(scatter, torch.randint(10, rows), torch.randn(rows))
    assert any("scatter" in each for each in called(graph))


def test_a_number_for_a_whole_tensor_is_computed_once():
    def corrected(step, tensor):
        return tensor / (1 - 0.999**step), step + 1

    graph = rewritten(corrected, torch.tensor(3.0).double(), torch.randn(4, 5))
    assert called(graph).count("aten.as_strided.default") == 1
    whole = next(node for node in graph.graph.nodes if "as_strided" in str(node.target))
    assert [str(user.target) for user in whole.users] == ["aten.div.Tensor"]
