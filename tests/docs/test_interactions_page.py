"""The snippets of the page on interactions run as they stand, and its examples do what it says."""

import importlib
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "interactions.md").read_text(encoding="utf-8")


@pytest.fixture
def example(monkeypatch):
    """Return a function that imports an example by name, as its own folder sees it."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module


def test_the_snippets_run_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "interactions.md", "exec"), names)
    assert names["again"].to_json() == names["result"].to_json()
    assert names["slope"].exponent > 0
    assert (tmp_path / "ridges.png").stat().st_size > 1000


def test_files_that_the_page_names_are_there():
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert targets
    assert all((ROOT / "docs" / target).exists() for target in targets)


def test_smaller_batches_want_smaller_rates(example):
    batch_size = example("batch_size")
    result = batch_size.sweep("SGD", [8, 64], seeds=1, epochs=1, per_octave=1)
    small, large = result.ridge()
    assert small.lr < large.lr
    told = batch_size.compare(result, batch_size.PUBLISHED["SGD"])
    assert "exponent from 8 to 64" in told
    assert "published 0.38" in told


def test_smaller_rates_want_more_epochs_unless_the_rate_falls_to_zero(example):
    budget = example("budget")
    result = budget.sweep([1, 10], seeds=1, per_octave=1)
    constant = result.slope("epochs", schedule="hold()")
    decayed = result.slope("epochs", schedule="linear()")
    assert constant.exponent < decayed.exponent - 0.2
    assert "published -0.52" in budget.compare(result)
