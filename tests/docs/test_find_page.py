"""The page on finding: its snippets run, its command is one."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from surefoot._cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "find.md").read_text(encoding="utf-8")


def test_the_snippets_run_one_after_another():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "find.md", "exec"), names)
    finding = names["finding"]
    assert finding.source == "measured"
    assert finding.lrs == (finding.lr,)


@pytest.mark.parametrize("line", re.findall(r"^surefoot (find .*)$", PAGE, re.MULTILINE))
def test_the_command_runs(line, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    arguments = shlex.split(line)
    arguments[arguments.index("-o") + 1] = str(tmp_path / "found")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "trained once with it" in result.output
    assert (tmp_path / "found" / "finding.json").exists()
