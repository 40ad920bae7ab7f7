"""The snippets of docs/moving.md run as they stand, and its tables name what there is."""

import re
from pathlib import Path

import pytest

from surefoot.schedules.conventions import keras, optax, timm, transformers
from surefoot.schedules.conventions._torch_curves import COMPOSITES, CURVES

pytestmark = pytest.mark.peers
PAGE = (Path(__file__).parents[2] / "docs" / "moving.md").read_text(encoding="utf-8")


def test_its_snippets_run_and_say_what_they_print(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    plans = []
    for block in blocks:
        names = {}
        exec(compile(block, "moving.md", "exec"), names)
        plans.append(str(names["plan"]))
    assert plans == [
        "cosine(1000, floor=0.1)",
        'piecewise([(0, 0.004), (30, 0.1), (100, 4e-07)], shape="cosine", duration=100)',
        "0.1 * cosine(1000, floor=0.01)",
        'piecewise([(0, 0), (5, 1)], shape="linear", duration=5) >> cosine(300, floor=0.001)',
    ]
    assert capsys.readouterr().out.strip() == plans[0]


def test_its_tables_name_everything_that_is_read():
    for names in (
        CURVES, COMPOSITES, transformers._NAMES, optax._FUNCTIONS, keras._CLASSES, timm._CURVES,
    ):  # fmt: skip
        for name in names:
            assert f"`{name}`" in PAGE, name
