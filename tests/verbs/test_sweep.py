"""``sweep`` against trainings written out by hand with torch.optim, one by one."""

import copy
import math
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf
from surefoot import InputError
from surefoot.schedules import cosine, warmup
from tests.exact import assert_same, rng_state

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(2))
Y = (X.sum(dim=1) > 0).long()
LRS = [1e-3, 1e-2, 0.1]


def net():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 2))


def shuffled():
    return DataLoader(TensorDataset(X, Y), 8, shuffle=True)


def dicts():
    return [{"x": X[i : i + 8], "y": Y[i : i + 8]} for i in range(0, 40, 8)]


def objective(model, batch):
    labels = batch.pop("y")  # as many a model does; the next member must see it again
    return cross_entropy(model(batch["x"]), labels)


def sgd(model, lr):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)


def adam(model, lr):
    return torch.optim.Adam(model.parameters(), lr=lr)


def adamw(model, lr):
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)


def grouped(model, lr):
    head = [p for name, p in model.named_parameters() if name.startswith("3")]
    rest = [p for name, p in model.named_parameters() if not name.startswith("3")]
    return torch.optim.SGD([{"params": rest}, {"params": head, "lr": 10 * lr}], lr=lr)


def make(**changes):
    return sf.Trial(
        **{
            "model": net,
            "optimizer": sgd,
            "train": shuffled(),
            "loss": cross_entropy,
            "steps": 25,
            **changes,
        }
    )


def seed_all(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the global generator is what users draw from
    random.seed(seed)


def by_hand(trial, lr, seed):
    """Train as a user would write it, with plain torch; return losses and the final model."""
    seed_all(seed)
    batches = []
    while len(batches) < trial.steps * trial.accumulate:
        batches.extend(trial.train)
    seed_all(seed)
    model = trial.model()
    model.train()
    optimizer = trial.optimizer(model, lr)
    base = [group["lr"] for group in optimizer.param_groups]
    plan = None if trial.schedule is None else sf.schedule(trial.schedule).resolve(trial.steps)
    losses = []
    for update in range(trial.steps):
        for group, own in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = own * (1.0 if plan is None else plan(update))
        optimizer.zero_grad()
        total = 0.0
        for part in range(trial.accumulate):
            batch = copy.deepcopy(batches[update * trial.accumulate + part])
            if trial.objective is None:
                loss = trial.loss(model(batch[0]), batch[1])
            else:
                loss = trial.objective(model, batch)
            (loss / trial.accumulate).backward()
            total += loss.item() / trial.accumulate
        if trial.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), trial.clip_norm)
        losses.append(total)
        optimizer.step()
    return losses, model


VARIANTS = {
    "SGD with momentum": {},
    "Adam": {"optimizer": adam},
    "AdamW with weight decay": {"optimizer": adamw},
    "groups in proportion": {"optimizer": grouped},
    "accumulation": {"accumulate": 3},
    "clipping": {"clip_norm": 0.05},
    "a schedule": {"schedule": warmup(5) >> cosine()},
    "a schedule as text": {"schedule": "warmup(5) >> cosine()"},
    "batches that are dicts": {"train": dicts(), "loss": None, "objective": objective},
    "everything": {"optimizer": adamw, "accumulate": 2, "clip_norm": 0.1, "schedule": cosine()},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_member_is_bit_by_bit_the_training_written_by_hand(name):
    trial = make(**VARIANTS[name])
    result = sf.sweep(trial, LRS, seeds=2, backend="loop")
    assert [(m.seed, m.lr) for m in result.members] == [(s, lr) for s in (0, 1) for lr in LRS]
    for member in result.members:
        losses, _ = by_hand(trial, member.lr, member.seed)
        assert member.curve.values.tolist() == losses
        assert member.curve.steps.tolist() == list(range(25))
        assert member.loss == sum(losses[-2:]) / 2


def test_the_validation_loss_judges_where_there_is_a_validation_set():
    trial = make(validate=[(X[:30], Y[:30]), (X[30:], Y[30:])])
    result = sf.sweep(trial, LRS, seeds=1)
    for member in result.members:
        _, model = by_hand(trial, member.lr, 0)
        model.eval()
        with torch.no_grad():
            assert member.loss == pytest.approx(cross_entropy(model(X), Y).item(), rel=1e-6)
    assert result.metric == "validation loss"


def test_members_of_a_seed_share_weights_and_batches_and_seeds_differ():
    result = sf.sweep(make(seed=5), [1e-9, 2e-9], seeds=3)
    curves = {(m.seed, m.lr): m.curve.values for m in result.members}
    for seed in (5, 6, 7):
        assert curves[seed, 1e-9] == pytest.approx(curves[seed, 2e-9], rel=1e-5)
    assert not np.allclose(curves[5, 1e-9], curves[6, 1e-9])
    assert not np.allclose(curves[6, 1e-9], curves[7, 1e-9])


def test_the_rates_around_a_rate_do_not_change_its_training_and_no_generator_moves():
    before = rng_state()
    alone = sf.sweep(make(), [0.01], seeds=1, backend="loop").members[0]
    assert_same(rng_state(), before)
    torch.manual_seed(99)
    among = sf.sweep(make(), [1.0, 0.01, 1e-4], seeds=1, backend="loop").members[1]
    assert among == alone


def test_batches_are_drawn_once_per_seed_and_shared():
    class Counted(list):
        passes = 0

        def __iter__(self):
            Counted.passes += 1
            return super().__iter__()

    batches = Counted((X[i : i + 8], Y[i : i + 8]) for i in range(0, 40, 8))
    sf.sweep(make(train=batches), LRS, seeds=2, backend="loop")
    assert Counted.passes == 2 * 25 // 5


def test_a_batch_changed_in_place_by_the_model_changes_it_for_no_other_member():
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 2)

        def forward(self, x):
            return self.layer(x.mul_(2.0))

    result = sf.sweep(make(model=Greedy, train=[(X, Y)]), [1e-9, 2e-9], seeds=1)
    first, second = (member.curve.values for member in result.members)
    assert first == pytest.approx(second, rel=1e-4)
    assert first[0] == pytest.approx(first[-1], rel=1e-4)


def bowl(curvature, momentum=0.0, **changes):
    """Loss ½λw² from w = 1, without noise."""
    return sf.Trial(
        **{
            "model": lambda: nn.Linear(1, 1, bias=False),
            "optimizer": lambda model, lr: torch.optim.SGD(
                model.parameters(), lr=lr, momentum=momentum
            ),
            "objective": lambda model, batch: 0.5 * curvature * model.weight.square().sum(),
            "train": [0],
            "steps": 400,
            **changes,
        }
    )


@pytest.mark.parametrize("curvature", [0.5, 4.0, 200.0])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_training_diverges_at_the_first_rate_above_the_edge_of_theory(curvature, momentum):
    edge = 2 * (1 + momentum) / curvature
    factors = [0.05, 0.3, 0.7, 0.9, 0.97, 1.03, 1.1, 2.0, 50.0]
    result = sf.sweep(bowl(curvature, momentum), [edge * f for f in factors], seeds=1)
    assert result.diverges_at == pytest.approx(1.03 * edge)
    assert [point.diverged for point in result.points] == [0] * 5 + [1] * 4
    assert "training fails from" in result.reason


@pytest.mark.parametrize("shift", [0.0, -100.0])
def test_best_basin_and_untrained_are_those_of_the_closed_form(shift):
    # one step from w = w0 on ½w² + 1: the loss after it is ½w0²(1 − lr)² + 1
    def model():
        layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(layer.weight, 2.0)
        return layer

    trial = sf.Trial(
        model=model,
        optimizer=lambda m, lr: torch.optim.SGD(m.parameters(), lr=lr),
        objective=lambda m, batch: 0.5 * m.weight.square().sum() + 1.0 + shift,
        train=[0],
        validate=lambda m: 0.5 * m.weight.square().sum() + 1.0 + shift,
        steps=1,
    )
    lrs = np.linspace(0.02, 3.0, 150)
    result = sf.sweep(trial, lrs, seeds=2, tolerance=0.1)
    expected = [0.5 * 4 * (1 - lr) ** 2 + 1 + shift for lr in lrs]
    assert [point.loss for point in result.points] == pytest.approx(expected, abs=1e-4)
    assert result.untrained == pytest.approx(3.0 + shift)
    assert result.best.lr == pytest.approx(1.0)
    # within 10 % of 1 above the floor of 0; of what was learned (2) where losses are negative
    allowed = 0.1 * (1.0 if shift == 0 else 2.0)
    assert result.basin.low == pytest.approx(1 - math.sqrt(allowed / 2), abs=0.01)
    assert result.basin.high == pytest.approx(1 + math.sqrt(allowed / 2), abs=0.01)
    # nothing learned where less than a tenth of 2 was: ½·4·(1−lr)² > 1.8
    assert result.diverges_at == pytest.approx(1 + math.sqrt(0.9), abs=0.021)
    assert not result.basin.open_low
    assert not result.basin.open_high


def test_cost_counts_the_updates_made_and_trainings_are_those_of_the_budget():
    stepped = []

    class Counted(torch.optim.SGD):
        def step(self, closure=None):
            stepped.append(1)
            return super().step(closure)

    trial = make(optimizer=lambda model, lr: Counted(model.parameters(), lr=lr))
    result = sf.sweep(trial, [0.01, 0.1, 1e30], seeds=2, backend="loop")
    assert result.cost.updates == len(stepped) < 6 * 25
    assert result.cost.trainings == pytest.approx(len(stepped) / 25)
    assert result.points[-1].loss == math.inf
    assert result.points[-1].diverged == result.points[-1].seeds == 2


def test_the_table_has_a_row_for_each_rate():
    result = sf.sweep(make(), LRS, seeds=2)
    table = result.table()
    assert table.columns == ("lr", "loss", "low", "high", "seeds", "diverged", "failed")
    assert [row[0] for row in table.rows] == LRS
    for row, point in zip(table.rows, result.points, strict=True):
        assert row[2] <= row[1] <= row[3]
        losses = [m.loss for m in result.members if m.lr == point.lr]
        assert row[1] == point.loss == pytest.approx(np.mean(losses))
        assert row[4:] == (2, point.diverged, 0)


def test_progress_is_told_in_updates_with_the_best_so_far():
    told = []
    sf.sweep(make(), LRS, seeds=2, backend="loop", progress=lambda *what: told.append(what))
    ends = [(done, total) for done, total, text in told if text]
    assert set(ends) >= {(25 * i, 150) for i in range(1, 7)}
    assert "6 of 6, best so far " in told[-1][2]
    told.clear()
    sf.sweep(make(), [1e30, 1e-3], seeds=1, progress=lambda *what: told.append(what))
    with pytest.raises(InputError):
        sf.sweep(make(), [1e30], seeds=1, progress=lambda *what: told.append(what))
    assert told[-1][2].endswith("best so far none")


def fragile(lrs_that_break):
    """An objective that raises in the third update of members with these rates."""

    class Breaks(torch.optim.SGD):
        def __init__(self, parameters, lr):
            super().__init__(parameters, lr=lr)
            self.made = 0

        def step(self, closure=None):
            self.made += 1
            if self.made == 3 and self.param_groups[0]["lr"] in lrs_that_break:
                raise ZeroDivisionError("no such luck")
            return super().step(closure)

    return make(optimizer=lambda model, lr: Breaks(model.parameters(), lr=lr))


@pytest.mark.parametrize("backend", ["auto", "loop", "processes", "fused"])
def test_a_member_that_raises_is_told_and_the_others_finish(backend):
    trial, whole = fragile([0.1]), fragile([])
    if backend == "fused":
        with pytest.raises(InputError, match=r"cannot be fused: .*no such luck"):
            sf.sweep(trial, LRS, seeds=2, backend=backend)
        return
    result = sf.sweep(trial, LRS, seeds=2, backend=backend, workers=2)
    failed = [member for member in result.members if member.error]
    assert [(m.lr, m.seed, m.error) for m in failed] == [
        (0.1, seed, "ZeroDivisionError: no such luck") for seed in (0, 1)
    ]
    assert [len(m.curve) for m in failed] == [3, 3]
    rest = [member for member in result.members if not member.error]
    others = sf.sweep(whole, LRS, seeds=2, backend="loop").members
    assert [m.loss for m in rest] == pytest.approx([m.loss for m in others if m.lr != 0.1])
    assert [point.failed for point in result.points] == [0, 0, 2]
    assert result.best.lr != 0.1
    assert "ZeroDivisionError: no such luck" in result.reason


def test_when_every_member_raises_so_does_the_sweep():
    with pytest.raises(ZeroDivisionError, match="no such luck"):
        sf.sweep(fragile(LRS), LRS, seeds=2, backend="loop")


def trains(model):
    model.train()
    model(X)  # BatchNorm's statistics move
    return 1.0


def overwrites(model):
    model[0].weight.data.mul_(0.9)
    return 1.0


@pytest.mark.parametrize(
    ("validate", "named"), [(trains, "1.running_mean"), (overwrites, "0.weight")]
)
def test_validation_that_changes_the_model_is_refused(validate, named):
    with pytest.raises(InputError, match=f"must only measure; it changed '{named}'"):
        sf.sweep(make(validate=validate), LRS, seeds=1)


def test_validation_that_puts_everything_back_may_change_the_model_meanwhile():
    def averaged(model):
        kept = model[0].weight.detach().clone()
        model[0].weight.data.zero_()
        value = model(X).sum()
        model[0].weight.data.copy_(kept)
        return value

    assert sf.sweep(make(validate=averaged), LRS, seeds=1).metric == "validation loss"


@pytest.mark.parametrize("refine", [1, 2, 3])
def test_refinement_adds_the_rates_halfway_to_the_neighbours_of_the_best(refine):
    trial = bowl(1.0, steps=3)  # the loss after three updates is least at lr 1
    result = sf.sweep(trial, [0.01, 0.1, 0.9, 3.0], seeds=2, refine=refine)
    lrs = [point.lr for point in result.points]
    assert len(lrs) == 4 + 2 * refine
    assert [point.seeds for point in result.points] == [2] * len(lrs)
    assert {0.3, 1.64317} <= set(lrs)
    place = lrs.index(result.best.lr)
    assert lrs[place] / lrs[place - 1] <= 90 ** (1 / 2**refine)
    assert abs(math.log(result.best.lr)) <= abs(math.log(0.9)) + 1e-6


def test_refinement_is_around_the_middle_of_rates_that_are_equally_good():
    def one():
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        return model

    def error(model):  # after three updates it is (1 - lr)³
        return float(not 0.2 < model.weight.item() < 0.95)

    trial = bowl(1.0, steps=3, model=one, validate=error)
    lrs = [0.01, 0.03, 0.1, 0.3, 3.0]
    best = sf.sweep(trial, lrs, seeds=1).best.lr
    assert best == 0.1
    refined = {point.lr for point in sf.sweep(trial, lrs, seeds=1, refine=1).points}
    assert refined - set(lrs) == {0.0547723, 0.173205}


@pytest.mark.parametrize("end", ["smallest", "largest"])
def test_a_best_rate_at_the_end_of_the_grid_asks_for_more(end):
    lrs = [1.0, 1.5] if end == "smallest" else [1e-4, 1e-3]
    result = sf.sweep(bowl(1.0, steps=20), lrs, seeds=1)
    assert f"The best is the {end} rate tried: extend the grid" in result.reason
    assert "no rate of the grid is too high" in result.reason


@pytest.mark.parametrize(
    ("optimizer", "low", "high"),
    [
        (torch.optim.SGD, 1e-4, 10),
        (torch.optim.Adam, 1e-6, 1),
        (torch.optim.RMSprop, 1e-5, 10),
        (torch.optim.Adadelta, 1e-3, 10),
    ],
)
def test_by_default_the_range_follows_the_optimizer_three_rates_a_decade(optimizer, low, high):
    trial = bowl(1.0, steps=3, optimizer=lambda m, lr: optimizer(m.parameters(), lr=lr))
    lrs = [point.lr for point in sf.sweep(trial, seeds=1).points]
    assert (lrs[0], lrs[-1]) == (low, high)
    assert len(lrs) == 3 * round(math.log10(high / low)) + 1
    assert np.diff(np.log10(lrs)) == pytest.approx(1 / 3, abs=1e-4)


class OneShot:
    """Looks like a loader and can be iterated once."""

    def __init__(self):
        self.batches = iter([(X, Y)] * 3)

    def __iter__(self):
        return self.batches


KEPT = net()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": []}, "train must hold at least one batch; it is empty"),
        ({"train": OneShot()}, r"train.*was (so|empty) when iterated again.*Give list\(train\)"),
        ({"model": lambda: KEPT}, "model must return a fresh model each time"),
        ({"model": lambda: net().requires_grad_(False)}, "has no trainable parameters"),
        ({"loss": lambda o, t: cross_entropy(o, t, reduction="none")}, "take the mean"),
        ({"validate": []}, "validate must hold at least one batch"),
        ({"loss": lambda o, t: cross_entropy(o, t) * math.nan}, "no rate can help: look for NaN"),
    ],
)
def test_says_what_is_wrong_with_the_trial(changes, said):
    with pytest.raises(InputError, match=said):
        sf.sweep(make(**changes), LRS, seeds=2)


def test_a_generator_is_refused_when_the_trial_is_made():
    with pytest.raises(InputError, match="one-shot generator was given"):
        make(train=((X, Y) for _ in range(3)))


@pytest.mark.parametrize("lrs", [[1e28, 1e30], [1e30]])
def test_when_all_diverge_it_says_to_try_smaller_rates(lrs):
    with pytest.raises(
        InputError, match=r"No member of the sweep stayed finite.*1e\+30: add small"
    ):
        sf.sweep(bowl(1.0), lrs)


def test_when_the_untrained_loss_is_nan_it_says_that_no_rate_can_help():
    with pytest.raises(InputError, match="no rate can help: look for NaN"):
        sf.sweep(make(train=[(X * math.nan, Y)]), LRS, seeds=1)


@pytest.mark.parametrize("backend", ["auto", "loop", "fused"])
def test_a_model_that_draws_from_a_generator_of_its_own_is_refused(backend):
    own = torch.Generator().manual_seed(0)

    def model():
        made = net()
        nn.init.normal_(made[0].weight, generator=own)
        return made

    with pytest.raises(InputError, match="other weights each time under the same seed"):
        sf.sweep(make(model=model), LRS, seeds=1, backend=backend)


def test_when_at_each_rate_one_seed_diverged_it_says_so():
    def fails_with_odd_seeds(model, batch):
        bad = torch.initial_seed() % 2 == 1
        return mse_loss(model(X[:, :1]), X[:, :1]) * (math.nan if bad else 1.0)

    with pytest.raises(InputError, match="At every rate of the sweep at least one seed"):
        sf.sweep(bowl(1.0, objective=fails_with_odd_seeds), [0.1, 0.2], seeds=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"lrs": []}, "lrs must hold at least one"),
        ({"lrs": [0.1, 0.0]}, "each of lrs must be a finite learning rate greater than 0, not 0.0"),
        ({"lrs": [-1.0]}, "each of lrs must be"),
        ({"lrs": [math.nan]}, "each of lrs must be"),
        ({"lrs": [math.inf]}, "each of lrs must be"),
        ({"lrs": ["0.1"]}, "each of lrs must be a number"),
        ({"lrs": "0.1"}, "each of lrs must be a number"),
        ({"lrs": [0.1, 0.2, 0.1]}, "lrs must differ from each other; 0.1 is there twice"),
        ({"lrs": object()}, "lrs must be learning rates, such as"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seeds": 1.5}, "seeds must be a whole number"),
        ({"tolerance": 0}, "tolerance must be greater than 0"),
        ({"refine": -1}, "refine must be at least 0"),
        ({"refine": True}, "refine must be a whole number"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"backend": "quick"}, "backend must be one of .*auto.*'quick'"),
        ({"randomness": "none"}, "randomness must be one of"),
        ({"exact": "yes"}, "exact must be True, False or None, not 'yes'"),
    ],
)
def test_says_what_is_wrong_with_the_arguments(arguments, said):
    with pytest.raises(InputError, match=said):
        sf.sweep(bowl(1.0), **{"lrs": LRS, **arguments})


def test_something_else_than_a_trial_is_refused():
    with pytest.raises(InputError, match=r"trial must be a surefoot.Trial, not a function"):
        sf.sweep(lambda: None, LRS)


@pytest.mark.parametrize("lrs", [0.1, np.array([0.1, 0.01]), (0.1,), iter([0.3, 0.1])])
def test_rates_may_come_in_any_form_and_are_sorted(lrs):
    points = sf.sweep(bowl(1.0, steps=2), lrs, seeds=1).points
    assert [p.lr for p in points] == sorted(p.lr for p in points)


@pytest.mark.parametrize("per_decade", [1, 3, 4])
@pytest.mark.parametrize("ends", [(1e-5, 1.0), (0.02, 0.3), (0.1, 0.100001)])
def test_a_grid_has_both_ends_and_is_even_in_log(ends, per_decade):
    rates = sf.grid(*ends, per_decade)
    assert (rates[0], rates[-1]) == ends
    expected = max(1, round(math.log10(ends[1] / ends[0]) * per_decade)) + 1
    assert len(rates) == expected
    ratios = [b / a for a, b in pairwise(rates)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-4)


def test_a_grid_of_one_rate():
    assert sf.grid(0.1, 0.1) == (0.1,)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0.0, 1.0), "low must be a finite learning rate"),
        ((0.1, math.inf), "high must be a finite learning rate"),
        ((1.0, 0.1), r"high must be at least low \(1\), not 0.1"),
        ((0.1, 1.0, 0), "per_decade must be at least 1"),
    ],
)
def test_a_grid_says_what_is_not_allowed(arguments, said):
    with pytest.raises(InputError, match=said):
        sf.grid(*arguments)
