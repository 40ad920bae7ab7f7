"""Worker processes: the loop's members, from other processes that come and go without a trace."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset, TensorDataset

from surefoot import InputError, Trial
from surefoot._engine.backends import pilot
from surefoot._engine.backends._backend import Job, UnfitError
from surefoot._engine.backends.choose import run_job
from surefoot._engine.backends.loop import Loop
from surefoot._engine.backends.processes import Processes, worker_count
from surefoot._engine.source import load_task
from tests.exact import assert_same, rng_state

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
DATA = TensorDataset(X, X.sum(dim=1, keepdim=True))
LRS = (0.001, 0.1, 1e30)


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))


def adam(model, lr):
    return torch.optim.Adam(model.parameters(), lr=lr)


def a_trial(**changes):
    usual = {
        "model": network,
        "optimizer": adam,
        "train": DataLoader(DATA, batch_size=16, shuffle=True),
        "validate": [(X, X.sum(dim=1, keepdim=True))],
        "loss": mse_loss,
        "steps": 12,
    }
    return Trial(**{**usual, **changes})


def members(trial, lrs=LRS, seeds=(0, 1), **more):
    return Job(trial, [(lr, seed) for seed in seeds for lr in lrs], **more)


def run(job, report=lambda updates, new: None):
    return Processes(2).run(job, report)


def alike(a, b):
    """Whether members are the same to the last bit."""
    return [m.to_json() for m in a] == [m.to_json() for m in b] and all(
        np.array_equal(x.curve.values, y.curve.values, equal_nan=True)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_members_are_the_loops_to_the_last_bit(randomness):
    job = members(a_trial(), randomness=randomness)
    before = rng_state()
    spread = run(job)
    assert_same(rng_state(), before)
    assert alike(spread, Loop().run(job, lambda updates, new: None))
    assert [(m.lr, m.seed) for m in spread] == list(job.members)
    assert [m.diverged for m in spread] == [False, False, True] * 2


def test_members_of_one_rate_and_seed_are_alike_in_any_worker_and_order():
    first = run(members(a_trial(), seeds=(1, 0)))
    again = run(members(a_trial(), lrs=LRS[::-1], seeds=(0, 1)))
    assert alike(first, again[::-1])


def test_what_is_set_in_torch_holds_in_workers():
    torch.set_default_dtype(torch.float64)
    try:
        data = [(X.double(), X.double().sum(dim=1, keepdim=True))]
        job = members(a_trial(train=data, validate=data), lrs=(0.01, 0.1), seeds=(0,))
        assert alike(run(job), Loop().run(job, lambda updates, new: None))
    finally:
        torch.set_default_dtype(torch.float32)
    job = members(a_trial(), lrs=(0.1,), seeds=(0,))
    assert alike(run(job), Loop().run(job, lambda updates, new: None))


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # by JAX, if another test loaded it
def test_a_loader_with_workers_of_its_own_and_a_generator_is_spread():
    loader = DataLoader(
        DATA, 16, shuffle=True, generator=torch.Generator(), num_workers=1, persistent_workers=True
    )
    job = members(a_trial(train=loader), lrs=(0.01, 0.1), seeds=(3,))
    expected = Loop().run(job, lambda updates, new: None)
    assert alike(run(job), expected)
    assert loader._iterator is None  # its own workers were never started


def test_every_update_is_reported_and_every_member_once():
    updates, ended = [], []

    def report(count, new):
        updates.append(count)
        ended.extend(new)

    job = members(a_trial())
    found = run(job, report)
    assert sum(updates) == 12 * len(job.members)
    assert min(updates) >= 0
    assert sorted((m.seed, m.lr) for m in ended) == sorted((m.seed, m.lr) for m in found)


def test_progress_is_reported_while_a_member_runs():
    def slow(output, target):
        time.sleep(0.05)
        return mse_loss(output, target)

    updates = []
    job = members(a_trial(loss=slow, steps=30), lrs=(0.1,), seeds=(0,))
    run(job, lambda count, new: updates.append(count))
    assert len([count for count in updates if count]) >= 3
    assert sum(updates) == 30


def test_an_exception_of_one_member_is_its_error():
    def fragile(output, target):
        loss = mse_loss(output, target)
        if not torch.isfinite(loss):
            raise ValueError("too\n  far")
        return loss

    job = members(a_trial(loss=fragile))
    found = run(job)
    assert [m.error for m in found] == ["", "", "ValueError: too far"] * 2
    assert alike(found, Loop().run(job, lambda updates, new: None))


def test_a_wrong_trial_is_said_at_once_and_the_workers_stay():
    before = {run_pid() for _ in range(3)}
    wrong = a_trial(loss=lambda output, target: mse_loss(output, target).detach())
    with pytest.raises(InputError, match="does not depend on any trainable parameter") as said:
        run(members(wrong))
    assert not isinstance(said.value, UnfitError)
    assert len(before | {run_pid() for _ in range(3)}) <= 2


def test_a_wrong_member_stops_long_ones_and_their_workers_stay():
    def optimizer(model, lr):
        model.slow = lr < 0.1
        return adam(model, lr)

    def objective(model, batch):
        time.sleep(0.02 if model.slow else 0)
        loss = mse_loss(model(batch[0]), batch[1])
        return loss if model.slow else loss.detach()

    run(members(a_trial(steps=1), LRS, (0,)))
    before = children(os.getpid())
    job = members(
        a_trial(optimizer=optimizer, loss=None, objective=objective, steps=1000), (0.01, 0.1), (0,)
    )
    started = time.monotonic()
    with pytest.raises(InputError, match="does not depend on any trainable parameter"):
        run(job)
    assert time.monotonic() - started < 15  # of more than 20
    assert children(os.getpid()) == before


def test_batches_are_let_go_at_the_end():
    job = members(a_trial())
    run(job)
    assert [batches._kept for batches in job.batches.values()] == [{}, {}]


def run_pid():
    """The process in which a member is trained."""
    found = run(members(a_trial(validate=lambda model: float(os.getpid())), (0.1,), (0,)))
    return found[0].loss


def test_a_worker_is_another_process_and_serves_several_sweeps():
    pids = {run_pid() for _ in range(3)}
    assert os.getpid() not in pids
    assert len(pids) <= 2


def test_a_sweep_of_one_member_leaves_all_workers_to_the_next():
    for _ in DataLoader(DATA, num_workers=1):  # settles how this process starts others
        break
    run(members(a_trial(steps=1), LRS, (0,)))
    before = children(os.getpid())
    run_pid()
    run(members(a_trial(steps=1), LRS, (0,)))
    assert children(os.getpid()) == before


def test_a_worker_uses_one_thread():
    def threads(model):
        return float(torch.get_num_threads() * torch.get_num_interop_threads())

    job = members(a_trial(validate=threads), lrs=(0.1,), seeds=(0,))
    assert [m.loss for m in run(job)] == [1.0]


def test_the_path_and_the_folder_are_the_parents(tmp_path, monkeypatch):
    (tmp_path / "helper_of_a_user.py").write_text("OFFSET = 2.5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def validate(model):
        import helper_of_a_user

        return helper_of_a_user.OFFSET if Path("helper_of_a_user.py").exists() else 0.0

    job = members(a_trial(validate=validate), lrs=(0.1,), seeds=(0,))
    assert [m.loss for m in run(job)] == [2.5]


def holding(thing):
    def loss(output, target):
        return mse_loss(output, target) if thing else None

    return loss


def with_a_default(value):
    return lambda unused=value: network()


class Holder(Dataset):
    def __init__(self, thing):
        self.thing = thing

    def __len__(self):
        return len(DATA)

    def __getitem__(self, index):
        return DATA[index]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (lambda file: {"loss": holding(threading.Lock())}, "loss → thing, a lock"),
        (lambda file: {"loss": holding({"log": [file]})}, "loss → thing → 'log' → item 0, a Text"),
        (lambda file: {"train": DataLoader(Holder(file))}, "train → dataset → thing, a TextIO"),
        (lambda file: {"model": with_a_default(n for n in X)}, "model → a default → item 0, a gen"),
    ],
)
def test_what_cannot_be_pickled_is_named(changes, named, tmp_path):
    with (tmp_path / "log").open("w") as file:
        wrong = changes(file)
        with pytest.raises(UnfitError, match=f"{named}.*cannot be pickled.*build it inside"):
            run(members(a_trial(**wrong), lrs=(0.1,), seeds=(0,)))


class Own(Dataset):
    """Draws from a generator that nobody seeds."""

    def __init__(self):
        self.random = np.random.default_rng()

    def __len__(self):
        return len(DATA)

    def __getitem__(self, index):
        x, y = DATA[index]
        return x + float(self.random.normal()), y


def own_weights():
    layer = nn.Linear(4, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(np.random.default_rng().normal(size=(1, 4))))
    return layer


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"train": DataLoader(Own(), 16)}, "other batches"),
        ({"validate": DataLoader(Own(), 16)}, "other validation batches"),
        ({"model": own_weights}, "other weights"),
    ],
)
def test_randomness_of_the_trials_own_is_refused(changes, what):
    with pytest.raises(UnfitError, match=f"{what}.*Use backend='loop'"):
        run(members(a_trial(**changes), lrs=(0.1,), seeds=(0,)))


TASK = """
import os
import torch, surefoot as sf

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 32
    def __getitem__(self, index):
        return torch.full((4,), index / 32), torch.tensor([1.0])
    def __reduce__(self):
        raise TypeError("this data stays where it is")

def make(width=3):
    return sf.Trial(
        model=lambda: torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Linear(width, 1)),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=torch.utils.data.DataLoader(Data(), 8, shuffle=True),
        loss=torch.nn.functional.mse_loss,
        steps=5,
    )

trial = make()
"""


def test_a_trial_from_a_file_is_loaded_there_again_and_its_data_stays(tmp_path):
    (tmp_path / "stays.py").write_text(TASK)
    make = load_task(f"{tmp_path / 'stays.py'}:make")
    for trial in (load_task(f"{tmp_path / 'stays.py'}:trial"), make(width=5), make()):
        job = members(trial)
        assert alike(run(job), Loop().run(job, lambda updates, new: None))


def test_a_trial_made_from_one_of_a_file_travels_with_its_functions(tmp_path):
    import dataclasses

    text = TASK.replace('raise TypeError("this data stays where it is")', "return (Data, ())")
    (tmp_path / "travels.py").write_text(text)
    trial = load_task(f"{tmp_path / 'travels.py'}:trial")
    job = members(dataclasses.replace(trial, steps=7))
    assert alike(run(job), Loop().run(job, lambda updates, new: None))


def test_a_file_that_does_not_the_same_each_time_is_refused(tmp_path):
    text = TASK.replace("index / 32)", "index / 32) + OFFSET")
    (tmp_path / "varies.py").write_text(text + "OFFSET = torch.randn(()).item()\n")
    trial = load_task(f"{tmp_path / 'varies.py'}:trial")
    with pytest.raises(UnfitError, match="workers would see other batches"):
        run(members(trial))


def test_warnings_of_workers_are_heard_once():
    def warns(output, target):
        warnings.warn("the target is odd", RuntimeWarning, stacklevel=1)
        return mse_loss(output, target)

    job = members(a_trial(loss=warns))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        run(job)
    assert [(str(w.message), w.category) for w in heard] == [("the target is odd", RuntimeWarning)]
    assert heard[0].filename == __file__
    assert [m.error for m in run(job)] == ["RuntimeWarning: the target is odd"] * 6


def kept_weights():
    model = nn.Sequential(nn.Linear(4, 1))
    model.register_buffer("kept", model[0].weight.detach())
    return model


def test_auto_starts_processes_for_what_cannot_be_fused_and_takes_long(monkeypatch):
    monkeypatch.setattr(pilot, "STARTING", 0.0)
    monkeypatch.setattr(pilot, "SENDING", 0.0)
    monkeypatch.setattr(pilot, "_clock", lambda job, advance, updates: 1e-9)
    job = members(a_trial(model=kept_weights))
    found, engine = run_job(job, "auto", 2, lambda updates, new: None)
    assert engine.backend == "processes"
    assert "share memory" in engine.reason
    assert alike(found, Loop().run(job, lambda updates, new: None))


@pytest.mark.slow
def test_a_member_that_kills_its_worker_twice_fails_and_all_others_finish(tmp_path):
    def deadly(model):
        lr = model.lr
        if lr == 0.2 or (lr == 0.1 and not (tmp_path / "once").exists()):
            (tmp_path / "once").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return lr

    def optimizer(model, lr):
        model.lr = lr
        return adam(model, lr)

    job = members(
        a_trial(validate=deadly, optimizer=optimizer, steps=2), (0.1, 0.2, 0.3, 0.4), (0,)
    )
    updates = []
    found = run(job, lambda count, new: updates.append(count))
    assert [m.loss for m in found] == [0.1, np.inf, 0.3, 0.4]
    assert found[1].error.startswith("the worker process died twice (SIGKILL(-9))")
    assert [m.error for m in found if m.lr != 0.2] == [""] * 3
    assert sum(updates) == 2 * 4


SCRIPT = """
import signal, sys, time, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
import surefoot as sf
from surefoot._engine.backends import pilot
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.processes import Processes

pause = float(sys.argv[1])
data = [(torch.ones(4, 1), torch.ones(4, 1))]
trial = sf.Trial(
    model=lambda: torch.nn.Linear(1, 1),
    optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
    train=data,
    loss=lambda o, t: (time.sleep(pause), torch.nn.functional.mse_loss(o, t))[1],
    steps=100,
)
told = []
def report(updates, new):
    if updates and not told:
        told.append(updates)
        print("under way", flush=True)
print(len(Processes(1).run(Job(trial, [(0.1, 0), (0.2, 0)]), report)), flush=True)
"""


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid):
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def all_gone(pids):
    deadline = time.monotonic() + 20
    while not all(gone(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    return all(gone(pid) for pid in pids)


def start(pause, folder):
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(pause)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, "TMPDIR": str(folder)}, **options)


def test_nothing_is_left_and_nothing_is_said_when_the_interpreter_ends(tmp_path):
    script = start(0.004, tmp_path)
    assert script.stdout.readline() == "under way\n"
    workers = children(script.pid)
    out, err = script.communicate(timeout=120)
    assert (out, err, script.returncode) == ("2\n", "", 0)
    assert len(workers) >= 2
    assert all_gone(workers)
    assert list(tmp_path.glob("surefoot-*")) == []


@pytest.mark.slow
def test_no_worker_outlives_the_sweep_that_is_interrupted(tmp_path):
    with start(0.5, tmp_path) as one, start(0.5, tmp_path) as other:
        for script, blow in ((one, signal.SIGINT), (other, signal.SIGKILL)):
            assert script.stdout.readline() == "under way\n"
            workers = children(script.pid)
            script.send_signal(blow)
            err = script.communicate(timeout=30)[1]
            assert script.returncode != 0
            assert ("KeyboardInterrupt" in err) == (blow == signal.SIGINT)
            assert len(workers) >= 2
            assert all_gone(workers)


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_a_number_of_workers_that_is_none_is_refused(workers):
    with pytest.raises(InputError, match="workers must be"):
        Processes(workers)


def test_there_is_a_worker_for_each_core_that_may_be_used():
    assert 1 <= worker_count() <= len(os.sched_getaffinity(0))
    assert Processes().workers == worker_count()


COMPILED = """
import torch
from torch.nn.functional import mse_loss

import surefoot as sf


def loss(output, target):
    return mse_loss(output, target)


def model():
    return torch.nn.Linear(3, 1)


trial = sf.Trial(
    model=model,
    optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
    train=[(torch.ones(4, 3), torch.ones(4, 1))],
    loss=loss,
    steps=5,
)
print(sf.sweep(trial, [0.01, 0.02, 0.03, 0.04], seeds=1, backend="compiled", workers=2).engine)
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler on this machine")
def test_workers_compile_what_a_script_defines_with_what_it_imports(tmp_path):
    script = subprocess.run(
        [sys.executable, "-c", COMPILED],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (script.stdout, script.stderr) == (
        "Engine(backend='compiled', reason='asked for')\n",
        "",
    )
