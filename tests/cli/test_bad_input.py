"""Bad input: one clear sentence, exit code 2, no traceback, nothing touched."""

import re

import pytest

BAD_TASKS = {
    "plain.py": "value = 1\n",
    "broken.py": "import nothing_of_that_name\n",
    "syntax.py": "def (:\n",
}

TRIAL = """
import torch, surefoot as sf
trial = sf.Trial(
    model=lambda: {model},
    optimizer=lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr),
    train={train},
    loss={loss},
    steps=10,
)
"""
GOOD = {
    "model": "torch.nn.Linear(1, 1)",
    "train": "[(torch.ones(4, 1), torch.ones(4, 1))]",
    "loss": "torch.nn.functional.mse_loss",
}
FROZEN = "torch.nn.Linear(1, 1).requires_grad_(False)"


def expect(said, *words):
    assert said.code == 2, said
    assert said.out == ""
    assert "Traceback" not in said.err
    flat = " ".join(said.err.split())
    for word in words:
        assert word in flat, flat


@pytest.fixture
def files(tmp_path):
    for name, text in BAD_TASKS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "notes.txt").write_text("no log\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "events.out.tfevents.1").write_bytes(b"\x00" * 7)
    (tmp_path / "broken.sqlite").write_bytes(b"SQLite format 3\x00" + b"\xff" * 500)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["find", "missing.py:trial"], ["missing.py"]),
        (["find", "task.py"], ["FILE.py:NAME"]),
        (["find", "task.py:trail"], ["task.py", "'trail'", "'trial'"]),
        (["find", "plain.py:trial"], ["plain.py", "no surefoot.Trial"]),
        (["find", "task.py:number"], ["task.py:number", "surefoot.Trial", "int"]),
        (["find", "broken.py:trial"], ["broken.py", "nothing_of_that_name"]),
        (["find", "syntax.py:trial"], ["syntax.py", "SyntaxError"]),
        (["find", "task.py:trial", "--effort", "lots"], ["--effort", "lots"]),
        (["find", "task.py:trial", "-o", "x.gif"], [".html", "x.gif"]),
        (["find", "task.py:trial", "-o", "task.py/x.json"], ["--out", "task.py", "does not allow"]),
        (["sweep", "task.py:trial", "--lrs", "0"], ["learning rate", "0"]),
        (["sweep", "task.py:trial", "--lrs", "-0.1,1"], ["learning rate", "-0.1"]),
        (["sweep", "task.py:trial", "--lrs", "nan"], ["learning rate", "nan"]),
        (["sweep", "task.py:trial", "--lrs", "many"], ["--lrs", "many"]),
        (["sweep", "task.py:trial", "--lrs", "0.1,0.1"], ["0.1", "twice"]),
        (["sweep", "task.py:trial", "--seeds", "0"], ["seeds", "at least 1"]),
        (["sweep", "task.py:trial", "--refine", "-1"], ["refine", "at least 0"]),
        (["sweep", "task.py:trial", "--tolerance", "0"], ["tolerance", "greater than 0"]),
        (["sweep", "task.py:trial", "--workers", "0"], ["workers", "at least 1"]),
        (["sweep", "task.py:trial", "--backend", "fast"], ["--backend", "fast", "fused"]),
        (["sweep", "task.py:trial", "--randomness", "no"], ["--randomness", "different"]),
        (["sweep", "task.py:trial", "-o", "x.gif", "--lrs", "0.1"], [".html", "x.gif"]),
        (["sweep", "task.py:trial", "--over", "batch_size"], ["NAME=V1,V2", "'batch_size'"]),
        (["sweep", "task.py:trial", "--over", "a=1,,2"], ["NAME=V1,V2", "'a=1,,2'"]),
        (["sweep", "task.py:trial", "--over", "a=1,2"], ["--over needs a function", "not a Trial"]),
        (["sweep", "task.py:make_trial"], ["batch_size", "--over"]),
        (["find", "task.py:make_trial"], ["batch_size", "defaults"]),
        (
            ["sweep", "task.py:make_trial", "--over", "batch=1,2"],
            ["--over gives 'batch'", "make_trial() does not take", "'batch_size'"],
        ),
        (
            ["sweep", "task.py:make_trial", "--over", "kind=sgd"],
            ["make_trial() needs 'batch_size'", "with --over, or"],
        ),
        (["sweep", "task.py:make_trial", "--over", "kind=a", "--over", "kind=b"], ["twice"]),
        (
            ["sweep", "task.py:make_trial", "--over", "batch_size=8,8"],
            ["--over must give 'batch_size'", "8 is there twice"],
        ),
        (["sweep", "task.py:make_trial", "--over", "batch_size=nan"], ["--over", "finite"]),
        (["diagnose", "missing"], ["missing"]),
        (["diagnose", "empty"], ["empty"]),
        (["diagnose", "notes.txt"], ["notes.txt"]),
        (["diagnose", "events.out.tfevents.1"], ["events.out.tfevents.1"]),
        (["diagnose", "broken.sqlite"], ["broken.sqlite"]),
        (["report", "empty"], ["empty"]),
        (["report", "missing"], ["missing"]),
        (["schedule", "cosin(10)", "--total", "100"], ["cosin", "cosine"]),
        (["schedule", "cosine()", "--total", "0"], ["total", "0"]),
        (["schedule", "cosine()", "--total", "10", "--lr", "0"], ["--lr", "0"]),
        (["schedule", "warmup(200)", "--total", "100"], ["200", "100"]),
        (["schedule", "warmup('2 epochs')", "--total", "100"], ["updates_per_epoch"]),
        (["schedule", "cosine()", "--total", "10", "-o", "x.gif"], [".png", "x.gif"]),
        (["demo", "--to", "."], ["--to"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_sentence_and_exit_code_2(surefoot, files, tmp_path, words, expected):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    expect(surefoot(*words), *expected)
    after = {
        path: path.stat().st_mtime_ns
        for path in tmp_path.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert after == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"loss": "lambda output, target: (output - target) ** 2"}, ["scalar", "(4, 1)"]),
        ({"loss": "lambda output, target: output.detach().mean()"}, ["does not depend"]),
        ({"train": "[]"}, ["train", "empty"]),
        ({"train": "iter([1])"}, ["one-shot"]),
        ({"train": "[{'x': torch.ones(4, 1)}]"}, ["objective", "dict"]),
        ({"model": FROZEN}, ["trainable parameters"]),
        ({"model": "3"}, ["torch.nn.Module", "3"]),
    ],
    ids=lambda value: next(iter(value.items())) if isinstance(value, dict) else None,
)
@pytest.mark.parametrize("verb", ["find", "sweep"])
def test_a_trial_that_cannot_be_trained(surefoot, tmp_path, verb, change, expected):
    (tmp_path / "bad.py").write_text(TRIAL.format(**{**GOOD, **change}))
    expect(surefoot(verb, "bad.py:trial"), *expected)


def test_a_typo_in_a_schedule_is_pointed_at(surefoot):
    said = surefoot("schedule", "warmup(5) >> cosin()", "--total", "100")
    lines = said.err.rstrip("\n").splitlines()
    assert lines[-1].index("^") == lines[-2].index("cosin")


def test_debug_shows_the_traceback(capsys, tmp_path):
    from surefoot._cli.main import run
    from surefoot.errors import TaskError

    with pytest.raises(TaskError):
        run(["find", "missing.py:trial", "--debug"])


def test_an_error_in_the_users_own_code_is_one_sentence_and_exit_code_1(surefoot, tmp_path):
    change = {"loss": "lambda output, target: output @ target @ target"}
    (tmp_path / "bad.py").write_text(TRIAL.format(**{**GOOD, **change}))
    said = surefoot("find", "bad.py:trial")
    assert said.code == 1
    assert re.search(r"surefoot: RuntimeError: .*", said.err)
    assert "--debug" in said.err


def test_no_words_shows_the_help(surefoot):
    assert "demo" in "".join([surefoot().out, surefoot().err])
