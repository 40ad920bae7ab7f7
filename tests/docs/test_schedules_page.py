"""The page of all schedules is complete, made from the code, and has its pictures."""

import importlib.util
from pathlib import Path

import pytest

from surefoot.schedules import schedule
from surefoot.schedules._nodes import CALLABLE, METHODS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("maker", ROOT / "docs" / "make_schedules.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_schedule_recipe_and_operation_is_on_it(maker):
    shown = {name for entries in maker.SECTIONS.values() for name in entries}
    assert shown == {*CALLABLE, *METHODS, *maker.OPERATORS}


def test_it_says_what_the_code_says(maker):
    written = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")
    assert written == maker.page(), "run make docs"


def test_every_picture_is_there_and_every_text_is_a_schedule(maker):
    for entries in maker.SECTIONS.values():
        for name, text in entries.items():
            picture = ROOT / "docs" / "images" / "schedules" / maker._file(name)
            assert picture.stat().st_size > 1000, name
            assert schedule(text, allow_functions=True).resolve(maker.TOTAL).total == maker.TOTAL
