"""Checks name the argument, say what was given, and what is allowed."""

import math

import numpy as np
import pytest

from surefoot._base import checks
from surefoot._base.lazy import need
from surefoot._base.progress import track
from surefoot.errors import InputError, MissingExtraError


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (lambda v: checks.number("x", v), "3", "x must be a number, not '3'"),
        (lambda v: checks.number("x", v), True, "x must be a number"),
        (lambda v: checks.number("x", v), None, "x must be a number"),
        (lambda v: checks.number("x", v), math.nan, "x must be finite"),
        (lambda v: checks.number("x", v), "y" * 500, "..."),
        (lambda v: checks.positive("x", v), 0, "x must be greater than 0, not 0"),
        (lambda v: checks.learning_rate("lr", v), -1, "lr must be a finite learning rate"),
        (lambda v: checks.learning_rate("lr", v), math.inf, "between 1e-6 and 1"),
        (lambda v: checks.fraction("x", v), 1.5, "x must lie in [0, 1], not 1.5"),
        (lambda v: checks.count("n", v), 1.0, "n must be a whole number"),
        (lambda v: checks.count("n", v), False, "n must be a whole number"),
        (lambda v: checks.count("n", v), -1, "n must be at least 0, not -1"),
        (lambda v: checks.one_of("w", v, ["a", "b"]), "c", "w must be one of 'a', 'b', not 'c'"),
    ],
)
def test_what_is_not_allowed_is_refused(check, value, words):
    with pytest.raises(InputError) as error:
        check(value)
    assert words in str(error.value)


def test_what_is_allowed_comes_back_as_a_plain_number():
    assert checks.number("x", np.float32(0.5)) == 0.5
    assert checks.number("x", math.inf, finite=False) == math.inf
    assert type(checks.count("n", np.int64(3))) is int
    assert checks.fraction("x", 1) == 1.0
    assert checks.positive("x", 2) == 2.0
    assert checks.learning_rate("lr", 1e-3) == 1e-3
    assert checks.one_of("w", "a", ["a"]) == "a"


def test_a_missing_library_gives_the_pip_command(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'surefoot\[plots\]'"):
        need("plotly", "to draw figures")
    with pytest.raises(MissingExtraError, match="pip install nothing_like_it"):
        need("nothing_like_it.part", "for this test")
    assert need("math", "for this test") is math


def test_a_library_that_is_broken_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import nothing_like_it")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nothing_like_it") as error:
        need("broken_library", "for this test")
    assert not isinstance(error.value, MissingExtraError)


def test_progress_goes_to_a_function():
    seen = []
    with track(lambda *progress: seen.append(progress), "work", 10) as advance:
        advance(3, "first")
        advance(7, "second")
    assert seen == [(3, 10, "first"), (10, 10, "second")]


def test_progress_is_a_bar_on_demand_and_silent_elsewhere(capsys):
    with track(True, "work", 2) as advance:
        advance(1, "half")
    assert "work" in capsys.readouterr().err
    for silent in (False, None):
        with track(silent, "work", 2) as advance:
            advance(1, "half")
    assert capsys.readouterr() == ("", "")


def test_progress_of_another_kind_is_refused():
    with pytest.raises(InputError, match="progress must be"), track("yes", "work", 1):
        pass
