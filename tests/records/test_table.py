"""A table holds plain values; each view writes them in its own way."""

import io
import json
import math
import subprocess
import sys

import pandas as pd
import pytest
from rich.console import Console

from surefoot import InputError
from surefoot.records import Basin, Cost, Member, Point, Sensitivity, Table

ROWS = [[0.001, 0.5, 3, "x"], [0.1, 1 / 3, 3, ""], [10.0, math.inf, 3, "a <b> [red]"]]
TABLE = Table(["lr", "loss", "seeds", "note"], ROWS, "digits", best=1, bad=[2])


def shown(table, **options):
    stream = io.StringIO()
    Console(file=stream, width=100, **options).print(table)
    return stream.getvalue()


def test_plain_text_is_aligned_and_marks_the_best():
    assert str(TABLE).splitlines() == [
        "digits",
        "   lr    loss  seeds  note",
        "0.001     0.5      3  x",
        "  0.1  0.3333      3               ★",
        "   10     inf      3  a <b> [red]",
    ]
    assert str(Table(["a", "b"], [])) == "a  b"


def test_csv_keeps_every_digit():
    frame = pd.read_csv(io.StringIO(TABLE.to_csv()), keep_default_na=False)
    assert frame.to_numpy().tolist() == ROWS


def test_json_is_a_list_of_rows():
    rows = json.loads(TABLE.to_json())
    assert rows[1] == {"lr": 0.1, "loss": 1 / 3, "seeds": 3, "note": ""}
    assert rows[2]["loss"] is None


def test_a_frame_of_pandas_holds_numbers():
    frame = TABLE.to_pandas()
    assert list(frame.columns) == ["lr", "loss", "seeds", "note"]
    assert frame["loss"].dtype == float
    assert frame["seeds"].sum() == 9
    assert Table(["lr"], []).to_pandas().empty


def test_the_terminal_shows_the_best_in_green_and_the_bad_in_red():
    coloured = shown(TABLE, force_terminal=True, color_system="standard").splitlines()
    best, bad = coloured[-3], coloured[-2]
    assert "\x1b[1;32m" in best
    assert "★" in best
    assert "\x1b[31m" in bad
    assert "a <b> [red]" in shown(TABLE)


def test_html_is_escaped():
    page = TABLE._repr_html_()
    assert "<td>a &lt;b&gt; [red]</td>" in page
    assert page.count("<tr") == 4
    assert page.count("style=") == 2


def test_a_row_of_another_length_is_refused():
    with pytest.raises(InputError, match="rows must have a value for each of the 2 columns"):
        Table(["lr", "loss"], [[0.1]])


def test_without_pandas_it_says_what_to_install():
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from surefoot.records import Table; from surefoot.errors import MissingExtraError\n"
        "try: Table(['a'], [[1]]).to_pandas()\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install pandas" in done.stdout


def test_a_rate_that_failed_says_why_in_a_column_of_its_own():
    good, lost = Point(0.1, 1.0, 1.0, 1.0, 1, 0), Point(1.0, math.nan, math.nan, math.nan, 0, 0, 2)
    failed = [Member(1.0, seed, math.inf, False, error="ValueError: no") for seed in (0, 1)]
    cost = Cost(1, 1.0, 1.0)
    basin = Basin(0.1, 0.1, 0.1)
    result = Sensitivity(
        (good, lost),
        good,
        basin,
        None,
        2.0,
        "loss",
        "",
        cost,
        (Member(0.1, 0, 1.0, False), *failed),
    )
    table = result.table()
    assert table.columns[-1] == "error"
    assert [row[-1] for row in table.rows] == ["", "ValueError: no"]
    assert (table.best, table.bad) == (0, (1,))
