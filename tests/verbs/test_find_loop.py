"""``find`` inside the user's own loop: what it gives back, and what it leaves untouched."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot import InputError
from surefoot.schedules import cosine
from tests.exact import INPUT, TARGET, assert_same, rng_state, state, training, update


def with_model(model):
    model.eval()
    with torch.no_grad():
        return (model(INPUT) - TARGET).square().mean()


def make(kind="SGD"):
    model, optimizer = training()
    for _ in range(2):
        update(model, optimizer)
    return model, optimizer


@pytest.mark.parametrize("effort", ["quick", "thorough"])
@pytest.mark.parametrize("validate", [None, "takes a model", "takes nothing"])
def test_nothing_is_left_behind(effort, validate):
    model, optimizer = make()
    functions = {"takes a model": with_model, "takes nothing": lambda: with_model(model)}
    expected = state(model, optimizer)
    finding = sf.find(
        lambda: update(model, optimizer),
        optimizer,
        restore=[model],
        steps=40,
        effort=effort,
        validate=functions.get(validate),
    )
    assert_same(state(model, optimizer), expected)
    assert finding.metric == ("training loss" if validate is None else "validation loss")
    assert finding.source == "measured"
    assert finding.low < finding.lr < finding.high


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [
        None,
        lambda model: torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=True),
        lambda model: torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-3), foreach=False),
    ],
)
def test_the_training_that_follows_is_the_one_that_would_have_been(optimizer, warm):
    def run(searched):
        model, chosen = training(optimizer=optimizer)
        if warm:
            update(model, chosen)
        if searched:
            sf.find(lambda: update(model, chosen), chosen, restore=[model], steps=30)
        losses = [update(model, chosen).item() for _ in range(8)]
        return losses, state(model, chosen)

    (losses, ended), (expected, twin) = run(searched=True), run(searched=False)
    assert losses == expected
    for key in ("values", "gradients", "optimizer", "rng"):
        assert_same(ended[key], twin[key])


class Broken(Exception):
    pass


@pytest.mark.parametrize("error", [Broken("mine"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("at", [1, 7, 25])
def test_an_exception_in_the_step_goes_through_and_leaves_nothing_behind(error, at):
    model, optimizer = make()
    expected, calls = state(model, optimizer), []

    def step():
        calls.append(1)
        update(model, optimizer)
        if len(calls) == at:
            model.eval()
            model.zero_grad()
            raise error
        return update(model, optimizer)

    with pytest.raises(type(error)) as caught:
        sf.find(step, optimizer, restore=[model], steps=40)
    assert caught.value is error
    assert_same(state(model, optimizer), expected)


def test_an_exception_in_the_validation_goes_through_too():
    model, optimizer = make()
    expected, error = state(model, optimizer), Broken()

    def validate():
        raise error

    with pytest.raises(Broken) as caught:
        sf.find(lambda: update(model, optimizer), optimizer, restore=[model], steps=40,
                validate=validate)  # fmt: skip
    assert caught.value is error
    assert_same(state(model, optimizer), expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, torch.tensor(math.nan)])
def test_a_loss_that_is_not_finite_from_the_start_gives_the_default_and_the_reason(bad):
    model, optimizer = make()
    expected = state(model, optimizer)

    def step():
        update(model, optimizer)
        for parameter in model.parameters():
            parameter.data.fill_(math.nan)
        return bad

    finding = sf.find(step, optimizer, restore=[model], steps=40)
    assert_same(state(model, optimizer), expected)
    usual = pytest.approx(0.1 / 3)  # the second group has three times the rate of the first
    assert (finding.source, finding.lr, finding.default_lr) == ("default", usual, usual)
    assert "not finite at a learning rate of 0" in finding.reason
    assert finding.attempts == ()
    assert finding.low < finding.lr < finding.high


@pytest.mark.parametrize("value", [0.0, 2.3, -1.0, 1e-9])
def test_a_loss_that_no_rate_changes_gives_the_default_and_the_reason(value):
    model, optimizer = make()

    def train_step():
        optimizer.step()
        return value

    finding = sf.find(train_step, optimizer, restore=[model], steps=40)
    assert finding.source == "default"
    assert "No rate changed the loss" in finding.reason
    assert finding.diverges_at is None


def test_a_loss_that_is_all_noise_gives_the_default_and_the_reason():
    model, optimizer = make()
    noise = np.random.default_rng(0)

    def train_step():
        optimizer.step()
        return 2.3 + noise.normal()

    finding = sf.find(train_step, optimizer, restore=[model], steps=400)
    assert finding.source == "default"


def test_a_loss_that_blows_up_at_once_gives_the_default_and_the_reason():
    model, optimizer = make()
    losses = iter([1.0] * 13 + [1.1, math.inf])
    finding = sf.find(
        lambda: optimizer.step() or next(losses), optimizer, restore=[model], steps=40
    )
    assert finding.source == "default"
    assert "blew up within the first updates" in finding.reason


def test_when_every_short_trial_fails_the_default_is_given():
    model, optimizer = make()
    falling = iter([1.0] * 12 + [1.0, 1.0, 1.0, *np.linspace(1.0, 0.1, 9)])

    def train_step():
        optimizer.step()
        return next(falling, math.nan)

    finding = sf.find(train_step, optimizer, restore=[model], steps=40)
    assert (finding.source, finding.reason[:26]) == ("default", "Every short training diver")
    assert all(math.isinf(attempt.loss) for attempt in finding.attempts)


def test_negative_losses_are_as_good_as_positive_ones():
    def search(shift):
        model, optimizer = make()
        step = lambda: update(model, optimizer) - shift  # noqa: E731
        return sf.find(step, optimizer, restore=[model], steps=400)

    one, other = search(100.0), search(200.0)
    assert other.source == "measured"
    assert other.lr == pytest.approx(one.lr, rel=0.3)  # single precision


def test_groups_keep_their_ratios_in_every_update():
    model, optimizer = make()
    seen = []

    def step():
        seen.append([group["lr"] for group in optimizer.param_groups])
        return update(model, optimizer)

    finding = sf.find(step, optimizer, restore=[model], steps=40)
    assert len(seen) > 16
    assert [b for _, b in seen] == pytest.approx([3 * a for a, _ in seen])
    assert finding.lrs == pytest.approx((finding.lr, 3 * finding.lr))
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.03]


def test_each_group_can_have_a_rate_of_its_own():
    """Two bowls, one 100 times as steep: alone each has its own best rate."""
    torch.manual_seed(0)
    flat, steep = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [flat]}, {"params": [steep]}], lr=0.1)

    def train_step():
        loss = 0.5 * (flat.square().sum() + 100 * steep.square().sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    options = {"restore": [], "steps": 200}
    together = sf.find(train_step, optimizer, **options)
    apart = sf.find(train_step, optimizer, **options, per_group=True)
    assert together.lrs == (together.lr, together.lr)
    assert apart.lr == apart.lrs[0] > 5 * apart.lrs[1]
    assert together.lr < 0.02  # 2 ÷ 100
    assert apart.lrs[1] < 0.02 < apart.lrs[0] < 2
    assert sum(note.startswith("Group") for note in apart.notes) == 2
    assert apart.cost.updates > 2.5 * together.cost.updates
    assert torch.equal(flat, torch.ones(3))


def test_scaler_and_scheduler_in_the_loop_come_back():
    model, optimizer = make()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    def step():
        optimizer.zero_grad()
        loss = (model(INPUT) - TARGET).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        return loss

    expected = copy.deepcopy([scheduler.state_dict(), scaler.state_dict(), state(model, optimizer)])
    finding = sf.find(step, optimizer, restore=[model, scaler, scheduler], steps=40)
    assert finding.cost.updates >= 10
    assert_same([scheduler.state_dict(), scaler.state_dict(), state(model, optimizer)], expected)


def test_a_compiled_model_is_searched_and_restored():
    model, optimizer = make()
    compiled = torch.compile(model, backend="eager")
    expected = state(model, optimizer)
    finding = sf.find(lambda: update(compiled, optimizer), optimizer, restore=[compiled], steps=20)
    assert_same(state(model, optimizer), expected)
    assert finding.cost.updates > 16


def test_a_watched_training_records_nothing_of_the_search(tmp_path):
    model, optimizer = make()
    with sf.watch(model, optimizer, to=tmp_path / "run", every=1) as watch:
        for number in range(4):
            if number == 2:
                sf.find(lambda: update(model, optimizer), optimizer, restore=[model], steps=20)
            watch.step(update(model, optimizer))
    log = sf.read(tmp_path / "run")
    for name in ("loss", "lr"):
        assert log[name].steps.tolist() == [0, 1, 2, 3]
    for name in ("grad_norm", "update_ratio"):  # which step of the third was its own is not known
        assert log[name].steps.tolist() == [0, 1, 3]
    assert log["lr"].values.tolist() == [0.01] * 4


def test_the_search_is_deterministic():
    def search():
        model, optimizer = make()
        finding = sf.find(lambda: update(model, optimizer), optimizer, restore=[model], steps=60)
        return finding.to_dict() | {"cost": finding.cost.updates}

    assert search() == search()


GOOD = {"steps": 10}


def bare():
    return [torch.zeros(1, requires_grad=True)]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda step, o, m: sf.find(step, o, restore=[m]), "steps must be given: find"),
        (lambda step, o, m: sf.find(step, o, steps=10), "restore must be given"),
        (lambda step, o, m: sf.find(step, restore=[m], steps=10), "optimizer must be the torch"),
        (lambda step, o, m: sf.find(step, m, restore=[m], steps=10), "optimizer must be the torch"),
        (lambda step, o, m: sf.find(step, o, restore=m, steps=10), r"such as restore=\[model\]"),
        (lambda step, o, m: sf.find(step, o, restore=[3], steps=10), "a int, which cannot be"),
        (lambda step, o, m: sf.find(step, o, restore=[m], steps=0), "steps must be at least 10"),
        (lambda step, o, m: sf.find(step, o, restore=[m], steps=9), "at least 10, not 9"),
        (lambda step, o, m: sf.find(step, o, restore="m", steps=10), r"such as restore=\[model\]"),
        (lambda step, o, m: sf.find(step, o, restore={"m": m}, steps=10), "a dict was given"),
        (
            lambda step, o, m: sf.find(step, o, restore=[m], steps=10, per_group="x"),
            "per_group must be True or False",
        ),
        (
            lambda step, o, m: sf.find(lambda batch: step(), o, restore=[m], steps=10),
            "train_step must take no arguments; it needs batch",
        ),
        (
            lambda step, o, m: sf.find(
                step, o, restore=[m], steps=10, validate=lambda model, data: 0.0
            ),
            "validate must take nothing or the model; it needs model, data",
        ),
        (lambda step, o, m: sf.find(step, o, restore=[m], steps=2.5), "steps must be a whole"),
        (
            lambda step, o, m: sf.find(step, o, restore=[m], steps=10, effort="slow"),
            "effort must be one of 'quick', 'thorough'",
        ),
        (
            lambda step, o, m: sf.find(step, o, restore=[m], steps=10, schedule="cosine(99)"),
            "99 updates",
        ),
        (
            lambda step, o, m: sf.find(step, o, restore=[m], steps=10, progress="yes"),
            "progress must be",
        ),
        (
            lambda step, o, m: sf.find(
                step, torch.optim.SGD(bare(), 0.1), restore=[], steps=10, validate=with_model
            ),
            "restore holds none",
        ),
        (lambda step, o, m: sf.find(3), "find needs a surefoot.Trial, or a function"),
        (lambda step, o, m: sf.find(nn.Linear), "find needs a surefoot.Trial"),
        (lambda step, o, m: sf.find(lambda: None, o, restore=[m], steps=10), "returned None"),
        (
            lambda step, o, m: sf.find(lambda: torch.ones(2), o, restore=[m], steps=10),
            r"a tensor of shape \(2,\)",
        ),
        (lambda step, o, m: sf.find(lambda: "x", o, restore=[m], steps=10), "must be a number"),
    ],
)
def test_says_what_is_not_allowed_and_leaves_all_as_it_was(call, said):
    model, optimizer = make()
    expected = state(model, optimizer)
    with pytest.raises(InputError, match=said):
        call(lambda: update(model, optimizer), optimizer, model)
    assert_same(state(model, optimizer), expected)


def test_a_rate_of_zero_in_the_first_group_is_refused():
    model, optimizer = make()
    optimizer.param_groups[0]["lr"] = 0.0
    with pytest.raises(InputError, match="the lr of the optimizer's first parameter group"):
        sf.find(lambda: update(model, optimizer), optimizer, restore=[model], steps=10)


@pytest.mark.parametrize("effort", ["quick", "thorough"])
def test_progress_is_told_and_never_runs_past_its_end(effort):
    model, optimizer = make()
    told = []
    finding = sf.find(
        lambda: update(model, optimizer),
        optimizer,
        restore=[model],
        steps=60,
        effort=effort,
        schedule=cosine(),
        progress=lambda done, total, text: told.append((done, total, text)),
    )
    assert told[0][2] == "range test"
    assert told[-1][0] == finding.cost.updates
    assert all(done <= total for done, total, _ in told)


def test_global_generators_stay_as_they_were():
    model, optimizer = make()
    before = rng_state()
    sf.find(lambda: update(model, optimizer), optimizer, restore=[model], steps=20)
    assert_same(rng_state(), before)


def noisy_loop(groups=None):
    """Return a loop with dropout over random batches, its optimizer and its model."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 4)
    targets = inputs.sum(dim=1, keepdim=True)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
    parameters = model.parameters() if groups is None else groups(model)
    optimizer = torch.optim.Adam(parameters, lr=1e-3)

    def step():
        chosen = torch.randint(0, 256, (16,))
        loss = (model(inputs[chosen]) - targets[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, optimizer, model, inputs, targets


@pytest.mark.parametrize("steps", [10, 11, 17, 18, 19])
def test_a_budget_of_any_size_can_be_searched(steps):
    step, optimizer, model, *_ = noisy_loop()
    finding = sf.find(step, optimizer, restore=[model], steps=steps, effort="thorough")
    assert finding.lr > 0


def test_what_validate_does_to_the_model_and_the_generators_is_undone():
    def losses(*, careless):
        step, optimizer, model, inputs, targets = noisy_loop()
        modes = []

        def watched():
            modes.append(model.training)
            return step()

        def validate():
            if careless:
                torch.rand(7)
            else:
                was, random = model.training, torch.get_rng_state()
            model.eval()
            with torch.no_grad():
                loss = (model(inputs) - targets).square().mean()
            if not careless:
                model.train(was)
                torch.set_rng_state(random)
            return loss

        finding = sf.find(
            watched, optimizer, restore=[model], steps=200, validate=validate, effort="thorough"
        )
        assert all(modes)
        return [(each.lr, each.loss) for each in finding.attempts]

    assert losses(careless=True) == losses(careless=False)


def test_the_finding_of_groups_one_by_one_is_that_of_the_first():
    step, optimizer, model, *_ = noisy_loop(
        lambda model: [
            {"params": model[0].parameters(), "lr": 1e-4},
            {"params": model[3].parameters(), "lr": 1e-2},
        ]
    )
    finding = sf.find(step, optimizer, restore=[model], steps=400, per_group=True)
    assert finding.low <= finding.lr <= finding.high
    assert finding.lr == finding.lrs[0]
    assert [group["lr"] for group in optimizer.param_groups] == [1e-4, 1e-2]


def test_the_usual_rate_of_a_group_is_not_what_the_search_before_it_has_left(monkeypatch):
    from surefoot._engine.loop_probe import LoopProbe

    usual = []
    make_probe = LoopProbe.__init__

    def noted(self, *arguments, **options):
        make_probe(self, *arguments, **options)
        usual.append(self.default_lr)

    monkeypatch.setattr(LoopProbe, "__init__", noted)
    step, optimizer, model, *_ = noisy_loop(
        lambda model: [
            {"params": model[0].parameters(), "lr": 1e-3},
            {"params": model[3].parameters(), "lr": 5e-4},
        ]
    )
    sf.find(step, optimizer, restore=[model], steps=200, per_group=True)
    assert usual == pytest.approx([1e-3, 1e-3, 5e-4])


def test_a_group_at_rate_zero_stays_there():
    step, optimizer, model, *_ = noisy_loop(
        lambda model: [
            {"params": model[0].parameters(), "lr": 1e-3},
            {"params": model[3].parameters(), "lr": 0.0},
        ]
    )
    finding = sf.find(step, optimizer, restore=[model], steps=200, per_group=True)
    assert finding.lrs[1] == 0
    assert "Group 1 keeps 0: it is not trained." in finding.notes


def test_a_loop_that_leaves_out_whole_stretches_of_updates_can_be_searched():
    """As a guard against spikes does at a high rate; it was stepped before that."""
    step, optimizer, model, *_ = noisy_loop()
    made = optimizer.step
    optimizer.step = lambda: made() if optimizer.param_groups[0]["lr"] < 3e-3 else None
    finding = sf.find(step, optimizer, restore=[model], steps=200, effort="thorough")
    assert finding.lr > 0
    assert any(each.lr > 3e-3 for each in finding.attempts)


@pytest.mark.parametrize("judged", [0.5, 0.0, -2.0])
def test_where_no_training_learned_anything_that_is_the_reason(judged):
    """As an error rate that short trainings do not lower: there is nothing to forecast from."""
    step, optimizer, model, *_ = noisy_loop()
    finding = sf.find(
        step, optimizer, restore=[model], steps=200, validate=lambda: judged, effort="thorough"
    )
    assert finding.source == "default"
    assert "No training ended below the untrained validation loss" in finding.reason


@pytest.mark.parametrize("schedule", [None, "cosine()"])
def test_a_scheduler_that_train_step_steps_is_told_of(schedule):
    step, optimizer, model, *_ = noisy_loop()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)

    def with_scheduler():
        loss = step()
        scheduler.step()
        return loss

    def search(step):
        return sf.find(step, optimizer, restore=[model], steps=60, schedule=schedule)

    finding, without = search(with_scheduler), search(step)
    assert finding.lr == without.lr  # the rates are those of the search
    assert any("schedule=" in note for note in finding.notes) == (schedule is None)
    assert not any("schedule=" in note for note in without.notes)
    assert scheduler.last_epoch == 0


def test_passes_over_the_validation_set_are_counted():
    step, optimizer, model, inputs, targets = noisy_loop()
    calls = []

    def validate():
        calls.append(1)
        return (model(inputs) - targets).square().mean().detach()

    finding = sf.find(step, optimizer, restore=[model], steps=60, validate=validate)
    assert finding.cost.passes == len(calls) > 3
    assert f"{len(calls)} validation passes" in str(finding.cost)
    assert sf.find(step, optimizer, restore=[model], steps=60).cost.passes == 0
