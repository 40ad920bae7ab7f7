"""Successive halving: the rule against its properties, members against a whole sweep."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, optim
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from surefoot import InputError, Trial
from surefoot._engine.backends import pilot
from surefoot._engine.backends._backend import Job, UnfitError
from surefoot._engine.backends.choose import run_job
from surefoot._engine.backends.fused import Fused, Shard
from surefoot._engine.backends.loop import Loop
from surefoot._engine.backends.processes import Processes
from surefoot._engine.halving import has_ended, rungs, survivors
from tests.engine.test_fused import (
    DECOUPLED,
    OTHERS,
    REAL,
    SCALING,
    STABLE,
    elementwise,
    of,
    real,
)
from tests.exact import assert_same, rng_state

# ---------------------------------------------------------------- the rule

losses = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.inf, 0.5, 1.0]))
tables = st.integers(1, 3).flatmap(
    lambda seeds: st.dictionaries(
        st.floats(1e-6, 10), st.lists(losses, min_size=seeds, max_size=seeds), min_size=1
    )
)


@given(st.integers(1, 10**6))
def test_rungs_are_parts_of_the_budget_within_it(steps):
    found = rungs(steps)
    assert list(found) == sorted(set(found))
    assert all(0 < rung < steps for rung in found)
    assert steps % 8 or found == (steps // 8, steps // 4, steps // 2)


@given(tables, st.integers(1, 10))
def test_who_goes_on_is_the_better_half_and_never_a_rate_that_is_lost(table, keep):
    means = {lr: sum(each) / len(each) for lr, each in table.items()}
    finite = [mean for mean in means.values() if math.isfinite(mean)]
    going = survivors(table, keep)
    count = min(max(keep, math.ceil(len(table) / 2)), len(finite))
    assert len(going) >= count
    if len(set(finite)) == len(finite):
        assert len(going) == count
    assert all(math.isfinite(means[lr]) for lr in going)
    out = [means[lr] for lr in table if lr not in going]
    assert all(means[lr] < other for lr in going for other in out)
    assert not finite or min(means, key=means.__getitem__) in going


@given(tables, st.integers(1, 10), st.randoms(use_true_random=False))
def test_the_order_of_rates_changes_nothing_and_keep_only_adds(table, keep, random):
    shuffled = list(table.items())
    random.shuffle(shuffled)
    going = set(survivors(table, keep))
    assert set(survivors(dict(shuffled), keep)) == going
    assert going <= set(survivors(table, keep + 1))


# ---------------------------------------------------------------- members

X = torch.randn(48, 5, generator=torch.Generator().manual_seed(1))
DATA = TensorDataset(X, X.sum(dim=1, keepdim=True))
LRS = [1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1e30]


def network():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))


def noisy_validation():
    """Draws a permutation: in a training without halving it is drawn at the end alone."""
    return DataLoader(DATA, 16, shuffle=True)


def make(**changes):
    return Trial(
        **{
            "model": network,
            "optimizer": of(optim.SGD, momentum=0.9),
            "train": DataLoader(DATA, 8, shuffle=True),
            "validate": noisy_validation(),
            "loss": mse_loss,
            "steps": 24,
            **changes,
        }
    )


def job_of(trial, lrs=LRS, seeds=(0, 1), **more):
    return Job(trial, [(lr, seed) for seed in seeds for lr in lrs], **more)


def silent(updates, members):
    """Report nothing."""


def by_name(backend):
    return {"loop": Loop(), "fused": Fused(), "processes": Processes(2)}[backend]


def run(backend, job, report=silent):
    found = by_name(backend).run(job, report)
    members = {(member.lr, member.seed): member for member in found}
    assert len(found) == len(members) == len(job.members)
    return [members[each] for each in job.members]


VARIANTS = {
    "SGD": {},
    "Adam": {"optimizer": of(optim.Adam)},
    "a training loss that judges": {"validate": None},
    "a schedule, clipping, accumulation": {
        "schedule": "warmup(4) >> cosine()", "clip_norm": 0.5, "accumulate": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize("backend", ["loop", "processes", "fused"])
@pytest.mark.parametrize("name", VARIANTS)
def test_members_are_those_of_a_whole_sweep_to_the_last_bit_as_far_as_they_go(name, backend):
    trial = make(**VARIANTS[name])
    before = rng_state()
    halved = run(backend, job_of(trial, keep=1))
    assert_same(rng_state(), before)
    whole = run(backend, job_of(trial))
    for member, other in zip(halved, whole, strict=True):
        length = len(member.curve)
        ours, theirs = member.curve.values, other.curve.values[:length]
        if backend == "fused":  # kernels for fewer members may add in another order
            assert ours == pytest.approx(theirs, rel=1e-4, nan_ok=True)
        else:
            assert np.array_equal(ours, theirs, equal_nan=True)
        if member.stopped is None:
            assert backend == "fused" or member == other
        else:
            assert member.updates == length == member.stopped
            assert math.isfinite(member.loss)
    stops = [member.stopped for member in halved[:7]]
    assert stops == [member.stopped for member in halved[7:]]  # seeds stop together
    assert sorted(map(str, stops)) == sorted(["3"] * 2 + ["6"] * 2 + ["12"] + ["None"] * 2)
    assert stops[-1] is None  # 1e30 ended by itself
    assert halved[6].diverged


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_processes_are_the_loop_to_the_last_bit(randomness):
    job = job_of(make(optimizer=of(optim.NAdam)), keep=2, randomness=randomness)
    assert run("processes", job) == run("loop", job)


def test_fused_members_are_stopped_as_those_of_the_loop():
    job = job_of(make(), keep=2)
    for together, alone in zip(run("fused", job), run("loop", job), strict=True):
        assert together.stopped == alone.stopped
        assert together.curve.values == pytest.approx(alone.curve.values, rel=1e-3, nan_ok=True)


def test_who_is_stopped_is_what_the_rule_says_of_the_losses_at_each_rung():
    trial = make(validate=None, optimizer=of(optim.SGD), model=lambda: nn.Linear(5, 1))
    whole = run("loop", job_of(trial, LRS[:6]))
    halved = run("loop", job_of(trial, LRS[:6], keep=2))
    going = set(LRS[:6])
    for rung in rungs(24):
        table = {}
        for member in whole:
            if member.lr in going:
                last = member.curve.values[:rung][-max(1, rung // 10) :]
                table.setdefault(member.lr, []).append(last.mean())
        left = going - set(survivors(table, 2))
        assert {m.lr for m in halved if m.stopped == rung} == left
        going -= left
    assert {m.lr for m in halved if m.stopped is None} == going
    assert len(going) == 2


@pytest.mark.parametrize("backend", ["loop", "processes", "fused"])
def test_every_update_is_reported_and_every_member_once(backend):
    told = []
    job = job_of(make(), keep=1)
    found = run(backend, job, lambda updates, members: told.append((updates, list(members))))
    assert sum(updates for updates, _ in told) == 24 * len(job.members)
    reported = [member for _, members in told for member in members]
    assert sorted(reported, key=repr) == sorted(found, key=repr)
    assert [m.updates for m in reported][-1] == 24


class Breaks(optim.SGD):
    """Raises in its fifth update at one rate."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)
        self.made = 0

    def step(self, closure=None):
        self.made += 1
        if self.made == 5 and self.param_groups[0]["lr"] == 0.01:
            raise ZeroDivisionError("no such luck")
        return super().step(closure)


@pytest.mark.parametrize("backend", ["loop", "processes"])
def test_a_member_that_raises_ends_there_and_an_optimizer_keeps_its_attributes(backend):
    found = run(backend, job_of(make(optimizer=of(Breaks)), LRS[:4], keep=4))
    failed = [member for member in found if member.error]
    assert [(m.lr, m.error, len(m.curve), m.stopped) for m in failed] == [
        (0.01, "ZeroDivisionError: no such luck", 5, None)
    ] * 2
    assert all(m.updates == 24 for m in found if not m.error)


def test_where_every_member_ends_nothing_is_left_to_train():
    trial = make(train=[(X, torch.full((48, 1), math.nan))], validate=None)
    found = run("loop", job_of(trial, keep=1))
    assert all(map(has_ended, found))
    assert [member.stopped for member in found] == [None] * 14


@pytest.mark.parametrize("backend", ["loop", "fused"])
def test_batches_too_many_to_stay_are_drawn_again_and_are_the_same(backend, monkeypatch):
    kept = run(backend, job_of(make(), keep=1))
    for module in ("loop", "fused"):
        path = f"surefoot._engine.backends.{module}.usual_window"
        monkeypatch.setattr(path, lambda: 0, raising=False)
    assert run(backend, job_of(make(), keep=1)) == kept


# ---------------------------------------------------------------- auto


@pytest.mark.parametrize("steps", [8, 24, 64])
def test_auto_counts_what_its_pilot_trained_where_it_is_not_beyond_the_first_rung(steps):
    told = []
    job = job_of(make(steps=steps), keep=1)
    found, engine = run_job(job, "auto", None, lambda updates, _: told.append(updates))
    assert sum(told) == steps * len(job.members)
    alone = run(engine.backend, job)
    assert [m.stopped for m in found] == [m.stopped for m in alone]
    assert found == alone


def test_auto_falls_back_to_processes_and_from_them_to_the_loop(monkeypatch):
    monkeypatch.setattr(pilot, "STARTING", 0.0)
    monkeypatch.setattr(pilot, "SENDING", 0.0)
    monkeypatch.setattr(pilot, "_clock", lambda job, advance, updates: 1e-9)
    job = job_of(make(model=hooked, steps=24), keep=1)
    found, engine = run_job(job, "auto", 2, silent)
    assert engine.backend == "loop"
    assert "gradient hook, which cannot be written down" in engine.reason
    assert found == run("loop", job)


# ---------------------------------------------------------------- a shard of survivors


def hooked():
    model = network()
    model[0].weight.register_hook(lambda grad: grad / 2)
    return model


def tensors_of(shard):
    """Return the parameters and buffers of each member."""
    models = [shard.stack.member(index) for index in range(len(shard.lrs))]
    return [[*model.parameters(), *model.buffers()] for model in models]


def same(one, other):
    """Check that two shards have the same members to the last bit."""
    assert one.exact == other.exact
    assert one.lrs == other.lrs
    for mine, its in zip(tensors_of(one), tensors_of(other), strict=True):
        assert all(map(torch.equal, mine, its))


@pytest.mark.parametrize("going", [[1, 2, 5], [4]])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("name", SCALING | DECOUPLED | OTHERS)
def test_survivors_are_those_of_a_shard_of_their_own_for_each_optimizer(name, exact, going):
    """Each element of these models has a loss of its own: no kernel adds in another order."""
    job = job_of(elementwise((SCALING | DECOUPLED | OTHERS)[name]), exact=exact)
    lrs = LRS[:6]
    together, alone = Shard(job, lrs, 0), Shard(job, [lrs[i] for i in going], 0)
    together.advance(6)
    together.keep(going)
    alone.advance(6)
    same(together, alone)
    for shard in (together, alone):
        shard.advance(6)
    same(together, alone)
    together.keep([0])
    together.advance(3)
    alone.advance(3)
    for mine, its in zip(tensors_of(together)[0], tensors_of(alone)[0], strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("name", [name for name in REAL if name != "memory in an attribute"])
def test_all_that_a_model_holds_goes_on_with_its_members(name, exact):
    """As many go on as there were: by the same kernels to the last bit, moved nearly so."""
    job = job_of(real(**REAL[name]), exact=exact)
    whole = Shard(job, STABLE, 0)
    whole.advance(12)
    curves, tensors, judged = whole.curves(), tensors_of(whole), whole.judge()
    for order, allowed in (([0, 1, 2, 3], 0.0), ([2, 0, 3, 1], 1e-5)):
        moved = Shard(job, STABLE, 0)
        moved.advance(5)
        moved.keep(order)
        moved.advance(7)
        assert moved.lrs == [STABLE[i] for i in order]
        for index, place in enumerate(order):
            assert moved.curves()[index] == pytest.approx(curves[place], rel=allowed, abs=0)
            for mine, its in zip(tensors_of(moved)[index], tensors[place], strict=True):
                assert torch.allclose(mine, its, rtol=allowed, atol=allowed)
            assert moved.judge()[index].loss == pytest.approx(judged[place].loss, rel=allowed)


@pytest.mark.parametrize("going", [[0, 2], [3]])
@pytest.mark.parametrize("name", [name for name in REAL if name != "memory in an attribute"])
def test_survivors_are_those_of_a_shard_of_their_own_for_each_model(name, going):
    """Kernels for another number of members may add in another order."""
    job = job_of(real(**REAL[name]))
    together, alone = Shard(job, STABLE, 0), Shard(job, [STABLE[i] for i in going], 0)
    together.advance(5)
    together.keep(going)
    together.advance(7)
    alone.advance(12)
    for mine, its in zip(together.curves(), alone.curves(), strict=True):
        assert mine == pytest.approx(its, rel=1e-4)


def test_a_model_that_remembers_its_members_is_not_stacked():
    job = job_of(real(**REAL["memory in an attribute"]), STABLE, keep=1)
    with pytest.raises(UnfitError, match="keeps a tensor in an attribute that is no buffer"):
        run("fused", job)
    found, engine = run_job(job, "auto", None, silent)
    assert engine.backend == "loop"
    assert found == run("loop", job)


def test_members_may_be_let_go_again_and_again_and_none_of_them_at_all():
    job = job_of(make())
    shard, whole = Shard(job, LRS[:6], 0), Shard(job, LRS[:6], 0)
    whole.advance(12)
    for going in ([0, 1, 2, 3, 4, 5], [1, 3, 4], [0, 2], [1]):
        shard.advance(3)
        shard.keep(going)
    assert shard.lrs == [LRS[4]]
    assert shard.curves()[0] == pytest.approx(whole.curves()[4], rel=1e-4)


class Holds(optim.SGD):
    """Keeps the tensors behind its parameters, and steps these."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)
        self.held = [p.data for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def step(self, closure=None):
        for p, data in zip(self.param_groups[0]["params"], self.held, strict=True):
            data.sub_(self.param_groups[0]["lr"] * p.grad)


def test_an_optimizer_that_holds_the_memory_of_its_parameters_is_not_stacked():
    job = job_of(make(optimizer=of(Holds)), keep=1)
    with pytest.raises(UnfitError, match="holds the memory of its parameters"):
        run("fused", job)
    found, engine = run_job(job, "auto", None, silent)
    assert engine.backend in ("loop", "processes")  # whichever was the quicker just now
    assert found == run("loop", job)


# ---------------------------------------------------------------- states in files


class Locked(nn.Linear):
    """Takes something on its first update that cannot be pickled."""

    def forward(self, x):
        self.numbers = (number for number in range(3))
        return super().forward(x)


class Shared(nn.Module):
    """Two tensors on one memory, which must not part."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 1)
        self.register_buffer("seen", self.layer.weight.data)

    def forward(self, x):
        return self.layer(x) + self.seen.sum()


def test_what_cannot_be_written_down_at_a_rung_is_refused_with_the_reason():
    job = job_of(make(model=lambda: Locked(5, 1)), keep=1)
    with pytest.raises(UnfitError, match=r"between two rungs cannot be pickled \(.*generator"):
        run("processes", job)


def test_tensors_on_one_memory_stay_on_it():
    job = job_of(make(model=Shared), keep=1)
    assert run("processes", job) == run("loop", job)


def test_a_gradient_hook_which_would_be_lost_is_refused():
    with pytest.raises(UnfitError, match="gradient hook, which cannot be written down"):
        run("processes", job_of(make(model=hooked), keep=1))


OUTSIDE = {}


def held_outside():
    """A model whose scale is not its own."""
    model = nn.Linear(5, 1)
    OUTSIDE[id(model)] = 1.0
    model.register_forward_hook(forgetful)
    return model


def forgetful(model, inputs, output):
    OUTSIDE[id(model)] = OUTSIDE.get(id(model), 7.0) * 0.9
    return output * OUTSIDE[id(model)]


def test_a_training_that_goes_on_otherwise_once_it_is_read_is_refused():
    with pytest.raises(UnfitError, match="its next update comes out different"):
        run("processes", job_of(make(model=held_outside), keep=1))


class BreaksNext(Breaks):
    """Raises in its fourth update at every rate: right after the first rung."""

    def step(self, closure=None):
        if self.made == 3:
            raise ZeroDivisionError("no such luck")
        return super().step(closure)


def test_an_exception_right_after_a_rung_is_the_members_own():
    job = job_of(make(optimizer=of(BreaksNext)), LRS[:3], keep=2)
    found = run("processes", job)
    assert found == run("loop", job)
    assert {member.stopped for member in found} == {3, None}
    assert {member.error for member in found} == {"", "ZeroDivisionError: no such luck"}


def test_a_wrong_trial_is_said_and_nothing_else():
    with pytest.raises(InputError, match="does not depend on any trainable parameter"):
        run("loop", job_of(make(loss=lambda output, target: output.detach().mean()), keep=1))


class Dies(nn.Module):
    """Kills its process in an update of the second stretch, once."""

    def __init__(self, folder):
        super().__init__()
        self.layer = nn.Linear(5, 1)
        self.calls = 0
        self.mark = Path(folder, "died")

    def forward(self, x):
        self.calls += self.training
        if self.calls == 5 and not self.mark.exists():
            self.mark.touch()
            os._exit(3)
        return self.layer(x)


@pytest.mark.slow
def test_a_member_whose_worker_dies_is_taken_up_where_it_was_written(tmp_path):
    def make_dying(folder=str(tmp_path)):
        return Dies(folder)

    job = job_of(make(model=make_dying), LRS[:4], keep=1)
    told = []
    found = run("processes", job, lambda updates, _: told.append(updates))
    assert (tmp_path / "died").exists()
    assert not any(member.error for member in found)
    assert found == run("loop", job)
    assert sum(told) == 24 * len(job.members)
