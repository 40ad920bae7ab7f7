"""How much memory members need, and that a sweep which would not fit is cut."""

import math

import pytest
import torch
from torch import nn, optim

import surefoot as sf
from surefoot._engine import free as free_bytes
from surefoot._engine.backends import pilot, room
from surefoot._engine.backends._backend import Job, UnfitError
from surefoot._engine.backends.fused import Shard
from surefoot._engine.backends.pilot import Choice, Pilot
from surefoot._engine.backends.processes import parts
from surefoot._engine.backends.room import Room, fitted, most_at_once, needed
from tests.engine.test_fused import of
from tests.engine.test_fused_odd import LRS, make

CPU = torch.device("cpu")
LARGE = 3600.0
"""Seconds for an update, in which any memory may be written."""

MB = 2**20


def large(kind, width=512, count=2, **changes):
    """A trial whose layers have 1 MB each, in single precision, and whose batch is 1 MB too."""
    return make(
        model=lambda: nn.Sequential(*[nn.Linear(width, width, bias=False) for _ in range(count)]),
        optimizer=of(kind),
        train=[(torch.ones(512, width), torch.zeros(512, width))],
        loss=nn.functional.mse_loss,
        validate=None,
        **changes,
    )


@pytest.mark.parametrize(("kind", "kept"), [(optim.SGD, 0), (optim.Adagrad, 1), (optim.Adam, 2)])
def test_what_lasts_is_weights_gradients_and_what_the_optimizer_keeps(kind, kept):
    found = needed(Job(large(kind), [(1e-3, 0)]), CPU)
    assert found.lasting == pytest.approx((2 + kept) * 2 * MB, rel=0.01)
    assert found.weights == 2 * MB
    passing = found.peak - found.lasting - room.COPIES * found.weights
    assert 0 <= passing < 7 * MB  # of what backward reads, mostly
    assert found.checked > found.peak + found.lasting


def test_the_peak_grows_with_what_is_kept_for_backward():
    batch = [(torch.ones(64, 3, 32, 32), torch.zeros(64, dtype=torch.long))]

    def trial(depth):
        between = [part for _ in range(depth) for part in (nn.Conv2d(8, 8, 1), nn.Sigmoid())]
        return make(
            model=lambda: nn.Sequential(
                nn.Conv2d(3, 8, 1), *between, nn.AdaptiveAvgPool2d(1), nn.Flatten()
            ),
            train=batch,
            validate=None,
        )

    shallow, deep = (needed(Job(trial(depth), [(1e-3, 0)]), CPU) for depth in (2, 6))
    output = 64 * 8 * 32 * 32 * 4  # of each sigmoid, which backward reads
    assert deep.peak - shallow.peak == pytest.approx(4 * output, rel=0.01)


def test_looking_changes_nothing_and_what_raises_is_not_looked_at():
    trial, state = make(), torch.get_rng_state()
    before = sf.sweep(trial, LRS, seeds=1, backend="loop").members
    assert needed(Job(trial, [(lr, 0) for lr in LRS]), CPU).peak > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert sf.sweep(trial, LRS, seeds=1, backend="loop").members == before

    def fail(*_):
        raise ValueError

    assert needed(Job(make(loss=fail), [(1e-3, 0)]), CPU) is None


@pytest.mark.parametrize(
    ("free", "keep", "most"),
    [
        *((64, None, 8), (63, None, 7), (20, None, 2), (5, None, 1)),
        *((64, 1, 8), (63, 1, 7), (40, 1, 3), (20, 1, 1)),
    ],
)
def test_as_many_fit_as_there_is_memory_for(monkeypatch, free, keep, most):
    monkeypatch.setattr(room, "SHARE", 1.0)
    monkeypatch.setattr(room, "free_memory", lambda _: free)
    monkeypatch.setattr(room, "needed", lambda *_: Room(peak=8, lasting=3, weights=1))
    job = Job(make(), [(lr, seed) for seed in range(2) for lr in LRS], keep=keep)
    assert most_at_once(job, LARGE, compiled=False) == most


def test_a_stack_that_may_be_compiled_needs_room_for_a_twin(monkeypatch):
    monkeypatch.setattr(room, "SHARE", 1.0)
    monkeypatch.setattr(room, "free_memory", lambda _: 60)
    monkeypatch.setattr(room, "needed", lambda *_: Room(peak=8, lasting=3, weights=1))
    job = Job(make(), [(lr, 0) for lr in LRS])
    assert most_at_once(job, LARGE, compiled=True) == 60 // (8 + 3 + room.CHECKING)


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_the_check_does_not_fit_nothing_is_stacked(monkeypatch, seeds):
    monkeypatch.setattr(room, "most_at_once", lambda *_, **__: 7)
    job = Job(make(), [(lr, seed) for seed in range(seeds) for lr in LRS])
    with pytest.raises(UnfitError, match="7 of its members"):
        fitted(job, LARGE, compiled=False)


def test_quick_updates_are_not_looked_at(monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda _: 1e9)
    monkeypatch.setattr(room, "needed", lambda *_: pytest.fail("it looked"))
    job = Job(make(), [(lr, 0) for lr in LRS])
    assert most_at_once(job, 1e-3, compiled=True) is None  # no more than 1e8 bytes each


def sizes(monkeypatch):
    """Return a list of how many members each stack begins with."""
    seen, build = [], Shard._build

    def built(self):
        seen.append(len(self.lrs))
        build(self)

    monkeypatch.setattr(Shard, "_build", built)
    return seen


@pytest.fixture
def tight(monkeypatch):
    """Memory for two members."""
    monkeypatch.setattr(room, "SHARE", 1.0)
    monkeypatch.setattr(room, "LEAST", 2)
    monkeypatch.setattr(room, "FASTEST", 1e20)
    monkeypatch.setattr(room, "free_memory", lambda _: 20)
    monkeypatch.setattr(room, "needed", lambda *_: Room(peak=8, lasting=0, weights=0))


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("backend", ["fused", "auto"])
@pytest.mark.parametrize("keep", [None, 1])
def test_a_sweep_that_would_not_fit_is_cut_and_says_so(monkeypatch, backend, keep):
    monkeypatch.setattr(pilot, "WORTH_STACKING", math.inf)
    monkeypatch.setattr(Pilot, "_cost", lambda _, choice, __: float(choice != Choice("fused")))
    lrs = [*LRS, 0.2]
    alone = sf.sweep(make(), lrs, seeds=2, backend="loop", keep=keep).members
    seen, told = sizes(monkeypatch), []
    found = sf.sweep(
        make(), lrs, seeds=2, backend=backend, keep=keep, workers=1,
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert sorted(seen)[-2:] == [2, 3]  # the check has three
    assert "no more than 2 members at once, for memory" in found.engine.reason
    assert told[-1][0] == told[-1][1]
    for one, other in zip(alone, found.members, strict=True):
        assert (one.lr, one.seed, one.stopped) == (other.lr, other.seed, other.stopped)
        assert other.curve.values == pytest.approx(one.curve.values, rel=1e-4)


@pytest.mark.usefixtures("tight")
def test_where_few_fit_they_are_trained_one_by_one(monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda _: 8)
    engine = sf.sweep(make(), LRS, seeds=2, workers=1).engine
    assert engine.backend == "loop"
    said = "it cannot be fused: 1 of its members fit into memory at once, which is too few"
    assert said in engine.reason
    with pytest.raises(sf.InputError, match="1 of its members fit into memory"):
        sf.sweep(make(), LRS, seeds=2, backend="fused")


def test_workers_share_the_memory():
    job = Job(make(), [(lr, 0) for lr in LRS])
    assert parts(job, 4, 2) == 2
    assert [parts(Job(make(), job.members, together=most), 4, 2) for most in (4, 3, 1)] == [2, 4, 4]


def test_a_container_may_have_less_than_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(free_bytes, "_CGROUP", tmp_path)
    assert free_bytes._left_to_container() == float("inf")
    for name, text in {
        "max": "1000",
        "current": "700",
        "stat": "anon 400\ninactive_file 200",
    }.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert free_bytes._left_to_container() == 500
    assert free_bytes.free_memory(CPU) == 500
    (tmp_path / "memory.max").write_text("max")
    assert free_bytes._left_to_container() == float("inf")
