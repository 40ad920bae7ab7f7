"""The demo tells the whole story on real data, and its report opens in a real browser."""

import json
import re
import shutil
import subprocess

import pytest

from surefoot._cli.main import run
from surefoot.records import Finding, Sensitivity

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=8000",
    "--dump-dom",
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return the folder of one demo and the document that it printed."""
    folder = tmp_path_factory.mktemp("demo") / "surefoot-demo"
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("typer.echo", printed.append)
        with pytest.raises(SystemExit) as end:
            run(["demo", "--to", str(folder), "--json"])
    assert not end.value.code
    return folder, json.loads(printed[-1])


def test_the_sweep_is_a_u_with_a_bottom_and_an_edge(demo):
    folder, document = demo
    curve = Sensitivity.from_json((folder / "sensitivity.json").read_text())
    assert len(curve.points) >= 13
    assert (curve.points[0].lr, curve.points[-1].lr) == (1e-6, 10.0)
    losses = [point.loss for point in curve.points]
    assert losses[0] > 5 * curve.best.loss
    assert losses[-1] > 5 * curve.best.loss
    assert curve.basin.low < curve.best.lr <= curve.basin.high < curve.diverges_at
    assert document["sweep"]["best_lr"] == curve.best.lr


def test_find_is_cheap_and_its_regret_is_told(demo):
    folder, document = demo
    Finding.from_json((folder / "finding.json").read_text())
    quick, thorough = document["find"]["quick"], document["find"]["thorough"]
    assert quick["trainings"] <= 0.5
    assert thorough["trainings"] <= 3.0
    for each in (quick, thorough):
        best = document["sweep"]["best_loss"]
        assert each["source"] == "measured"
        assert each["regret"] == pytest.approx(each["loss"] / best - 1)
        assert each["regret"] < 0.5


def test_each_of_the_four_rates_is_named_from_its_record_alone(demo):
    _, document = demo
    named = {
        run["label"]: [v["direction"] for v in run["verdicts"]] for run in document["diagnose"]
    }
    assert named == {"low": ["raise"], "good": [], "high": ["lower"], "very high": ["lower"]}


def test_the_records_can_be_diagnosed_again(demo):
    folder, document = demo
    import surefoot as sf

    again = {d.run: d.label for d in sf.diagnose(folder / "runs")}
    assert again["low"] == "learning rate too low"
    assert again["very-high"] in ("learning rate too high", "diverged")
    assert len(again) == 6
    assert {plan["label"] for plan in document["schedule"]} == {"fixed", "warm-up + cosine"}


def test_a_second_demo_replaces_the_first_and_no_other_folder(demo, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SystemExit) as end:
        run(["demo", "--to", str(tmp_path)])
    assert end.value.code == 2
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_report_opens_without_an_error_and_without_the_network(demo, tmp_path):
    folder, _ = demo
    page = folder / "report.html"
    opened = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", page.as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert opened.stdout.count("js-plotly-plot") >= 4
    assert "CONSOLE" not in opened.stderr
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']https?:""", text)
