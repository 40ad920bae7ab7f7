"""Which backend ``auto`` takes, and that it says why."""

import gc
import weakref

import pytest
import torch
from torch import nn

import surefoot as sf
from surefoot._engine.backends import compiled, pilot
from surefoot._engine.backends._backend import Job, UnfitError
from surefoot._engine.backends.choose import run_job
from surefoot._engine.backends.experience import COMPILING, Experience
from surefoot._engine.backends.fused import Shard
from surefoot._engine.backends.pilot import Choice, Pilot
from surefoot._engine.backends.processes import Processes
from tests.engine.test_compiled import counted
from tests.engine.test_fused import REAL, STABLE, of, real
from tests.engine.test_fused_odd import LRS, X, Y, make

NOTE = Pilot._note


def fixed(monkeypatch, seconds):
    """Let each way take so many seconds for an update of a member, a way not named a second."""

    def note(self, choice, _measured):
        NOTE(self, choice, seconds.get(choice, 1.0))

    monkeypatch.setattr(Pilot, "_note", note)


@pytest.fixture
def graphs(monkeypatch):
    """Run graphs in torch instead of compiling them; return those that were to be compiled."""
    yield counted(monkeypatch)
    compiled._function.cache_clear()


LOOP, FUSED, COMPILED = Choice("loop"), Choice("fused"), Choice("compiled")


@pytest.mark.parametrize(("fused", "taken"), [(1e-9, "fused"), (1e9, "loop")])
def test_it_takes_what_is_quicker_and_says_how_long_each_takes(monkeypatch, fused, taken):
    fixed(monkeypatch, {LOOP: 1e-3, FUSED: fused})
    result = sf.sweep(make(), LRS, seeds=2, workers=1)
    assert result.engine.backend == taken
    assert result.engine.reason.startswith("an update of a member takes loop 1 ms, fused ")
    alone = sf.sweep(make(), LRS, seeds=2, backend="loop")
    assert [m.updates for m in result.members] == [m.updates for m in alone.members]


def test_it_compiles_where_that_is_won_back_and_the_result_is_the_same(monkeypatch, graphs):
    fixed(monkeypatch, {FUSED: 0.9, COMPILED: 0.1})
    result = sf.sweep(make(), LRS, seeds=2, workers=1)  # 240 updates: 216 s, or 24 s and compiling
    assert result.engine.backend == "compiled"
    assert "fused 900 ms, compiled 100 ms" in result.engine.reason
    assert len(graphs) == 1  # for both seeds
    alone = sf.sweep(make(), LRS, seeds=2, backend="loop")
    for one, other in zip(alone.members, result.members, strict=True):
        assert other.curve.values == pytest.approx(one.curve.values, rel=1e-4)


def test_it_does_not_compile_where_that_is_not_won_back(monkeypatch, graphs):
    fixed(monkeypatch, {FUSED: 0.03, COMPILED: 0.001})  # 240 updates: 7.2 s, compiling takes 8 s
    assert sf.sweep(make(), LRS, seeds=2, workers=1).engine.backend == "fused"
    assert graphs == []


def test_what_compiling_took_is_remembered_for_the_next_sweep_of_that_kind(monkeypatch, graphs):
    fixed(monkeypatch, {FUSED: 0.9, COMPILED: 0.1})
    sf.sweep(make(), LRS, seeds=2, workers=1)
    fixed(monkeypatch, {FUSED: 0.05, COMPILED: 0.001})
    again = sf.sweep(make(), LRS, seeds=2, workers=1)
    assert again.engine.backend == "fused"  # 0.1 s was remembered
    fixed(monkeypatch, {FUSED: 0.2, COMPILED: 0.001})
    assert sf.sweep(make(), LRS, seeds=2, workers=1).engine.backend == "compiled"
    fixed(monkeypatch, {FUSED: 0.05, COMPILED: 0.001})
    assert sf.sweep(make(), LRS, seeds=2, workers=1).engine.backend == "compiled"
    assert len(graphs) == 1  # in one process, whatever was compiled serves again


def test_it_compiles_at_the_latest_when_sweeps_of_that_kind_lost_what_it_takes(monkeypatch, graphs):
    fixed(monkeypatch, {FUSED: 0.03, COMPILED: 0.001})  # each sweep loses 3.4 s of expected 8 s
    taken = [sf.sweep(make(), LRS, seeds=2, workers=1).engine.backend for _ in range(4)]
    assert taken == ["fused", "fused", "compiled", "compiled"]
    assert len(graphs) == 1


def test_workers_compile_at_the_latest_when_sweeps_lost_what_it_takes(monkeypatch, graphs):
    monkeypatch.setattr(pilot, "Processes", Fake("processes"))
    monkeypatch.setattr(pilot, "ready", lambda: 2)
    fixed(monkeypatch, {FUSED: 0.2, COMPILED: 0.19, Choice("compiled", 2): 0.1})
    job = Job(make(), [(lr, seed) for seed in range(2) for lr in LRS])
    workers = Shard(job, LRS, 0, to_compile=True).experience(workers=True)
    workers.seconds, workers.compiling = 0.1, 80.0  # each sweep loses 35 s
    workers.keep()
    waiting = [80.0]
    for _ in range(3):
        Pilot(job, 2, lambda *_: None).run()
        waiting.append(workers.waiting)
    assert waiting[1] < 50
    assert waiting[2] < 20
    Experience.compiled_there(workers.key)
    Experience.end_of_workers()
    assert workers.waiting == 80.0


def test_where_it_cannot_be_compiled_it_says_why_and_does_not_try_again(monkeypatch):
    tried = []

    def no_compiler(_graph, _inputs, _count):
        tried.append(True)
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(compiled, "_lower", no_compiler)
    compiled._function.cache_clear()
    fixed(monkeypatch, {FUSED: 0.4})
    for _ in range(2):
        engine = sf.sweep(make(), LRS, seeds=1, workers=1).engine
        assert engine.backend == "fused"
    assert len(tried) == 1
    fused = sf.sweep(make(), LRS, seeds=1, backend="compiled").engine
    assert (fused.backend, "No working C++ compiler found" in fused.reason) == ("fused", True)


def test_experience_survives_and_a_broken_file_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr("surefoot._engine.backends.experience._path", lambda: tmp_path / "a" / "b")
    made = Experience("kind")
    assert (made.seconds, made.compiling) == (0.0, COMPILING[0])
    made.seconds, made.compiling = None, 3.0
    made.keep()
    assert (Experience("kind").seconds, Experience("kind").compiling) == (None, 3.0)
    assert Experience("other").seconds == 0.0
    (tmp_path / "a" / "b").write_text("{", encoding="utf-8")
    assert Experience("kind", 3).compiling == COMPILING[0] + 3 * COMPILING[1]


class Fake:
    """A backend that trains nothing and says by its result that it was asked."""

    def __init__(self, name, refusal=None):
        self.name, self.refusal = name, refusal

    def __call__(self, workers=None, way=None):
        return Fake(f"{self.name}, {way}, {workers}" if way else self.name, self.refusal)

    def run(self, job, report):
        if self.refusal:
            raise UnfitError(self.refusal)
        return [self.name]


@pytest.mark.parametrize(
    ("device", "workers", "refusal", "taken"),
    [
        (None, 2, None, "processes, loop, 2"),
        ("cpu", 3, None, "processes, loop, 3"),
        (torch.device("cpu", 0), None, None, "processes, loop, 2"),
        (None, 1, None, "loop"),
        ("meta", 2, None, "loop"),  # an accelerator, which processes would share
        (None, 2, "they differ", "loop"),
    ],
)
def test_it_starts_processes_on_the_cpu_where_they_are_quicker(
    monkeypatch, device, workers, refusal, taken
):
    monkeypatch.setattr(pilot, "Loop", Fake("loop"))
    monkeypatch.setattr(pilot, "Processes", Fake("processes", refusal))
    monkeypatch.setattr(pilot, "worker_count", lambda: 2)
    times = {Choice("loop", most): 0.9 for most in (2, 3)}
    monkeypatch.setattr(
        Pilot,
        "_measure",
        lambda self: [
            self._note(choice, times.get(choice, 1.0))
            for choice in {LOOP, Choice("loop", self._workers)}
        ],
    )
    job = Job(make(device=device, steps=60), [(lr, 0) for lr in LRS])
    found, engine = Pilot(job, workers, lambda *_: None).run()
    assert found == [taken]
    assert engine.backend == taken.split(",")[0]
    assert ("not spread over processes: they differ" in engine.reason) == (refusal is not None)


@pytest.mark.parametrize("way", ["fused", "compiled"])
def test_shards_go_to_processes_where_that_is_quicker(monkeypatch, graphs, way):
    monkeypatch.setattr(pilot, "Processes", Fake("processes"))
    times = {FUSED: 0.5, COMPILED: 0.5, Choice(way, 2): 0.4}
    fixed(monkeypatch, times)
    job = Job(make(), [(lr, seed) for seed in range(2) for lr in LRS])
    found, engine = Pilot(job, 2, lambda *_: None).run()
    assert found == [f"processes, {way}, 2"]
    assert engine.backend == way
    assert f"{way} in 2 processes 200 ms" in engine.reason


def test_what_workers_needed_before_is_believed_without_compiling_here(monkeypatch, graphs):
    monkeypatch.setattr(pilot, "Processes", Fake("processes"))
    monkeypatch.setattr(pilot, "ready", lambda: 2)
    fixed(monkeypatch, {FUSED: 0.5, COMPILED: 0.5, Choice("compiled", 2): 0.4})
    job = Job(make(), [(lr, seed) for seed in range(2) for lr in LRS])
    workers = Shard(job, LRS, 0, to_compile=True).experience(workers=True)
    workers.seconds, workers.compiling = 0.4, 1.0
    workers.keep()
    for waiting in (1.0, 0.0):
        assert workers.waiting == waiting
        Experience.compiled_there(workers.key)
        found, engine = Pilot(job, 2, lambda *_: None).run()
        assert (found, engine.backend) == (["processes, compiled, 2"], "compiled")
    workers.compiling = 200.0  # what the workers that are up have done; others would have to
    workers.keep()
    for up, taken in ((2, "compiled"), (0, "fused")):
        monkeypatch.setattr(pilot, "ready", lambda up=up: up)
        assert Pilot(job, 2, lambda *_: None).run()[1].backend == taken
    assert graphs == []


def test_a_like_stack_of_the_same_process_is_neither_compiled_nor_checked_again(graphs):
    compiling = []
    for seed in range(3):
        made = Shard(Job(make(), [(lr, seed) for lr in LRS]), LRS, seed, to_compile=True)
        made.compile()
        made.advance(6)
        assert made.refusal == ""
        compiling.append(made.compiled.seconds)
    assert len(graphs) == 1
    assert compiling[0] > 0
    assert compiling[1:] == [0.0, 0.0]


def test_progress_is_whole_when_fusing_fails_late():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls = nn.Linear(5, 3), 0

        def forward(self, x):
            self.calls += 1
            found = self.layer(x)
            return found if self.calls < 20 or found.sum() > 0 else 2 * found

    told = []
    result = sf.sweep(make(model=Late), LRS, seeds=2, progress=lambda *what: told.append(what))
    alone = sf.sweep(make(model=Late), LRS, seeds=2, backend="loop").members
    assert result.members == alone
    assert told[-1][:2] == (4 * 2 * 30, 4 * 2 * 30)


class OddSeed(nn.Module):
    """Cannot be stacked under one seed, and can under others."""

    def __init__(self):
        super().__init__()
        self.layer, self.odd = nn.Linear(5, 3), torch.initial_seed() == 1

    def forward(self, x):
        found = self.layer(x)
        return 2 * found if self.odd and found.sum() > 0 else found


def test_when_a_later_seed_cannot_be_fused_all_is_trained_again_and_counted_once(monkeypatch):
    fixed(monkeypatch, {Choice("fused"): 1e-9})
    told = []
    job = Job(make(model=OddSeed, steps=9), [(lr, seed) for seed in range(3) for lr in LRS])
    found, engine = run_job(job, "auto", 1, lambda *what: told.append(what))
    assert found == run_job(job, "loop", None, lambda *_: None)[0]
    assert engine.backend == "loop"
    assert engine.reason.startswith("it cannot be fused: it branches on the values of tensors")
    counts = [count for count, _ in told]
    assert sum(counts) == 9 * 12
    back = [number for number, count in enumerate(counts) if count < 0]
    assert len(back) == 1
    assert counts[back[0]] == -sum(counts[: back[0]]) == -9 * 4  # the first seed was whole
    assert [m.seed for _, new in told[: back[0]] for m in new] == [0] * 4


@pytest.mark.parametrize(
    ("steps", "lrs", "seeds", "why"),
    [
        (60, [0.1], 1, "one member alone"),
        (60, [0.1], 2, "it cannot be fused: each seed has one member"),
        (4, LRS, 1, "no more than 4 updates"),
    ],
)
def test_what_is_not_worth_choosing_for_goes_through_the_loop_and_says_why(steps, lrs, seeds, why):
    engine = sf.sweep(make(steps=steps), lrs, seeds=seeds).engine
    assert engine.backend == "loop"
    assert engine.reason.startswith(why)


def test_workers_tell_which_kind_of_stack_they_compiled():
    trial = real(**REAL["a batch changed in place"])  # which cannot be traced, so that it is quick
    job = Job(trial, [(lr, 0) for lr in STABLE])
    stack = Shard(job, STABLE, 0, to_compile=True)
    Processes(2, "compiled").run(job, lambda *_: None)
    waiting = [stack.experience(count, workers=True).waiting for count in (2, 3, 4)]
    assert waiting[0] == 0.0
    assert all(waiting[1:])


def test_a_stack_that_loses_is_neither_checked_nor_taken(monkeypatch):
    monkeypatch.setattr(pilot, "check_agreement", lambda _: pytest.fail("it was checked"))
    fixed(monkeypatch, {LOOP: 1e-3, FUSED: 2e-3})
    engine = sf.sweep(make(), LRS, seeds=2, workers=1).engine
    assert (engine.backend, "fused 2 ms" in engine.reason) == ("loop", True)


def test_the_least_time_that_was_seen_is_believed():
    known = Experience("kind")
    seen = []
    for seconds in (2.0, 1.0, 3.0, None, 4.0):
        known.timed(seconds)
        seen.append(known.seconds)
    assert seen == [2.0, 1.0, 1.0, None, 4.0]


def test_long_updates_are_timed_once_and_short_ones_several_times(monkeypatch):
    job, made = Job(make(), [(0.1, 0)]), []
    for limit, count in ((1e-9, 1), (1e9, 4)):
        monkeypatch.setattr(pilot, "LONG", limit)
        made.clear()
        assert pilot._clock(job, made.append, 4) > 0
        assert sum(made) == count


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": of(torch.optim.Adam)},
        {"optimizer": of(torch.optim.SGD, nesterov=True, momentum=0.9)},
        {"accumulate": 2},
        {"train": [(X[:8], Y[:8])]},
    ],
    ids=["optimizer", "its options", "accumulate", "batches"],
)
def test_what_one_kind_of_trial_needed_says_nothing_of_another(changes):
    kinds = [
        Shard(Job(trial, [(lr, 0) for lr in LRS]), LRS, 0, to_compile=True).experience().key
        for trial in (make(), make(**changes), make())
    ]
    assert kinds[0] == kinds[2] != kinds[1]


def test_only_the_stack_that_goes_on_stays_in_memory(monkeypatch, graphs):
    fixed(monkeypatch, {LOOP: 1e-3, FUSED: 0.9, COMPILED: 0.1})
    built, alive, build = [], [], Shard._build

    def note(self):
        built.append(weakref.ref(self))
        build(self)

    def run(*_):
        gc.collect()
        alive.extend(shard() is not None for shard in built)
        return []

    monkeypatch.setattr(Shard, "_build", note)
    monkeypatch.setattr("surefoot._engine.backends.loop.Loop.run", run)
    Pilot(Job(make(), [(lr, 0) for lr in LRS]), 1, lambda *_: None).run()
    assert built
    assert not any(alive)


def test_what_workers_needed_is_believed_over_a_guess(monkeypatch, graphs):
    monkeypatch.setattr(pilot, "Processes", Fake("processes"))
    fixed(monkeypatch, {FUSED: 0.4, COMPILED: 0.1})
    job = Job(make(), [(lr, 0) for lr in LRS])
    workers = Shard(job, LRS, 0, to_compile=True).experience(2, workers=True)
    workers.seconds = None  # it cannot be compiled there
    workers.keep()
    tried = Pilot(job, 2, lambda *_: None)
    tried.run()
    assert COMPILED in tried._seconds
    assert Choice("compiled", 2) not in tried._seconds
