"""One self-contained HTML file: what is in it, what is not, and what a browser makes of it."""

import dataclasses
import html
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from surefoot._report import Section, Table, report, write_report
from surefoot.errors import InputError, LogError
from surefoot.plots import figure, learning_curves
from surefoot.records import (
    Basin,
    Cell,
    Cost,
    Curve,
    Diagnosis,
    Engine,
    Finding,
    Interaction,
    Optimum,
    Point,
    RunWriter,
    Sensitivity,
)

HOSTILE = "<script>alert(1)</script> \"'&<!-- </style>"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def loss(rate=0.02, updates=200):
    t = np.arange(updates)
    return Curve(t, 2.0 * np.exp(-rate * t) + 0.3 + 0.05 * np.sin(7.0 * t))


def a_sensitivity():
    points = tuple(
        Point(lr, value, value, value, 1, int(math.isinf(value)))
        for lr, value in ((0.01, 2.0), (0.1, 1.0), (1.0, math.inf))
    )
    cost = Cost(300, 2.0, 3.0)
    basin = Basin(0.05, 0.2, 0.1)
    return Sensitivity(
        points, points[1], basin, 1.0, 2.3, "training loss", "Best at 0.1.", cost, name="mlp"
    )


def a_finding():
    cost = Cost(100, 1.0, 0.5)
    sweep = Curve([1e-4, 1e-3, 0.01, 0.1, 1.0], [2.3, 2.2, 1.5, 1.0, 9.0])
    return Finding(
        0.05, 0.02, 0.1, "measured", "It was the best.", cost, 1.0, sweep=sweep, name="mlp"
    )


def write_run(folder, curve, lr=0.1):
    with RunWriter(folder) as writer:
        writer.add_many("loss", curve.steps, curve.values)
        writer.add_many("lr", curve.steps, np.full(len(curve), lr))


def judge(log):
    return Diagnosis(log.name, (), reason=f"{log.name} was judged.")


class Page(HTMLParser):
    """Collects the attributes, the scripts and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.attributes, self.scripts, self.words, self.inside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "br"):
            self.inside.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside and self.inside[-1] == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif not self.inside or self.inside[-1] != "style":
            self.words.append(data)

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


def page_of(path):
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def hostile_page(tmp_path):
    data = learning_curves({HOSTILE: loss(), "other": loss(0.01)}, title=HOSTILE, caption=HOSTILE)
    table = Table((HOSTILE, "loss"), ((HOSTILE, "1.5"), ("b", "-2")))
    sections = [Section(HOSTILE, HOSTILE, data, table, (HOSTILE,)), Section("plain")]
    return write_report(tmp_path / "new" / "report.html", HOSTILE, sections, HOSTILE)


# ---------------------------------------------------------------- the file


def test_every_text_is_escaped(hostile_page):
    page = page_of(hostile_page)
    assert len(page.scripts) == 3  # one figure, Plotly, and what draws
    assert not [
        script for _, script in page.scripts if "alert(1)" in script and "<script" in script
    ]
    shown = "".join(page.words)
    assert shown.count(HOSTILE) == 8  # title twice, summary, heading, caption, table twice, note
    assert HOSTILE in page.values("aria-label")[0]


def test_figure_data_is_json_that_cannot_end_its_element(hostile_page):
    (attributes, data), *_ = page_of(hostile_page).scripts
    assert attributes["type"] == "application/json"
    assert "<" not in data
    spec = json.loads(data)
    assert spec["data"][0]["name"].startswith(html.escape(HOSTILE, quote=False))


def test_nothing_is_fetched(hostile_page):
    page = page_of(hostile_page)
    links = page.values("src") + page.values("href") + page.values("srcset")
    assert set(links) <= {"data:,"}
    text = hostile_page.read_text(encoding="utf-8")
    own = text.replace(max((script for _, script in page.scripts), key=len), "")
    assert not re.findall(r"https?://|@import|url\(", own)


def test_the_policy_allows_its_own_scripts_only(hostile_page):
    page = page_of(hostile_page)
    (policy,) = [value for value in page.values("content") if "default-src" in value]
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    (scripts,) = re.findall(r"script-src ([^;]*);", policy)
    assert "unsafe" not in scripts
    assert "http" not in policy


def test_plotly_is_in_the_file_once(tmp_path):
    sections = [Section(f"{k}", "", figure(loss(), name="loss")) for k in range(3)]
    path = write_report(tmp_path / "r.html", "t", sections)
    assert path.read_text(encoding="utf-8").count("plotly.js v") == 1
    assert path.stat().st_size < 7_000_000


def test_without_figures_there_is_no_script(tmp_path):
    path = write_report(tmp_path / "r.html", "t", [Section("a", "b")])
    assert page_of(path).scripts == []
    assert path.stat().st_size < 10_000
    assert "script-src 'none'" in path.read_text(encoding="utf-8")


def test_each_figure_has_its_sentence_and_its_label(tmp_path):
    data = figure(a_sensitivity())
    path = write_report(tmp_path / "r.html", "t", [Section("U", "Look here.", data)])
    text = path.read_text(encoding="utf-8")
    assert "<figcaption>Look here.</figcaption>" in text
    assert 'role="img" aria-label="Loss against learning rate: mlp. Look here."' in text


def test_numbers_of_a_table_stand_at_the_right(tmp_path):
    table = Table(("run", "loss"), (("a", "1.5e-3"), ("b", "–")))
    text = write_report(tmp_path / "r.html", "t", [Section("a", table=table)]).read_text("utf-8")
    assert '<td>a</td><td class="number">1.5e-3</td>' in text
    with pytest.raises(InputError, match="1 cells, not 2"):
        Table(("run", "loss"), (("a",),))


def test_an_old_file_is_replaced_whole(tmp_path):
    path = tmp_path / "r.html"
    path.write_text("old")
    write_report(path, "new", [])
    assert "<h1>new</h1>" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "file" / "r.html", "t", [])
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "folder", "t", [])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


# ---------------------------------------------------------------- the verb


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "runs"
    write_run(root / "a" / "good", loss())
    write_run(root / "b", loss(0.001), lr=0.001)
    (root / "find.json").write_text(a_finding().to_json(), encoding="utf-8")
    (root / "sweep.json").write_text(a_sensitivity().to_json(indent=2), encoding="utf-8")
    (root / "other.json").write_text('{"surefoot": 1}', encoding="utf-8")
    (root / "list.json").write_text("[1, 2]", encoding="utf-8")
    return root


def test_a_report_holds_what_lies_below(folder, tmp_path):
    path = report(folder, tmp_path / "out" / "r.html", diagnose=judge)
    page = page_of(path)
    words = " ".join(page.words)
    for said in (
        "Report: runs",
        "2 runs, 2 of them healthy.",
        "Learning rate found for mlp: 0.05",
        "It was the best.",
        "Best at 0.1.",
        "Runs compared",
        "a/good: healthy",
        "good was judged.",
    ):
        assert said in words
    assert len(page.values("data-figure")) == 5
    assert "Notes" not in words


def test_an_interaction_and_the_fit_of_a_sweep_are_shown(tmp_path):
    fitted = dataclasses.replace(
        a_sensitivity(),
        optimum=Optimum(0.12, 0.09, 0.2, 0.9),
        engine=Engine("loop", "Nothing else was asked for."),
    )
    failed = dataclasses.replace(fitted.points[0], failed=2)
    fitted = dataclasses.replace(fitted, points=(failed, *fitted.points[1:]))
    cells = tuple(Cell({"batch": size}, fitted) for size in (8, 16))
    result = Interaction(("batch",), cells, "It does not move.", Cost(5, 1.0, 2.0), "mlp")
    (tmp_path / "sweep.json").write_text(fitted.to_json(), encoding="utf-8")
    (tmp_path / "over.json").write_text(result.to_json(), encoding="utf-8")
    page = page_of(report(tmp_path, tmp_path / "r.html"))
    words = " ".join(page.words)
    for said in (
        "Best rate of the sweep for mlp: 0.12 (0.09 … 0.2).",
        "Best rate by batch for mlp",
        "It does not move. It cost 5 updates",
        "Run by loop: Nothing else was asked for.",
        "0 of 1, 2 raised an exception",
    ):
        assert said in words
    assert len(page.values("data-figure")) == 2


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(True, False, "≤ 0.2"), (False, True, "≥ 0.09")],
)
def test_an_optimum_beyond_the_grid_is_at_least_or_at_most(tmp_path, low, high, said):
    fit = Optimum(0.12, 0.09, 0.2, 0.9, open_low=low, open_high=high)
    basin = Basin(0.05, 0.3, 0.1, open_low=low, open_high=high)
    fitted = dataclasses.replace(a_sensitivity(), optimum=fit, basin=basin)
    cells = (Cell({"batch": 8}, fitted),)
    result = Interaction(("batch",), cells, "Why.", Cost(5, 1.0, 2.0), "mlp")
    (tmp_path / "sweep.json").write_text(fitted.to_json(), encoding="utf-8")
    (tmp_path / "over.json").write_text(result.to_json(), encoding="utf-8")
    written = report(tmp_path, tmp_path / "r.html")
    page = page_of(written)
    assert f"Best rate of the sweep for mlp: {said}." in " ".join(page.words)
    assert said in page.words
    assert f'<td class="number">{said}</td>' in written.read_text(encoding="utf-8")
    assert ("≤ 0.05 … 0.3" if low else "0.05 … ≥ 0.3") in page.words


@pytest.mark.parametrize(("index", "said"), [(0, "≤ 0.01"), (1, "0.1"), (2, "≥ 1")])
def test_the_best_of_the_grid_at_its_end_is_at_least_or_at_most(tmp_path, index, said):
    found = a_sensitivity()
    found = dataclasses.replace(found, best=found.points[index])
    path = tmp_path / "sweep.json"
    path.write_text(found.to_json(), encoding="utf-8")
    page = page_of(report(path, tmp_path / "r.html"))
    assert f"Best rate of the sweep for mlp: {said}." in " ".join(page.words)


def test_the_title_can_be_chosen(folder, tmp_path):
    text = report(folder, tmp_path / "r.html", title="Mine", diagnose=judge).read_text("utf-8")
    assert "<title>Mine</title>" in text


def test_what_is_broken_is_noted(folder, tmp_path):
    (folder / "c").mkdir()
    (folder / "c" / "run.sqlite").write_text("garbage")
    (folder / "cut.json").write_text('{"surefoot": "Finding", "lr": 1', encoding="utf-8")
    (folder / "odd.json").write_text('{"surefoot": "Sensitivity", "points": 3}', encoding="utf-8")
    bad = a_sensitivity().to_json().replace('"points": [', '"points": [], "ignored": [', 1)
    (folder / "none.json").write_text(bad, encoding="utf-8")
    text = " ".join(page_of(report(folder, tmp_path / "r.html", diagnose=judge)).words)
    for name in ("c", "cut", "odd", "none"):
        assert f"{name} was left out: " in text
    assert "2 runs" in text


def test_a_run_that_cannot_be_diagnosed_is_still_shown(folder, tmp_path):
    def refuse(log):
        raise LogError("No.")

    text = " ".join(page_of(report(folder, tmp_path / "r.html", diagnose=refuse)).words)
    assert "a/good could not be diagnosed: No." in text


def test_one_document_and_one_run_can_be_reported(folder, tmp_path):
    one = page_of(report(folder / "find.json", tmp_path / "1.html"))
    assert len(one.values("data-figure")) == 1
    two = page_of(report(folder / "b", tmp_path / "2.html", diagnose=judge))
    assert len(two.values("data-figure")) == 1


def test_the_diagnosis_of_the_library_is_used(folder, tmp_path):
    words = " ".join(page_of(report(folder, tmp_path / "r.html")).words)
    assert "2 runs" in words


def test_nothing_to_report_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LogError, match=r"nothing to report in .*run\.sqlite.*CSV.*JSON"):
        report(tmp_path / "empty", tmp_path / "r.html")
    with pytest.raises(LogError, match="does not exist"):
        report(tmp_path / "missing", tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


# ---------------------------------------------------------------- the browser


def browse(path, folder, *options):
    """Return the page after its scripts ran, and what they complained about."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder}",
        "--enable-logging=stderr",
        "--v=0",
        "--virtual-time-budget=4000",
        *options,
        "--dump-dom",
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("size", ["1200,900", "500,900"])
def test_a_browser_draws_every_figure(folder, hostile_page, tmp_path, size):
    path = report(folder, tmp_path / "r.html", diagnose=judge)
    for page, figures in ((path, 5), (hostile_page, 1)):
        dom, complaints = browse(page, tmp_path / "profile", f"--window-size={size}")
        assert complaints == []
        assert len(re.findall(r'class="chart[^"]*js-plotly-plot', dom)) == figures
        assert len(re.findall(r'<g class="trace scatter', dom)) >= 2 * figures
        assert "<script>alert" not in dom


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_script_that_slips_in_does_not_run(tmp_path):
    path = write_report(tmp_path / "r.html", "t", [Section("a", "", figure(loss(), name="x"))])
    text = path.read_text(encoding="utf-8")
    slipped = "<script>document.title = 'taken'</script></body>"
    path.write_text(text.replace("</body>", slipped), encoding="utf-8")
    dom, complaints = browse(path, tmp_path / "profile")
    assert "<title>t</title>" in dom
    assert any("Content Security Policy" in line for line in complaints)


def test_runs_of_other_tools_are_reported(tmp_path):
    (tmp_path / "log.csv").write_text(
        "step,train/loss\n" + "\n".join(f"{k},{2 - k / 100}" for k in range(100))
    )
    path = report(tmp_path, tmp_path / "r.html", diagnose=judge)
    assert "log.csv: healthy" in " ".join(page_of(path).words)
