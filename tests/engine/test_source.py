"""Trials from files: they know where they came from, until they are no longer what is there."""

import copy
import dataclasses
import inspect
import os
import sys

import pytest

from surefoot import InputError, Trial
from surefoot._engine.source import load_again, load_task, modules, origin
from surefoot.errors import TaskError

TASK = """
import torch, surefoot as sf

def make(*, steps=4, name="made"):
    '''Return a trial.'''
    return sf.Trial(
        model=lambda: torch.nn.Linear(1, 1),
        optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
        train=[torch.ones(2, 1)],
        objective=lambda model, batch: model(batch).square().mean(),
        steps=steps,
        name=name,
    )

def wrong():
    return 3

class Kind:
    pass

trial = make(name="itself")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "homework.py"
    path.write_text(TASK)
    return path


def test_a_trial_knows_where_it_came_from_and_is_loaded_there_again(file):
    trial = load_task(f"{file}:trial")
    found = origin(trial)
    assert (found.file, found.name, found.settings) == (str(file), "trial", {})
    again = load_again(found)
    assert again is not trial
    assert (again.name, again.steps) == ("itself", 4)
    assert origin(again) == found


def test_a_function_makes_trials_that_know_their_settings(file):
    make = load_task(f"{file}:make")
    assert list(inspect.signature(make).parameters) == ["steps", "name"]
    trial = make(steps=9)
    assert trial.steps == 9
    assert origin(trial).settings == {"steps": 9}
    assert load_again(origin(trial)).steps == 9
    assert load_again(origin(make())).steps == 4


def test_a_file_runs_once_to_be_loaded_again_until_it_is_written_anew(file):
    first = origin(load_task(f"{file}:trial"))
    assert load_again(first) is load_again(first)
    file.write_text(TASK.replace("itself", "another"))
    os.utime(file, ns=(1, first.written + 10**9))
    second = origin(load_task(f"{file}:trial"))
    assert load_again(second).name == "another"


def test_the_origin_is_forgotten_when_the_trial_or_its_file_changes(file):
    trial = load_task(f"{file}:trial")
    assert origin(dataclasses.replace(trial, steps=5)) is None
    assert origin(copy.copy(trial)) == origin(trial) != None  # noqa: E711
    assert origin(load_task(f"{file}:make")(steps=5)) is not None
    os.utime(file, ns=(1, origin(trial).written + 10**9))
    assert origin(trial) is None
    again = load_task(f"{file}:trial")
    assert origin(again) is not None
    file.unlink()
    assert origin(again) is None


def test_a_trial_built_here_came_from_nowhere_and_equality_ignores_the_origin(file):
    loaded = load_task(f"{file}:trial")
    twin = Trial(**{field.name: getattr(loaded, field.name) for field in dataclasses.fields(Trial)})
    assert origin(twin) is None
    assert twin == loaded


def test_the_modules_that_were_run_are_known(file):
    load_task(f"{file}:trial")
    assert [module.__file__ for module in modules() if module.__name__ == "homework"] == [str(file)]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("homework.py", "Name the trial as FILE.py:NAME"),
        (":trial", "Name the trial as FILE.py:NAME"),
        ("homework.py:", "Name the trial as FILE.py:NAME"),
        ("nowhere.py:trial", "There is no file 'nowhere.py'"),
        ("homework.py:trail", "has no 'trail'. It has the trial 'trial'"),
        ("homework.py:something", "has no 'something'. It has the trial 'trial'"),
        (
            "homework.py:Kind",
            "must be a surefoot.Trial, or a function that returns one, not a type",
        ),
        (
            "homework.py:sf",
            "must be a surefoot.Trial, or a function that returns one, not a module",
        ),
        ("homework.py:torch", "not a module"),
    ],
)
def test_says_what_is_wrong_with_a_place(file, monkeypatch, where, said):
    monkeypatch.chdir(file.parent)
    with pytest.raises(TaskError, match=said):
        load_task(where)


def test_a_function_that_makes_something_else_is_named(file):
    make = load_task(f"{file}:wrong")
    with pytest.raises(
        TaskError, match=r"homework.py:wrong must return a surefoot.Trial, not a in"
    ):
        make()


def test_a_file_finds_its_neighbours_and_leaves_the_path_as_it_was(file):
    (file.parent / "neighbour_of_homework.py").write_text("NAME = 'from next door'\n")
    file.write_text(
        f"import neighbour_of_homework\n{TASK}\ntrial = make(name=neighbour_of_homework.NAME)"
    )
    before = list(sys.path)
    assert load_task(f"{file}:trial").name == "from next door"
    assert sys.path == before
    assert sys.modules["homework"].trial.name == "from next door"


def test_what_surefoot_says_of_a_file_is_said_as_it_is(file):
    file.write_text(TASK.replace("steps=steps", "steps=-1"))
    with pytest.raises(InputError, match=r"^steps must") as said:
        load_task(f"{file}:trial")
    assert not isinstance(said.value, TaskError)


def test_the_origin_holds_from_any_folder(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    found = origin(load_task("homework.py:trial"))
    monkeypatch.chdir("/")
    assert found.file == str(file)
