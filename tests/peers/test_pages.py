"""docs/integrations.md runs as it stands, and docs/complaints.md names tests that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "integrations.md").read_text(), re.DOTALL)
COMPLAINTS = (DOCS / "complaints.md").read_text()


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_snippet_runs(block):
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_rate_of_the_plain_function():
    from surefoot.schedules import cosine, warmup

    assert (3e-4 * (warmup(5) >> cosine(floor=0.1))).resolve(100)(0) == pytest.approx(6e-5)
    assert "0: 6e-05" in BLOCKS[-1]


def test_every_complaint_has_a_test():
    tests = set()
    for path in HERE.glob("test_*.py"):
        tests |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    rows = re.findall(r"^\| (\d+) \|.*\| (.+) \|$", COMPLAINTS, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 37))
    for number, cell in rows:
        named = re.findall(r"`(\w+)`", cell)
        assert named
        assert set(named) <= tests
        assert all(name.startswith(f"test_{number}_") for name in named)
