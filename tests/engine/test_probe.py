import math

import pytest
import torch
from torch import nn

from surefoot import InputError, Snapshot, Trial
from surefoot._engine.probe import LoopProbe, TrialProbe, compressed, first_module
from surefoot.schedules import linear
from tests.exact import INPUT, assert_same, state, training, update


def loop(train_step=None, validate=None, **changes):
    model, optimizer = training()
    snapshot = Snapshot([model, optimizer])

    def step():
        if train_step is None:
            return update(model, optimizer)
        optimizer.step()
        return train_step()

    probe = LoopProbe(
        step, optimizer, snapshot, steps=10, validate=validate, **{"model": model, **changes}
    )
    return probe, model, optimizer


def test_each_run_starts_from_the_snapshot():
    probe, _, _ = loop()
    first = probe.run([0.01] * 6)
    assert probe.run([0.1] * 6).losses != first.losses
    assert probe.run([0.01] * 6) == first


def test_groups_keep_their_ratio_at_every_update():
    seen = []
    model, optimizer = training()

    def step():
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        return 1.0

    LoopProbe(step, optimizer, Snapshot([model, optimizer]), steps=3).run([1e-6, 1e-3, 1.0])
    assert seen == [[lr, pytest.approx(3 * lr)] for lr in (1e-6, 1e-3, 1.0)]


def test_without_validation_the_last_third_judges():
    losses = iter([9.0, 8.0, 7.0, 6.0, 1.0, 3.0])
    run = loop(lambda: next(losses))[0].run([0.1] * 6)
    assert run.loss == 2.0
    assert run.losses == (9.0, 8.0, 7.0, 6.0, 1.0, 3.0)


def test_a_run_that_is_not_judged_has_no_loss():
    probe, _, _ = loop(lambda: 1.0, validate=lambda: pytest.fail("was called"))
    assert math.isnan(probe.run([0.1], judge=False).loss)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_run_ends_at_a_loss_that_is_not_finite(bad):
    losses = iter([1.0, bad, 1.0])
    run = loop(lambda: next(losses), validate=lambda: 0.0)[0].run([0.1] * 3)
    assert len(run.losses) == 2
    assert run.loss == math.inf


def test_stop_ends_a_run():
    run = loop()[0].run([0.01] * 9, stop=lambda losses: len(losses) == 4)
    assert len(run.losses) == 4


def no_argument():
    return 0.25


def with_default(model=None):
    return 0.5 if model is None else 9.0


def with_model(model):
    return model(INPUT).mean() * 0 + 0.75


@pytest.mark.parametrize(
    ("validate", "loss"),
    [
        (no_argument, 0.25),
        (with_default, 0.5),
        (with_model, 0.75),
        (lambda *args: 1.0 + len(args), 1.0),
        (lambda: torch.tensor([2.0]), 2.0),
        (lambda: math.nan, math.inf),
        (lambda: -5.0, -5.0),
    ],
)
def test_validation_judges_whether_it_takes_the_model_or_not(validate, loss):
    assert loop(validate=validate)[0].run([0.01] * 3).loss == loss


def test_a_validation_without_a_signature_is_called_without_arguments():
    class Opaque:
        __signature__ = "none"

        def __call__(self):
            return 3.0

    assert loop(validate=Opaque())[0].run([0.01]).loss == 3.0


@pytest.mark.parametrize(
    ("validate", "said"),
    [
        (lambda: "good", "validate's result must be a number"),
        (lambda: None, "validate's result must be a number, not None"),
    ],
)
def test_says_what_validation_must_return(validate, said):
    with pytest.raises(InputError, match=said):
        loop(validate=validate)[0].run([0.01])


def test_a_validation_that_takes_a_model_needs_one():
    with pytest.raises(InputError, match="validate takes a model, but restore holds none"):
        loop(validate=with_model, model=None)
    with pytest.raises(InputError, match="validate must be a function that returns a number"):
        loop(validate=[1])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "must return its loss as a scalar; it returned None"),
        (torch.ones(2), r"it returned a tensor of shape \(2,\)"),
        ("low", "train_step's loss must be a number, not 'low'"),
        (True, "train_step's loss must be a number"),
        ([1.0], "train_step's loss must be a number"),
    ],
)
def test_says_what_train_step_must_return(value, said):
    with pytest.raises(InputError, match=said):
        loop(lambda: value)[0].run([0.01])


def test_a_trial_probe_trains_a_fresh_model_like_a_loop_by_hand():
    data = [(INPUT, INPUT.sum(dim=1, keepdim=True))]
    lrs = [0.1, 0.05, 0.2]
    trial = Trial(
        model=lambda: nn.Linear(4, 1),
        optimizer=lambda model, lr: torch.optim.SGD(
            [{"params": [model.weight]}, {"params": [model.bias], "lr": 2 * lr}], lr=lr
        ),
        train=data,
        loss=nn.functional.mse_loss,
        steps=3,
        seed=4,
        name="mine",
    )
    torch.manual_seed(4)
    model = nn.Linear(4, 1)
    expected = []
    for lr in lrs:
        loss = nn.functional.mse_loss(model(data[0][0]), data[0][1])
        expected.append(loss.item())
        gradients = torch.autograd.grad(loss, [model.weight, model.bias])
        with torch.no_grad():
            model.weight -= lr * gradients[0]
            model.bias -= 2 * lr * gradients[1]
    probe = TrialProbe(trial)
    for _ in range(2):
        run = probe.run(lrs)
        assert run.losses == pytest.approx(expected, rel=1e-6)
        assert run.loss == run.losses[-1]
    assert (probe.name, probe.steps, probe.default_lr) == ("mine", 3, 0.1)
    assert math.isnan(probe.run(lrs, judge=False).loss)


def test_a_short_run_goes_through_the_whole_schedule():
    plan = linear(100, floor=0.0)
    assert compressed(plan, 100, 4, 2.0) == pytest.approx([2.0, 1.5, 1.0, 0.5])
    assert compressed(None, 100, 3, 2.0) == [2.0] * 3


def test_the_first_module_is_found_among_the_things():
    model, optimizer = training()
    assert first_module([optimizer, model, nn.Linear(1, 1)]) is model
    assert first_module([optimizer]) is None


def test_the_probe_leaves_restoring_at_the_end_to_the_snapshot():
    model, optimizer = training()
    expected = state(model, optimizer)
    with Snapshot([model, optimizer]) as snapshot:
        probe = LoopProbe(lambda: update(model, optimizer), optimizer, snapshot, steps=5)
        probe.run([0.5] * 5)
    assert_same(state(model, optimizer), expected)
