"""The README's snippets run as they stand, in order, and its commands exist."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from surefoot._cli.main import run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^surefoot (.*)$", README, re.MULTILINE)


def test_the_snippets_run_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 6
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["finding"].lr > 0
    assert names["result"].best.lr > 0
    assert names["diagnosis"].run == "first"
    assert names["scheduler"].base_lrs == [names["finding"].lr]
    assert (tmp_path / "report.html").stat().st_size > 10_000
    for line in COMMANDS:
        if line.split()[0] in ("diagnose", "schedule", "report"):
            with pytest.raises(SystemExit) as end:
                run(shlex.split(line))
            assert not end.value.code, line
    assert (tmp_path / "schedule.png").stat().st_size > 1000


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_exists(line):
    from typer.main import get_command

    from surefoot._cli.main import app

    name, *words = line.split()
    command = get_command(app).commands[name]
    known = {option for p in command.params for option in p.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_files_that_the_readme_names_are_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_example_is_a_trial():
    import importlib.util

    spec = importlib.util.spec_from_file_location("digits", ROOT / "examples" / "digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.trial.steps == 300
