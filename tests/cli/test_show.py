"""``surefoot show``: what a log holds, as it is understood."""

import json

import pytest

from surefoot.records import RunWriter


@pytest.fixture
def odd(tmp_path):
    file = tmp_path / "odd.csv"
    lines = [f"{n},{2 - n / 100},0.1,{'x' if n == 3 else n}" for n in range(100)]
    file.write_text("\n".join(["step,my/odd objective,lr,words", *lines]))
    return file


def test_it_tells_curves_names_and_notes(surefoot, odd):
    done = surefoot("show", str(odd))
    assert done.code == 0
    for word in ("odd · 100 updates", "my/odd objective", "0 … 99", "1.01", "'words' is left out"):
        assert word in done.out


def test_map_says_what_is_what(surefoot, odd):
    done = surefoot("show", str(odd), "--map", "loss=my/odd objective", "--json")
    document = json.loads(done.out)
    assert document["tags"]["names"] == {"loss": "my/odd objective"}
    assert document["curves"]["loss"]["values"][0] == 2.0
    done = surefoot("diagnose", str(odd), "--map", "loss=my/odd objective", "--json")
    assert json.loads(done.out)["run"] == "odd"
    assert surefoot("diagnose", str(odd)).code == 2


@pytest.mark.parametrize(
    ("option", "said"),
    [("loss", "--map must be of the form"), ("loss=objective", "there is 'my/odd objective'")],
)
def test_a_map_that_leads_nowhere_is_refused(option, said, surefoot, odd):
    done = surefoot("show", str(odd), "--map", option)
    assert done.code == 2
    assert said in " ".join(done.err.split())


def test_a_folder_of_many_is_a_table_and_names_cannot_move_the_cursor(surefoot, tmp_path):
    for name in ("a", "b"):
        with RunWriter(tmp_path / "runs" / name) as writer:
            writer.add("loss", 0, 1.0)
            writer.add("evil\x1b[31m", 1, 2.0)
    done = surefoot("show", str(tmp_path / "runs"))
    assert done.code == 0
    assert "\x1b[31m" not in done.out
    assert "2 updates" in done.out
    assert len(json.loads(surefoot("show", str(tmp_path / "runs"), "--json").out)["runs"]) == 2


def test_it_saves_what_it_shows(surefoot, odd, tmp_path):
    done = surefoot("show", str(odd), "-o", str(tmp_path / "log.png"))
    assert done.code == 0
    assert (tmp_path / "log.png").stat().st_size > 1000
