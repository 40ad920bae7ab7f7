"""The page on watching: its snippets run, the curves it lists are there, its commands are some."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from surefoot import quantities
from surefoot._cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "watch.md").read_text(encoding="utf-8")


def test_the_snippets_run_and_record_the_curves_of_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "watch.md", "exec"), names)
    table = PAGE.partition("| curve |")[2].partition("\n\n")[0]
    listed = set(
        re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))
    )
    only_where_told = {"skipped", "noise_scale", "sharpness"}
    assert listed - only_where_told == set(names["log"].names)
    assert names["watch"].overhead < 1
    assert names["value"][-1] < names["value"][0]


@pytest.mark.parametrize("line", re.findall(r"^surefoot (.*)$", PAGE, re.MULTILINE))
def test_the_commands_are_understood(line):
    name, *words = shlex.split(line)
    command = get_command(app).commands[name]
    assert command.make_context(name, words, resilient_parsing=False).params["path"]


def test_every_quantity_is_in_the_table():
    for name in quantities.__all__:
        if name not in ("Part", "Quantity", "Update", "is_sharded"):
            snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
            assert snake.replace("learning_rate", "lr") in PAGE
