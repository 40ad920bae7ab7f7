import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from surefoot import InputError, Trial
from surefoot._engine.batches import Batches
from surefoot._engine.training import Training, evaluate, untrained_loss
from surefoot._engine.trial import _built
from tests.exact import assert_same, rng_state

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
Y = X.sum(dim=1, keepdim=True)
DATA = [(X[:8], Y[:8]), (X[8:], Y[8:])]  # an uneven last batch


def sgd(model, lr):
    return torch.optim.SGD(model.parameters(), lr=lr)


def linear():
    return nn.Linear(3, 1)


GOOD: dict[str, Any] = {
    "model": linear,
    "optimizer": sgd,
    "train": DATA,
    "steps": 5,
    "loss": mse_loss,
}


def member(lr=0.1, seed=0, **changes):
    trial = Trial(**{**GOOD, **changes})
    return Training(trial, lr, seed, Batches(trial.train, seed))


def frozen():
    return nn.Linear(3, 1).requires_grad_(False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": nn.Linear(1, 1)}, "model must be a function that returns a fresh one"),
        ({"model": 3}, "model must be a function .* a int was given"),
        ({"optimizer": sgd(nn.Linear(1, 1), 0.1)}, "optimizer must be a function .* SGD was given"),
        ({"optimizer": None}, "optimizer must be a function"),
        ({"loss": None}, "give either loss or objective; neither was given"),
        ({"objective": mse_loss}, "give either loss or objective; both was given"),
        ({"loss": "mse"}, "loss must be a function that returns a scalar"),
        ({"loss": None, "objective": 3}, "objective must be a function"),
        ({"train": iter(DATA)}, r"one-shot list_iterator was given. Give list\(train\)"),
        ({"train": (batch for batch in DATA)}, "one-shot generator"),
        ({"train": 3}, "train must be an iterable of batches, not 3"),
        ({"validate": iter(DATA)}, "validate must be batches that can be iterated again"),
        ({"validate": 3}, "validate must be an iterable of batches"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 2.0}, "steps must be a whole number"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"clip_norm": 0}, "clip_norm must be greater than 0"),
        ({"clip_norm": math.nan}, "clip_norm must be finite"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"schedule": "sideways(3)"}, "sideways"),
        ({"schedule": "cosine(99)"}, "99 updates"),
    ],
)
def test_says_what_is_not_allowed(changes, said):
    with pytest.raises(InputError, match=said):
        Trial(**{**GOOD, **changes})


SHARED = nn.Linear(3, 1)
ELSEWHERE = nn.Linear(3, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": lambda: 3}, "model must return a torch.nn.Module, not 3"),
        ({"model": frozen}, "Linear has no trainable parameters: .* Was everything frozen"),
        ({"model": nn.Identity}, "Identity has no trainable parameters"),
        ({"optimizer": lambda model, lr: model}, "optimizer must return a torch.optim.Optimizer"),
        (
            {"optimizer": lambda model, lr: torch.optim.SGD(model.parameters(), lr=0.0)},
            "it set lr to 0",
        ),
        (
            {"optimizer": lambda model, lr: torch.optim.LBFGS(model.parameters(), lr=lr)},
            "LBFGS asks for the loss again and again",
        ),
        ({"optimizer": lambda model, lr: sgd(ELSEWHERE, lr)}, "it holds none of them"),
    ],
)
def test_says_what_the_functions_must_return(changes, said):
    with pytest.raises(InputError, match=said):
        member(**changes)


@pytest.mark.parametrize("shared", ["whole", "a part"])
def test_a_model_that_is_not_fresh_is_refused(shared):
    layer = nn.Linear(3, 3)
    whole = nn.Sequential(layer, nn.Linear(3, 1))
    factory = (lambda: whole) if shared == "whole" else lambda: nn.Sequential(layer, linear())
    member(model=factory)
    with pytest.raises(InputError, match="model must return a fresh model each time"):
        member(model=factory)


def over(table):
    model = linear()
    model.weight = nn.Parameter(table)
    return model


def assigned(table):
    model = linear()
    model.weight.data = table
    return model


def loaded(table):
    model = linear()
    model.load_state_dict({"weight": table, "bias": torch.zeros(1)}, assign=True)
    return model


def embedded(table):
    return nn.Embedding.from_pretrained(table, freeze=False)


@pytest.mark.parametrize("factory", [over, assigned, loaded, embedded])
def test_new_parameters_over_the_memory_of_another_model_are_refused(factory):
    table = torch.randn(1, 3)
    trial = Trial(**{**GOOD, "model": lambda: factory(table)})
    trial.build_model()
    with pytest.raises(InputError, match="built over the same memory"):
        trial.build_model()


def test_a_shared_part_may_be_frozen_and_copies_are_fresh():
    backbone = nn.Linear(3, 3).requires_grad_(False)
    whole = linear()
    for factory in (lambda: nn.Sequential(backbone, linear()), lambda: copy.deepcopy(whole)):
        first, second = (member(model=factory).model for _ in range(2))
        trained = [[p for p in each.parameters() if p.requires_grad] for each in (first, second)]
        assert all(a is not b for a, b in zip(*trained, strict=True))


def test_what_was_built_is_remembered_no_longer_than_it_lives():
    kept = member()
    before = len(_built)
    for _ in range(3):
        member()
    assert len(_built) == before
    assert kept.model.weight in [*_built.values()][-2:] or before >= 2


@pytest.mark.parametrize("lr", [0, -1.0, math.nan, math.inf, "0.1"])
def test_a_rate_that_is_none_is_refused(lr):
    with pytest.raises(InputError, match="lr must be"):
        Trial(**GOOD).build(lr)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": [{"x": X}]}, r"\(input, target\) pairs; this one is a dict. Give objective"),
        ({"train": [X]}, "this one is a Tensor"),
        ({"train": [(X, Y, Y)]}, "this one is a tuple of 3"),
        ({"loss": lambda o, t: (o - t).square()}, r"loss must return a scalar tensor, not \(8, 1"),
        ({"loss": lambda o, t: 3.0}, "loss must return a scalar tensor, not float"),
        ({"loss": None, "objective": lambda m, b: None}, "objective must return a scalar tensor"),
        ({"loss": lambda o, t: mse_loss(o, t).detach()}, "does not depend on any trainable"),
        ({"train": []}, "train must hold at least one batch"),
    ],
)
def test_says_what_a_batch_and_a_loss_must_be(changes, said):
    with pytest.raises(InputError, match=said):
        member(**changes).advance(1, lambda _: 1.0)


def test_a_loss_of_shape_one_is_a_scalar():
    training = member(loss=lambda o, t: (o - t).square().mean().reshape(1, 1))
    training.advance(2, lambda _: 1.0)
    assert len(training.losses) == 2


def test_validation_is_the_mean_over_samples_also_with_an_uneven_last_batch():
    training = member(validate=DATA)
    training.advance(3, lambda _: 1.0)
    with torch.no_grad():
        expected = mse_loss(training.model(X), Y).item()
    assert training.judge() == pytest.approx(expected, rel=1e-6)


def test_validation_runs_in_eval_mode_without_gradients_and_puts_the_flags_back():
    def model():
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        net[1].eval()
        return net

    seen = []

    def validate(net):
        seen.append(([m.training for m in net.modules()], torch.is_grad_enabled()))
        return torch.tensor([2.5])

    training = member(model=model, validate=validate)
    training.model[1].eval()
    before = [m.training for m in training.model.modules()]
    assert training.judge() == 2.5
    assert seen == [([False] * 5, False)]
    assert [m.training for m in training.model.modules()] == before

    def fails(net):
        raise KeyError("mine")

    broken = member(model=model, validate=fails)
    with pytest.raises(KeyError, match="mine"):
        broken.judge()
    assert broken.model.training


@pytest.mark.parametrize(("value", "loss"), [(math.nan, math.inf), (math.inf, math.inf), (-3, -3)])
def test_a_validation_that_is_not_finite_counts_as_diverged(value, loss):
    assert member(validate=lambda model: value).judge() == loss


@pytest.mark.parametrize(
    ("validate", "said"),
    [
        ([], "validate must hold at least one batch; it is empty"),
        (lambda model: "good", r"validate\(model\) must be a number, not 'good'"),
        (lambda model: torch.ones(2), r"validate\(model\) must be one number"),
    ],
)
def test_says_what_a_validation_must_be(validate, said):
    with pytest.raises(InputError, match=said):
        member(validate=validate).judge()


def test_evaluation_without_validation_is_refused():
    with pytest.raises(InputError, match="has no validate"):
        evaluate(Trial(**GOOD), linear())


def test_without_validation_the_last_tenth_of_the_losses_judges():
    training = member(steps=40)
    training.advance(40, lambda _: 0.1)
    assert training.judge() == sum(training.losses[-4:]) / 4


def test_a_training_that_is_not_finite_stops_and_counts_its_updates():
    training = member(lr=1e30)
    training.advance(50, lambda _: 1.0)
    assert not training.finite
    assert training.judge() == math.inf
    assert training.updates == len(training.losses) - 1 < 49
    losses = list(training.losses)
    training.advance(5, lambda _: 1.0)
    assert training.losses == losses


def test_stop_ends_the_call_and_the_training_can_go_on():
    training = member()
    training.advance(10, lambda _: 1.0, stop=lambda losses: len(losses) == 3)
    assert training.updates == 3
    training.advance(2, lambda _: 1.0)
    assert training.updates == 5


def test_pieces_make_the_same_training_as_one_call_whatever_runs_in_between():
    def model():
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    whole, pieces = member(model=model), member(model=model)
    whole.advance(6, lambda update: 1 / (1 + update))
    before = rng_state()
    for count in (1, 2, 3):
        pieces.advance(count, lambda update: 1 / (1 + update))
        pieces.judge()
    assert_same(rng_state(), before)
    assert whole.losses == pieces.losses
    assert_same(whole.model.state_dict(), pieces.model.state_dict())


def test_autocast_computes_the_forward_pass_in_that_type():
    kinds = []

    def loss(output, target):
        kinds.append(output.dtype)
        return mse_loss(output.float(), target)

    training = member(loss=loss, autocast=torch.bfloat16)
    training.advance(1, lambda _: 1.0)
    assert kinds == [torch.bfloat16]
    assert training.model.weight.dtype == torch.float32


class Batch:
    """A batch of somebody's own that can be moved."""

    def __init__(self, x, moved=()):
        self.x, self.moved = x, moved

    def to(self, device):
        return Batch(self.x.to(device), (*self.moved, str(device)))


@pytest.mark.parametrize(
    "batch", [(X, Y), [X, Y], {"x": X, "y": Y}, {"b": Batch(X), "y": Y}, Batch(X)]
)
def test_a_device_moves_the_model_and_batches_of_any_kind(batch):
    seen = []

    def objective(model, given):
        seen.append(given)
        return model(X).square().mean()

    member(loss=None, objective=objective, train=[batch], device="cpu").advance(1, lambda _: 1.0)
    (given,) = seen
    assert type(given) is type(batch)
    if isinstance(given, Batch):
        assert given.moved == ("cpu",)
    if isinstance(given, dict) and "b" in given:
        assert given["b"].moved == ("cpu",)


def test_a_device_moves_the_parameters():
    assert member(device="meta").model.weight.device.type == "meta"


def test_the_untrained_loss_is_measured_as_a_member_is_judged():
    trial = Trial(**{**GOOD, "validate": DATA, "steps": 40})
    torch.manual_seed(3)
    model = linear()
    with torch.no_grad():
        expected = mse_loss(model(X), Y).item()
        first = [mse_loss(model(x), y).item() for x, y in DATA * 2]
    assert untrained_loss(trial, 3, Batches(DATA, 3)) == pytest.approx(expected, rel=1e-6)
    without = Trial(**{**GOOD, "steps": 40})
    assert untrained_loss(without, 3, Batches(DATA, 3)) == pytest.approx(sum(first) / 4, rel=1e-6)


@pytest.mark.parametrize("schedule", ["linear()", None])
def test_factors_run_over_the_whole_budget(schedule):
    trial = Trial(**{**GOOD, "schedule": schedule, "steps": 4})
    factors = trial.factors(trial.build(0.1)[1])
    assert [factors(t) for t in range(4)] == ([1.0, 0.75, 0.5, 0.25] if schedule else [1.0] * 4)


@pytest.mark.parametrize(("kind", "updates"), [(torch.optim.Adam, 20), (torch.optim.SGD, 100)])
def test_an_automatic_warm_up_depends_on_the_optimizer(kind, updates):
    options = {"betas": (0.9, 0.9)} if kind is torch.optim.Adam else {}
    trial = Trial(**{**GOOD, "schedule": "warmup('auto') >> hold()", "steps": 1000})
    factors = trial.factors(kind(linear().parameters(), lr=0.1, **options))
    assert [factors(t) < 1 for t in (updates - 2, updates - 1)] == [True, False]


@pytest.mark.parametrize("turn", [0.0, 0.1j, math.nan])
def test_validation_that_changes_a_complex_weight_is_refused(turn):
    model = nn.Linear(2, 1)
    model.register_buffer("filter", torch.full((3,), 1 + 2j))

    def validate(model):
        model.filter += turn
        return 1.0

    trial = Trial(**{**GOOD, "validate": validate})
    if turn == 0:
        assert evaluate(trial, model) == 1.0
    else:
        with pytest.raises(InputError, match="must only measure; it changed 'filter'"):
            evaluate(trial, model)


def test_weights_that_are_not_numbers_are_no_change():
    model = nn.Linear(2, 1)
    model.register_buffer("mask", torch.tensor(math.nan))
    assert evaluate(Trial(**{**GOOD, "validate": lambda model: 1.0}), model) == 1.0
