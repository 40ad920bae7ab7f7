"""Accelerate's ``prepare``, in one process and in two; row 33 of docs/complaints.md."""

import json
import os
import subprocess
import sys
from pathlib import Path

import accelerate
import pytest
import torch

from surefoot import Scheduler
from surefoot.schedules import cosine, warmup
from tests.peers import accelerate_script
from tests.peers.loops import rates

PLAN = (warmup(3) >> cosine(floor=0.1)).resolve(accelerate_script.UPDATES)
EXPECTED = [0.1 * factor for factor in PLAN.values()]
ROOT = Path(__file__).parents[2]


def run(processes, calls, folder):
    """Run the script in so many processes and return what each of them found."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    script = str(Path(accelerate_script.__file__))
    done = subprocess.run(
        [sys.executable, *launch, script, str(calls), str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_one_process(accumulate):
    answer = accelerate_script.main("processes", accumulate)
    assert answer == {"processes": 1, "rates": EXPECTED, "updates": len(EXPECTED)}


@pytest.mark.slow
def test_33_two_processes_use_the_rates_of_one(tmp_path):
    answers = run(2, "processes", tmp_path)
    assert [answer["processes"] for answer in answers] == [2, 2]
    assert [answer["rates"] for answer in answers] == [EXPECTED, EXPECTED]
    assert [answer["updates"] for answer in answers] == [len(EXPECTED)] * 2


@pytest.mark.slow
def test_33_what_accelerate_does_to_a_scheduler_that_is_not_told(tmp_path):
    for answer in run(2, 1, tmp_path):
        every_other = [0.1 * PLAN(2 * t) for t in range(len(EXPECTED))]
        assert answer["rates"] == pytest.approx(every_other)
        assert answer["updates"] == 2 * len(EXPECTED)


def test_its_checkpoints(tmp_path):
    def prepared():
        accelerator = accelerate.Accelerator(cpu=True)
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = Scheduler(optimizer, PLAN)
        return accelerator, *accelerator.prepare(model, optimizer, scheduler)

    accelerator, model, optimizer, scheduler = prepared()
    for _ in range(5):
        model(torch.ones(3)).sum().backward()
        optimizer.step()
        scheduler.step()
    accelerator.save_state(str(tmp_path))
    accelerator, model, optimizer, scheduler = prepared()
    accelerator.load_state(str(tmp_path))
    assert rates(optimizer) == scheduler.get_last_lr() == [EXPECTED[5]]
