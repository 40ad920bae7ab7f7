"""Each command does its job on the user's input, and speaks JSON."""

import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest

from surefoot.records import Finding, Interaction, RunWriter, Sensitivity


def document(said):
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_help_lists_every_command(surefoot):
    said = surefoot("--help")
    assert said.code == 0
    for name in ("demo", "find", "sweep", "diagnose", "schedule", "report"):
        assert name in said.out


def test_version(surefoot):
    assert re.fullmatch(r"surefoot \d+\.\d+\.\d+\n", surefoot("--version").out)


def test_find_recommends_a_stable_rate(surefoot):
    # mean of x² over DATA is 3/7, so gradient descent diverges above 2 / (2 · 3/7) = 7/3
    finding = Finding.from_dict(document(surefoot("find", "task.py:trial", "--json")))
    assert finding.source == "measured"
    assert 1e-3 < finding.lr < 7 / 3


def test_find_tells_and_saves(surefoot, tmp_path):
    said = surefoot("find", "task.py:trial", "--effort", "thorough", "-o", "found")
    assert said.code == 0
    assert "learning rate" in said.out
    assert "trainings" in said.out
    assert (tmp_path / "found" / "finding.html").stat().st_size > 1000
    Finding.from_json((tmp_path / "found" / "finding.json").read_text())


def test_find_with_a_schedule_reads_its_text(surefoot):
    said = surefoot("find", "task.py:trial", "--schedule", "warmup(5) >> linear()", "--json")
    assert document(said)["source"] == "measured"


def test_a_function_that_returns_a_trial_is_called(surefoot):
    assert document(surefoot("sweep", "task.py:make", "--lrs", "0.1", "--seeds", "1", "--json"))


def test_sweep_finds_the_edge_of_divergence(surefoot):
    said = surefoot("sweep", "task.py:trial", "--lrs", "0.01,0.1,1,2.2,2.5,10", "--json")
    assert document(said)["diverges_at"] == 2.5


def test_sweep_tells_and_saves(surefoot, tmp_path):
    said = surefoot("sweep", "task.py:trial", "--lrs", "1e-3:1:1", "--seeds", "2", "-o", "out")
    assert said.code == 0
    assert "best" in said.out
    table = (tmp_path / "out" / "sensitivity.csv").read_text().splitlines()
    assert table[0].startswith("lr,loss")
    assert len(table) == 5
    Sensitivity.from_json((tmp_path / "out" / "sensitivity.json").read_text())


def test_sweep_in_a_folder_writes_every_form(surefoot, tmp_path):
    said = surefoot("sweep", "task.py:trial", "--lrs", "0.1,1", "--seeds", "1", "-o", "all")
    assert said.code == 0
    written = {path.name for path in (tmp_path / "all").iterdir()}
    assert written == {f"sensitivity.{ending}" for ending in ("json", "html", "png", "csv")}
    assert all(name in said.out for name in written)


@pytest.mark.parametrize("backend", ["loop", "fused"])
def test_sweep_trains_with_the_backend_asked_for(surefoot, backend):
    words = ["sweep", "task.py:trial", "--lrs", "0.1,1", "--backend", backend, "--exact"]
    assert document(surefoot(*words, "--json"))["engine"]["backend"] == backend
    assert f"Engine: {backend}, " in surefoot(*words).out


def test_sweep_refines_around_the_best_within_its_tolerance(surefoot):
    words = ["sweep", "task.py:trial", "--lrs", "0.01:1:1", "--seeds", "1", "--json"]
    rough, fine = (document(surefoot(*words, *more)) for more in ([], ["--refine", "2"]))
    assert len(rough["points"]) == 3
    assert len(fine["points"]) > 4
    assert fine["best"]["loss"] <= rough["best"]["loss"]
    assert document(surefoot(*words, "--tolerance", "0.5"))["basin"]["tolerance"] == 0.5


def test_sweep_stops_rates_by_halving(surefoot):
    words = ["sweep", "task.py:trial", "--lrs", "1e-4:1:2", "--seeds", "1", "--keep", "2"]
    found = document(surefoot(*words, "--json"))
    stopped = [point["stopped"] for point in found["points"]]
    assert stopped.count(None) == 2
    assert set(stopped) - {None} <= {8, 15, 30}
    said = surefoot(*words).out
    assert "stopped" in said
    assert "Halving stopped 7 of 9 rates" in " ".join(said.split())
    bad = surefoot("sweep", "task.py:trial", "--keep", "0")
    assert bad.code == 2
    assert "keep" in bad.err


def test_sweep_takes_rates_around_the_usual_one_of_the_optimizer(surefoot):
    found = document(surefoot("sweep", "task.py:trial", "--seeds", "1", "--json"))
    lrs = [point["lr"] for point in found["points"]]
    assert max(lrs) == 10
    assert all(b / a == pytest.approx(10 ** (1 / 3), rel=1e-3) for a, b in pairwise(lrs))


def test_sweep_over_settings_tells_how_the_best_rate_moves(surefoot, tmp_path):
    over = ["--over", "batch_size=4", "--over", "curvature=1,4.0,16", "--lrs", "0.001:1:3"]
    words = ["sweep", "task.py:make_trial", *over, "--seeds", "1"]
    said = surefoot(*words, "-o", "out")
    assert said.code == 0, said.err
    for shown in ("toy", "curvature", "best lr", "Best lr", "Engine of", "Cost:"):
        assert shown in " ".join(said.out.split()), shown
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"interaction.{ending}" for ending in ("json", "html", "png", "csv")}
    found = Interaction.from_dict(document(surefoot(*words, "--json")))
    assert found.values("curvature") == (1, 4.0, 16)
    edges = [cell.sensitivity.diverges_at for cell in found.cells]
    # gradient descent on curvature c diverges above 1 / c: the loss is the square, not its half
    assert edges[2] < edges[1] < 1
    assert all(edge > 1 / c for edge, c in zip(edges[1:], (4, 16), strict=True))


def test_values_of_a_setting_are_whole_numbers_numbers_or_text(surefoot):
    words = ["sweep", "task.py:make_trial", "--over", "kind=sgd,adam", "--over", "batch_size=4"]
    found = document(surefoot(*words, "--lrs", "0.1,0.3", "--seeds", "1", "--json"))
    assert [cell["settings"] for cell in found["cells"]] == [
        {"kind": "sgd", "batch_size": 4},
        {"kind": "adam", "batch_size": 4},
    ]


BRANCHES = """

def branching(model, batch):
    loss = torch.nn.functional.mse_loss(model(batch[0]), batch[1])
    return loss * 1.01 if loss > 0 else loss


import dataclasses
branches = dataclasses.replace(trial, loss=None, objective=branching, steps=6)
"""


@pytest.mark.parametrize("columns", [50, 90])
def test_the_reason_of_an_engine_is_told_whole_between_words(
    surefoot, tmp_path, monkeypatch, columns
):
    (tmp_path / "task.py").write_text((tmp_path / "task.py").read_text() + BRANCHES)
    words = ["sweep", "task.py:branches", "--lrs", "0.1,1", "--seeds", "1"]
    reason = document(surefoot(*words, "--json"))["engine"]["reason"].partition(";")[0]
    assert len(reason) > 100  # without the times, which are others each time
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = surefoot(*words).out
    told = out[out.index("Engine: loop, ") :].partition("Cost:")[0]
    assert f"{reason}; an update of a member takes loop" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= columns
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    refused = surefoot(*words, "--backend", "fused").err
    said = reason.removeprefix("it cannot be fused: ")
    assert f"cannot be fused: {said}. backend='auto' runs it." in " ".join(refused.split())
    assert max(map(len, refused[refused.index("This trial") :].splitlines())) <= columns


@pytest.mark.parametrize("ending", ["html", "png", "svg", "json", "csv"])
def test_a_figure_is_saved_by_its_ending(surefoot, tmp_path, ending):
    said = surefoot("sweep", "task.py:trial", "--lrs", "0.1,1", "--seeds", "1", "-o", f"u.{ending}")
    assert said.code == 0, said.err
    assert (tmp_path / f"u.{ending}").stat().st_size > 50


def write_run(folder, rate, length=200):
    with RunWriter(folder) as writer:
        steps = np.arange(length)
        losses = 2.3 * np.exp(-rate * steps) + 0.01 * np.sin(37.0 * steps)
        writer.add_many("loss", steps.tolist(), losses.tolist())
    return writer.path


def test_diagnose_one_run(surefoot, tmp_path):
    write_run(tmp_path / "slow", 0.002)
    found = document(surefoot("diagnose", "slow", "--json"))
    assert found["healthy"] is False
    assert found["verdicts"][0]["code"] == "LR203"
    assert found["verdicts"][0]["direction"] == "raise"
    assert found["verdicts"][0]["remedy"]["action"] == "raise_lr"
    assert found["lr_over_best_log10"] is None
    said = surefoot("diagnose", "slow")
    assert said.code == 0
    assert "too low" in said.out


def test_diagnose_a_folder_of_runs(surefoot, tmp_path):
    write_run(tmp_path / "runs" / "slow", 0.002)
    write_run(tmp_path / "runs" / "good", 0.05)
    found = document(surefoot("diagnose", "runs", "--json"))
    assert {run["run"]: run["healthy"] for run in found["runs"]} == {"slow": False, "good": True}
    assert "good" in surefoot("diagnose", "runs").out


def test_diagnose_a_csv(surefoot, tmp_path):
    rows = [f"{t},{2.3 * math.exp(-0.05 * t)}" for t in range(200)]
    (tmp_path / "log.csv").write_text("step,train_loss\n" + "\n".join(rows))
    assert document(surefoot("diagnose", "log.csv", "--json"))["healthy"] is True


def test_schedule_prints_the_rates(surefoot):
    words = "warmup(500) >> cosine(floor=0.1)"
    found = document(surefoot("schedule", words, "--total", "10000", "--lr", "3e-4", "--json"))
    assert found["updates"][0] == 0
    assert found["updates"][-1] == 9999
    assert found["lrs"][0] == pytest.approx(3e-4 / 500)
    assert found["lrs"][-1] == pytest.approx(3e-5, rel=1e-3)
    assert max(found["lrs"]) <= 3e-4


def test_schedule_draws_and_saves(surefoot, tmp_path):
    said = surefoot("schedule", "warmup(5) >> linear()", "--total", "50", "-o", "s.png")
    assert said.code == 0
    assert "updates" in said.out
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_schedules_are_compared(surefoot, tmp_path):
    others = ["--compare", "wsd()", "--compare", "warmup('auto') >> cosine"]
    words = ["schedule", "linear", "--total", "1000", "--lr", "0.5", *others, "--beta2", "0.9"]
    said = surefoot(*words, "-o", "s.csv")
    assert said.code == 0
    for shown in (
        "3 schedules, 1000 updates",
        'B warmup("5%") >> hold() >> linear("20%")',
        "0.5 at",
    ):
        assert shown in said.out
    names = {line.split(",")[1] for line in (tmp_path / "s.csv").read_text().splitlines()[1:]}
    assert "linear()" in names
    found = document(surefoot(*words, "--json"))
    assert found["area"] == pytest.approx(500.5)
    wsd, auto = found["compare"]
    assert wsd["resolved"] == "warmup(50) >> hold(750) >> linear(200)"
    assert auto["resolved"] == "warmup(20) >> cosine(980)"


def test_a_schedule_is_compared_once_and_a_run_may_be_very_long(surefoot):
    said = surefoot(
        "schedule", "cosine", "--total", "50", "--compare", "cosine()", "--compare", "linear"
    )
    assert "2 schedules, 50 updates" in said.out
    assert "B linear()" in said.out
    long = ["--total", "1000000000000", "--updates-per-epoch", "390.6", "--json"]
    found = document(surefoot("schedule", "step('1000 epochs', drop=0.5) * hold", *long))
    assert found["total"] == 10**12
    many = [word for k in range(26) for word in ("--compare", f"constant(0.{k + 1:02})")]
    said = surefoot("schedule", "cosine", "--total", "50", *many)
    assert said.code == 2
    assert "25 times at most, not 26" in said.err


def test_a_function_is_imported_only_where_that_is_said(surefoot):
    words = ["schedule", "0.1 * function('math:sqrt')", "--total", "50", "--json"]
    said = surefoot(*words)
    assert said.code == 2
    assert "--allow-functions" in said.err
    found = document(surefoot(*words, "--allow-functions"))
    assert found["lrs"][49] == pytest.approx(0.7)


def test_report_writes_one_page(surefoot, tmp_path):
    write_run(tmp_path / "runs" / "slow", 0.002)
    found = document(surefoot("report", "runs", "-o", "r.html", "--json"))
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert found["report"].endswith("r.html")
    assert "too low" in page


def test_a_run_too_short_to_judge_is_not_called_healthy(surefoot, tmp_path):
    write_run(tmp_path / "runs" / "short", 0.05, length=5)
    write_run(tmp_path / "runs" / "good", 0.05)
    said = surefoot("diagnose", "runs/short")
    assert said.code == 0
    assert "Not judged" in said.out
    assert document(surefoot("diagnose", "runs/short", "--json"))["healthy"] is False
    assert "not judged" in surefoot("diagnose", "runs").out
    assert surefoot("report", "runs", "-o", "r.html").code == 0
    assert "Not judged" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_schedule_durations_in_samples_and_tokens(surefoot, tmp_path):
    words = "warmup('640 samples') >> hold() >> linear('1e4 tokens')"
    options = ["--samples-per-update", "64", "--tokens-per-update", "100"]
    said = surefoot("schedule", words, "--total", "1000", *options, "-o", "s.json", "--json")
    assert document(said)["resolved"] == "warmup(10) >> hold(890) >> linear(100)"
    assert json.loads((tmp_path / "s.json").read_text()) == json.loads(said.out)


def test_a_log_in_epochs_is_told_in_epochs(surefoot, tmp_path):
    rows = [f"{epoch},{2 - 0.02 * epoch}" for epoch in range(60)]
    (tmp_path / "log.csv").write_text("epoch,loss\n" + "\n".join(rows))
    said = surefoot("diagnose", "log.csv")
    assert "since epoch 0" in said.out
    assert "epochs" in said.out
    assert "update" not in said.out.replace("more updates", "")
