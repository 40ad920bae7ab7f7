"""``find`` of a trial: right on problems with a known answer, at the promised price."""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot import InputError
from surefoot._engine.trial_probe import TrialProbe
from surefoot.schedules import cosine, warmup
from tests.exact import assert_same, rng_state


class Bowl(nn.Module):
    """Loss ½ Σ λ w², with every gradient displaced by the batch."""

    def __init__(self, curvatures):
        super().__init__()
        self.w = nn.Parameter(torch.ones(len(curvatures)))
        self.curvatures = torch.tensor(curvatures)


def bowl_loss(model, batch):
    return 0.5 * (model.curvatures * (model.w - batch).square()).sum()


def bowl(*curvatures, steps=200, sigma=0.02, momentum=0.0, shift=0.0, **changes):
    noise = torch.Generator().manual_seed(0)
    return sf.Trial(
        **{
            "model": lambda: Bowl(curvatures),
            "optimizer": lambda model, lr: torch.optim.SGD(
                model.parameters(), lr=lr, momentum=momentum
            ),
            "objective": lambda model, batch: bowl_loss(model, batch) - shift,
            "train": [sigma * torch.randn(len(curvatures), generator=noise) for _ in range(50)],
            "validate": lambda model: bowl_loss(model, 0.0) - shift,
            "steps": steps,
            **changes,
        }
    )


@pytest.mark.parametrize("effort", ["quick", "thorough"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("curvatures", [(1.0,), (30.0,), (1e3,), (10.0, 3.0, 1.0)])
def test_the_rate_of_a_quadratic_lies_below_the_edge_of_theory_and_not_far(
    curvatures, momentum, effort
):
    finding = sf.find(bowl(*curvatures, momentum=momentum), effort=effort)
    edge = 2 * (1 + momentum) / max(curvatures)
    assert finding.source == "measured"
    assert edge / 1000 < finding.lr < edge
    assert finding.low < finding.lr < finding.high
    if finding.diverges_at is None:
        assert edge > 0.5  # the range test ends at 10
    else:  # with momentum a rate that grows fast swings out before it is unstable
        assert edge / (10 if momentum else 1) < finding.diverges_at < 100 * edge
        assert finding.high <= finding.diverges_at


def final_loss(trial, lr):
    return sf.sweep(trial, [lr], seeds=1).best.loss


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_training_at_the_found_rate_learns_almost_all_there_is(momentum):
    trial = bowl(10.0, 3.0, momentum=momentum)
    finding = sf.find(trial, effort="thorough")
    assert final_loss(trial, finding.lr) < 0.05 * bowl_loss(Bowl((10.0, 3.0)), 0.0).item()


@pytest.mark.parametrize("steps", [20, 50, 100, 500, 2000])
@pytest.mark.parametrize("effort", ["quick", "thorough"])
def test_it_costs_what_it_promises(effort, steps):
    updates = []

    class Counted(torch.optim.SGD):
        def step(self, closure=None):
            updates.append(1)
            return super().step(closure)

    trial = bowl(3.0, steps=steps, optimizer=lambda model, lr: Counted(model.parameters(), lr=lr))
    finding = sf.find(trial, effort=effort)
    promised = {"quick": max(0.52 * steps, 40), "thorough": max(3 * steps, 90)}[effort]
    assert finding.cost.updates <= promised
    assert len(updates) <= finding.cost.updates  # a last loss that is not finite makes none
    looked = math.ceil(len(finding.sweep) / 3)  # forward passes without an update
    assert len(updates) >= finding.cost.updates - 1 - len(finding.attempts) - looked - 3
    assert finding.cost.trainings == pytest.approx(finding.cost.updates / steps)
    assert finding.cost.seconds > 0


@pytest.mark.parametrize("effort", ["quick", "thorough"])
def test_a_tiny_budget_gets_an_answer_unless_there_is_nothing_to_search(effort):
    finding = sf.find(bowl(3.0, steps=10), effort=effort)
    assert 0 < finding.low <= finding.lr <= finding.high < math.inf
    assert all(each.updates <= 10 for each in finding.attempts)
    with pytest.raises(InputError, match="the trial's steps must be at least 10, not 9"):
        sf.find(bowl(3.0, steps=9), effort=effort)


INPUTS = [(torch.eye(4), torch.ones(4, 1))]


def networks(**changes):
    """A small network with batch norm and dropout on shuffled batches."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 4, generator=generator)
    data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    return sf.Trial(
        **{
            "model": lambda: nn.Sequential(
                nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.05), nn.Linear(16, 1)
            ),
            "optimizer": lambda model, lr: torch.optim.Adam(model.parameters(), lr=lr),
            "loss": nn.functional.mse_loss,
            "train": torch.utils.data.DataLoader(data, 64, shuffle=True),
            "steps": 300,
            "name": "net",
            **changes,
        }
    )


def facts(finding):
    return {**finding.to_dict(), "cost": (finding.cost.updates, finding.cost.trainings)}


def test_the_same_call_twice_gives_the_same_finding_and_no_generator_moves():
    before = rng_state()
    first = sf.find(networks())
    assert_same(rng_state(), before)
    torch.manual_seed(77)
    assert facts(sf.find(networks())) == facts(first)
    assert facts(sf.find(networks(seed=1))) != facts(first)


def test_a_finding_holds_its_evidence():
    finding = sf.find(networks())
    assert finding.name == "net"
    assert finding.default_lr == 1e-3
    assert finding.metric == "training loss"
    assert [attempt.updates for attempt in finding.attempts] == [38, 76]  # one of them went on
    assert finding.cost.updates == 27 + 9 + 3 * 38
    steps = finding.sweep.steps
    assert steps[0] == pytest.approx(1e-6)
    ratios = [b / a for a, b in pairwise(steps)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    for attempt in finding.attempts:
        assert len(attempt.judged) == (7 if attempt.updates == 38 else 9)
        assert (attempt.judged.steps[-1], attempt.judged.values[-1]) == (
            attempt.updates,
            attempt.loss,
        )
    best = max(finding.attempts, key=lambda attempt: attempt.updates)
    assert f"the one at {best.lr:.3g} has the least training loss" in finding.reason
    assert f"after all 300, {finding.lr:.3g} is expected to be best" in finding.reason
    assert finding.forecast.steps[0] < finding.low < finding.high
    assert 1 <= finding.agreement < 100
    assert "over-fitting" in finding.notes[0]


def test_the_forecast_is_least_near_the_rate_and_the_gain_is_over_the_usual_one():
    finding = sf.find(networks(), effort="thorough")
    lrs, losses = finding.forecast
    assert finding.low < lrs[losses.argmin()] < finding.high
    usual, found = (
        float(np.interp(math.log(lr), np.log(lrs), losses)) for lr in (1e-3, finding.lr)
    )
    assert finding.gain == pytest.approx((usual - found) / usual, rel=1e-2)
    assert finding.gain > 0.3


def test_thorough_ends_with_two_whole_trainings():
    finding = sf.find(networks(), effort="thorough")
    lengths = sorted(attempt.updates for attempt in finding.attempts)
    assert lengths[-2:] == [300, 300]
    assert set(lengths[:-2]) <= {38, 75}
    assert finding.cost.updates == 36 + sum(lengths)  # what goes on is not made again


def test_a_training_that_goes_on_is_the_one_that_it_would_have_been():
    parts, whole = (TrialProbe(networks(validate=INPUTS)) for _ in range(2))
    before, rest = parts.train([0.01] * 10, [5, 10]), parts.train([0.01] * 30, [15, 30])
    expected = whole.train([0.01] * 30, [5, 10, 15, 30])
    assert before.judged + rest.judged == expected.judged
    assert (before.updates, rest.updates) == (10, 20)


def test_what_was_reached_before_begins_anew():
    probe = TrialProbe(networks())
    first = probe.train([0.01] * 10, [5, 10])
    assert probe.train([0.01] * 10, [5, 10]) == first


@pytest.mark.parametrize("schedule", [cosine(), "linear", warmup(5) >> cosine(), "hold"])
def test_with_a_schedule_each_short_training_goes_through_all_of_it(schedule):
    finding = sf.find(networks(), schedule=schedule)
    if schedule == "hold":  # where one may go on
        assert min(len(attempt.judged) for attempt in finding.attempts) == 7
    else:
        assert [len(attempt.judged) for attempt in finding.attempts] == [1] * 3
    assert finding.source == "measured"


def test_the_trials_own_schedule_is_used_where_none_is_given():
    own = sf.find(networks(schedule=cosine()))
    assert facts(own) == facts(sf.find(networks(), schedule=cosine()))
    assert facts(sf.find(networks(schedule=cosine()), schedule="hold")) == facts(
        sf.find(networks(), schedule="hold")
    )


def test_negative_losses_work():
    plain, one, other = (sf.find(bowl(3.0, shift=shift)) for shift in (0.0, 50.0, 100.0))
    assert one.source == "measured"
    assert (other.lr, other.diverges_at) == (one.lr, one.diverges_at)
    assert plain.low / 3 < one.lr < plain.high * 3  # where the floor is not known, less is


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        (
            lambda model, batch: bowl_loss(model, batch) * math.nan,
            "not finite at a learning rate of 0",
        ),
        (lambda model, batch: (model.w * 0).sum() + 2.0, "No rate changed the loss"),
    ],
)
def test_refuses_with_a_reason(objective, said):
    finding = sf.find(bowl(3.0, objective=objective, validate=None))
    assert (finding.source, finding.lr) == ("default", 0.1)
    assert said in finding.reason
    assert finding.reason.endswith("This is the usual rate of the optimizer, unmeasured.")


def test_a_bowl_too_steep_for_the_smallest_rate_is_refused():
    finding = sf.find(bowl(1e9, sigma=0.0))
    assert finding.source == "default"


def test_groups_in_proportion_are_searched_together():
    def optimizer(model, lr):
        return torch.optim.SGD(
            [{"params": [model[0].weight]}, {"params": [model[0].bias], "lr": 5 * lr}], lr=lr
        )

    trial = networks(model=lambda: nn.Sequential(nn.Linear(4, 1)), optimizer=optimizer)
    assert sf.find(trial).source == "measured"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"restore": []}, "restore belongs to find"),
        ({"steps": 5}, "steps belongs to find"),
        ({"validate": len}, "validate belongs to find"),
        ({"effort": "fast"}, "effort must be one of"),
        ({"schedule": "cosine(999)"}, "999 updates"),
    ],
)
def test_says_what_does_not_go_with_a_trial(arguments, said):
    with pytest.raises(InputError, match=said):
        sf.find(networks(), **arguments)
    with pytest.raises(InputError, match="optimizer belongs to find"):
        sf.find(networks(), torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0))


def test_an_automatic_warm_up_is_searched_as_long_as_it_is_trained(monkeypatch):
    module = sys.modules["surefoot._find.find"]
    plain, resolved = module._resolved, []

    def noted(*arguments, **units):
        resolved.append(plain(*arguments, **units))
        return resolved[0]

    monkeypatch.setattr(module, "_resolved", noted)
    data = [(torch.ones(8, 1), torch.full((8, 1), 3.0))]
    trial = sf.Trial(
        model=lambda: torch.nn.Linear(1, 1),
        optimizer=lambda model, lr: torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.9)),
        loss=torch.nn.functional.mse_loss,
        train=data,
        steps=400,
        schedule='warmup("auto") >> cosine()',
    )
    sf.find(trial, progress=False)
    factors = trial.factors(trial.build(1e-3)[1])
    assert [resolved[0](t) for t in range(60)] == [factors(t) for t in range(60)]


@pytest.mark.parametrize("samples", [4, 40000])
def test_what_judging_costs_is_told_where_it_is_much(samples):
    finding = sf.find(
        networks(validate=[(torch.eye(4).repeat(samples // 4, 1), torch.ones(samples, 1))])
    )
    assert finding.cost.passes == 1 + sum(len(each.judged) for each in finding.attempts)
    assert any(note.startswith("Judging cost") for note in finding.notes) == (samples == 40000)
