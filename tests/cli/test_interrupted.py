"""Ctrl-C in the command: what had finished is shown and saved, and nothing else is said."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surefoot.records import Interaction, Sensitivity

TASK = """
import math
import torch
import surefoot as sf

calls = []


def trial_of(size=1, after=math.inf):
    def loss(output, target):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return torch.nn.functional.mse_loss(output, target)

    return sf.Trial(
        model=lambda: torch.nn.Linear(1, 1, bias=False),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=[(torch.ones(size, 1), torch.full((size, 1), 3.0))],
        loss=loss,
        steps=4,
        name="line",
    )


def late(size):
    return trial_of(size, 1 + 4 * 5 + 1 + 4 * 2 + 1)


trial = trial_of(1, 4 * 3 + 2)
at_once = trial_of(1, 2)
"""
WORDS = ["--lrs", "0.01,0.03,0.1,0.3,1", "--seeds", "1", "--backend", "loop"]


@pytest.fixture
def stopped(surefoot, tmp_path):
    (tmp_path / "stopped.py").write_text(TASK)
    return lambda name, *words: surefoot("sweep", f"stopped.py:{name}", *WORDS, *words)


def test_what_had_finished_is_drawn_and_saved(stopped, tmp_path):
    said = stopped("trial", "-o", "out")
    assert said.code == 130
    assert said.err == "interrupted: after 3 of 5 members; this is what had finished.\n"
    for shown in ("Interrupted after 3 of 5 members. Best", "learning rate (log)", "Cost: 12"):
        assert shown in " ".join(said.out.split()), said.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"sensitivity.{ending}" for ending in ("json", "html", "png", "csv")}
    saved = Sensitivity.from_json((tmp_path / "out" / "sensitivity.json").read_text())
    assert len(saved.members) == 3


def test_json_is_one_document_all_the_same(stopped):
    said = stopped("trial", "--json")
    assert said.code == 130
    assert len(Sensitivity.from_dict(json.loads(said.out)).members) == 3
    assert said.err.startswith("interrupted: ")


def test_without_a_finished_member_it_is_one_sentence(stopped, tmp_path):
    said = stopped("at_once", "-o", "out")
    assert said.code == 130
    assert said.out == ""
    expected = "interrupted: before any of its members had finished.\n"
    assert said.err == expected
    assert not (tmp_path / "out").exists()


def test_interrupted_while_the_file_is_loaded(surefoot, tmp_path):
    (tmp_path / "slow.py").write_text("raise KeyboardInterrupt\n")
    said = surefoot("sweep", "slow.py:trial")
    assert (said.code, said.out) == (130, "")
    assert said.err == "interrupted: no member had finished.\n"


def test_over_settings_the_rest_is_listed(stopped):
    said = stopped("late", "--over", "size=1,2,3", "--json")
    assert said.code == 130, said.err
    found = Interaction.from_dict(json.loads(said.out))
    assert [len(cell.sensitivity.members) for cell in found.cells] == [5, 2]
    assert [one.error for one in found.failures] == ["interrupted"]
    assert said.err == "interrupted: in sweep 2 of 3; this is what had finished.\n"


SLOW = """
import time
import torch
import surefoot as sf


def objective(model, batch):
    time.sleep(0.002)
    return torch.nn.functional.mse_loss(model(batch[0]), batch[1])


trial = sf.Trial(
    model=lambda: torch.nn.Linear(1, 1),
    optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
    train=[(torch.ones(4, 1), torch.ones(4, 1))],
    objective=objective,
    steps=100,
)
"""
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from surefoot._cli.main import run
from surefoot._sweep import sweep
told = sys.modules["surefoot._sweep.sweep"]._Teller
told_first = told.__call__
def tell(self, updates, finished):
    told_first(self, updates, finished)
    if finished:
        print("finished", file=sys.stderr, flush=True)
told.__call__ = tell
run(sys.argv[1:])
"""


def group(leader):
    """Return the processes of a group that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rsplit(")", 1)[1].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("backend", "whom"),
    [
        ("loop", "group"),
        ("processes", "group"),
        ("processes", "parent"),
        ("fused", "group"),
    ],
)
def test_a_signal_leaves_no_process_and_no_noise(tmp_path, backend, whom):
    (tmp_path / "slow.py").write_text(SLOW)
    words = ["sweep", "slow.py:trial", "--lrs", "1e-3:1:4", "--seeds", "20", "--json"]
    script = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words, "--backend", backend],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with script:
        assert script.stderr.readline() == "finished\n"
        (os.killpg if whom == "group" else os.kill)(script.pid, signal.SIGINT)
        out, err = script.communicate(timeout=60)
    assert script.returncode == 130, err
    said = err.replace("finished\n", "", err.count("\nfinished\n") + err.startswith("finished\n"))
    assert said.startswith("interrupted: after "), err
    assert said.count("\n") == 1, err
    result = Sensitivity.from_dict(json.loads(out))
    assert 0 < len(result.members) < 20 * 13
    deadline = time.monotonic() + 20
    while group(script.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert group(script.pid) == []
