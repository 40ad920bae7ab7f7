"""Probes: short trainings from the same start, in a loop and of a trial."""

import math

import pytest
import torch
from torch import nn

from surefoot import InputError, Snapshot, Trial
from surefoot._engine.loop_probe import LoopProbe, first_module
from surefoot._engine.probe import ProbeRun, compressed, window
from surefoot._engine.trial_probe import TrialProbe
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


def never(_):
    return False


def test_each_training_starts_from_the_snapshot():
    probe, _, _ = loop()
    first = probe.train([0.01] * 6, [3, 6])
    assert probe.train([0.1] * 6, [3, 6]).judged != first.judged
    assert probe.train([0.01] * 6, [3, 6]) == first
    assert first.updates == 6
    assert [update for update, _ in first.judged] == [3, 6]


def test_groups_keep_their_ratio_at_every_update():
    seen = []
    model, optimizer = training()

    def step():
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        return 1.0

    probe = LoopProbe(step, optimizer, Snapshot([model, optimizer]), steps=3)
    probe.range_test([1e-6, 1e-3, 1.0], never)
    assert seen == [[lr, pytest.approx(3 * lr)] for lr in (1e-6, 1e-3, 1.0)]


def test_one_group_is_tried_while_the_others_follow_the_schedule():
    seen = []
    model, optimizer = training()

    def step():
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        return 1.0

    snapshot = Snapshot([model, optimizer])
    probe = LoopProbe(step, optimizer, snapshot, steps=3, group=1, others=(0.5, 7.0))
    probe.train([0.2, 0.1], [2])
    probe.range_test([1e-6, 1.0], never)
    probe.reference(1)
    assert seen == [[0.5, 0.2], [0.25, 0.1], [0.5, 1e-6], [0.5, 1.0], [0.5, 0.0]]


def test_without_validation_the_last_part_judges():
    losses = iter([9.0, 8.0, 7.0, 6.0, 5.0, 6.0, 1.0, 3.0])
    run = loop(lambda: next(losses))[0].train([0.1] * 8, [4, 8])
    assert run == ProbeRun(8, ((4, 6.0), (8, 2.0)))
    assert window([4.0]) == 4.0
    assert window([4.0, math.nan]) == math.inf


def test_the_reference_is_what_the_losses_would_be_without_training():
    probe, model, optimizer = loop()
    expected = state(model, optimizer)
    found = probe.reference(3)
    probe._snapshot.restore()
    assert_same(state(model, optimizer), expected)
    first = probe.range_test([1e-12] * 3, never)
    assert found == pytest.approx(first, rel=1e-5)


def test_the_untrained_model_is_judged_as_it_was():
    assert loop(validate=lambda: 0.3)[0].untrained() == 0.3
    assert loop()[0].untrained() is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_training_ends_at_a_loss_that_is_not_finite(bad):
    losses = iter([1.0, bad, 1.0])
    run = loop(lambda: next(losses), validate=lambda: 0.0)[0].train([0.1] * 3, [1, 3])
    assert run == ProbeRun(2, ((1, 0.0), (3, math.inf)))


def test_stop_ends_a_range_test():
    assert len(loop()[0].range_test([0.01] * 9, lambda losses: len(losses) == 4)) == 4


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
    assert loop(validate=validate)[0].train([0.01] * 3, [3]).judged == ((3, loss),)


def test_a_validation_without_a_signature_is_called_without_arguments():
    class Opaque:
        __signature__ = "none"

        def __call__(self):
            return 3.0

    assert loop(validate=Opaque())[0].train([0.01], [1]).judged == ((1, 3.0),)


@pytest.mark.parametrize(
    ("validate", "said"),
    [
        (lambda: "good", "validate's result must be a number"),
        (lambda: None, "validate's result must be a number, not None"),
    ],
)
def test_says_what_validation_must_return(validate, said):
    with pytest.raises(InputError, match=said):
        loop(validate=validate)[0].train([0.01], [1])


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
        loop(lambda: value)[0].train([0.01], [1])


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
        assert probe.range_test(lrs, never) == pytest.approx(expected, rel=1e-6)
        judged = probe.train(lrs, [1, 2, 3]).judged
        assert [loss for _, loss in judged] == pytest.approx(expected, rel=1e-6)
    assert probe.reference(2) == pytest.approx([expected[0]] * 2, rel=1e-6)
    assert (probe.name, probe.steps, probe.default_lr) == (
        "mine",
        3,
        0.05,
    )  # as the bias has twice the rate


@pytest.mark.parametrize(
    ("validate", "cost"),
    [
        (None, 0.0),
        ([(INPUT, INPUT)] * 3, 1.0),
        (torch.utils.data.DataLoader(torch.utils.data.TensorDataset(INPUT, INPUT)), 1 / 3),
        (lambda model: 1.0, None),
    ],
)
def test_what_judging_costs_is_told_by_the_samples(validate, cost):
    trial = Trial(
        model=lambda: nn.Linear(4, 4),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=[(INPUT, INPUT)],
        validate=validate,
        loss=nn.functional.mse_loss,
        steps=3,
    )
    assert TrialProbe(trial).pass_cost == pytest.approx(cost)


def test_trainings_are_kept_only_as_far_as_memory_allows(monkeypatch):
    trial = Trial(
        model=lambda: nn.Linear(4, 4),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=[(INPUT, INPUT)],
        loss=nn.functional.mse_loss,
        steps=9,
    )
    for free, made in ((1e9, 3), (10, 6)):
        monkeypatch.setattr("surefoot._engine.trial_probe.free_memory", lambda _, free=free: free)
        probe = TrialProbe(trial)
        probe.train([0.1] * 3, [3])
        assert probe.updates_of(0.1) == 6 - made
        assert probe.train([0.1] * 6, [6]).updates == made


def test_in_a_loop_a_training_goes_on_bit_for_bit():
    (whole, model, _), (parts, other, _) = loop(), loop()
    assert parts.updates_of(0.01) == 0
    before = parts.train([0.01] * 3, [1, 3])
    assert parts.updates_of(0.01) == 3
    parts.train([0.1] * 3, [3])
    rest = parts.train([0.01] * 8, [5, 8])
    assert (before.updates, rest.updates) == (3, 5)
    expected = whole.train([0.01] * 8, [1, 3, 5, 8])
    assert before.judged + rest.judged == expected.judged
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))


def test_a_loop_keeps_the_best_three_that_are_not_finished():
    probe, _, _ = loop()
    lrs = (1e-4, 1e-3, 1e-2, 3e-2)
    losses = {lr: probe.train([lr] * 3, [3]).judged[-1][1] for lr in lrs}
    kept = {lr for lr in lrs if probe.updates_of(lr)}
    assert kept == set(sorted(lrs, key=losses.__getitem__)[:3])
    best = min(losses, key=losses.__getitem__)
    probe.train([best] * probe.steps, [probe.steps])
    assert probe.updates_of(best) == 0


def test_with_a_schedule_no_training_goes_on():
    probe, _, _ = loop()
    probe.train([0.1, 0.05, 0.0], [3])
    assert probe.updates_of(0.1) == 0


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
        probe.train([0.5] * 5, [5])
    assert_same(state(model, optimizer), expected)
