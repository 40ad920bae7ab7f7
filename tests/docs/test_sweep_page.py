"""The page of the verb runs as it stands, and its table is that of the tests."""

import dataclasses
import inspect
import re
import shlex
from pathlib import Path

from typer.main import get_command

import surefoot as sf
from surefoot._cli.main import app
from tests.engine.operators import FINE, SLOW, UNFIT

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "sweep.md").read_text(encoding="utf-8")


def test_the_snippets_run_one_after_another(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "sweep.md", "exec"), names)
    result, interaction = names["result"], names["interaction"]
    assert names["again"].best == result.best
    assert len(names["frame"]) == len(result.points)
    assert len(names["finer"].points) > 5
    assert len(interaction.cells) == 2
    refusals = capsys.readouterr().out.strip().splitlines()[-4:]
    assert ["twice" in refusals[0], "empty" in refusals[3]] == [True, True]


def test_what_cannot_be_fused_is_what_the_tests_found():
    table = PAGE.partition("### What cannot be fused")[2].partition("###")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    named = {name for cell in cells for name in re.findall(r"`(.+?)`", cell)}
    assert named == set(UNFIT)
    assert len({*FINE, *SLOW}) > 40


def test_every_field_of_a_result_is_explained():
    table = PAGE.partition("## What comes back")[2].partition("\n\nA rate")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE))))
    known = {field.name for field in dataclasses.fields(sf.records.Sensitivity)}
    known |= {"unit"}  # a property
    assert named | {"metric", "steps", "name"} == known


def test_every_argument_is_mentioned_and_every_command_exists():
    for name in list(inspect.signature(sf.sweep).parameters)[1:]:
        assert re.search(rf"\b{name}\b", PAGE), name
    options = {option for p in get_command(app).commands["sweep"].params for option in p.opts}
    for line in re.findall(r"^surefoot sweep (.*)$", PAGE, re.MULTILINE):
        assert {word for word in shlex.split(line) if word.startswith("-")} <= options
