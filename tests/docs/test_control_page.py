"""The snippets of the page on control run as they stand, and state the defaults."""

import re
from pathlib import Path

import pytest
import torch

from surefoot.schedules import gradient_dependent, plateau

PAGE = (Path(__file__).parents[2] / "docs" / "control.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_snippets_run_one_after_another():
    torch.manual_seed(0)
    names = {}
    for block in BLOCKS:
        exec(compile(block, "control.md", "exec"), names)
    assert names["scheduler"].updates == 1
    assert names["scheduler"].control == gradient_dependent()


@pytest.mark.parametrize("make", [plateau, gradient_dependent])
def test_the_signatures_are_those_of_the_code(make):
    """Each names every argument, with its default."""
    (block,) = (block for block in BLOCKS if block.startswith(f"{make.name}("))
    assert eval(block, {make.name: make}) == make()
    assert re.findall(r"(\w+)=", block) == list(make.__dataclass_fields__)


def test_no_section_is_empty():
    parts = re.split(r"^#+ .*$", PAGE, flags=re.MULTILINE)[1:]
    assert all(re.sub(r"```.*?```", "", part, flags=re.DOTALL).strip() for part in parts)
