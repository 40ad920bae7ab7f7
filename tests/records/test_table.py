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


def shown(table, width=100, **options):
    stream = io.StringIO()
    Console(file=stream, width=width, **options).print(table)
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


# ---------------------------------------------------------------- errors, and narrow terminals

ERROR = "RuntimeError: mat1 and mat2 shapes\n  cannot be multiplied (4x10 and 16x10)"
ONE_LINE = "RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x10 and 16x10)"
NAMES = ["batch_size", "kind", "best lr", "low", "high", "loss", "basin low", "basin high"]
WIDE = Table(
    [*NAMES, "diverges at", "error"],
    [
        [8, "SGD", 0.031234, 0.012345, 0.1, 0.81234, 0.031234, 0.0612, 1.0, ""],
        [16, "SGD", 0.061234, 0.022345, 0.2, 0.82345, 0.061234, 0.1212, 2.0, "interrupted"],
        [32, "SGD", *[None] * 7, ERROR],
        [64, "SGD", *[None] * 7, ERROR],
    ],
    best=0,
    bad=[2, 3],
)


def test_errors_stand_below_each_once_and_on_one_line():
    *rows, first, second = str(WIDE).splitlines()
    assert rows[0].split()[-2:] == ["diverges", "at"]
    assert [row.split()[-1] for row in rows[1:]] == ["★", "[1]", "[2]", "[2]"]
    assert [first, second] == ["[1] interrupted", f"[2] {ONE_LINE}"]
    assert f"<td>{ONE_LINE}</td>" in WIDE._repr_html_()
    assert pd.read_csv(io.StringIO(WIDE.to_csv()))["error"].iloc[-1] == ERROR


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_terminal_breaks_no_number_and_no_error_into_syllables(width):
    lines = shown(WIDE, width).splitlines()
    assert max(map(len, lines)) <= width
    rule = next(i for i, line in enumerate(lines) if "───" in line)
    best, other, *_ = lines[rule + 1 :]
    assert best.split()[:3] == ["8", "SGD", "0.03123"]
    assert best.split()[-1] == "★"
    assert other.split()[-1] == "[1]"
    assert [line.split()[0] for line in lines[rule + 1 : rule + 5]] == ["8", "16", "32", "64"]
    notes = lines[next(i for i, line in enumerate(lines) if line.startswith("[1]")) :]
    assert " ".join(" ".join(notes).split()) == f"[1] interrupted [2] {ONE_LINE}"
    assert len(notes) <= 2 + 90 // width


@pytest.mark.parametrize(("width", "left_out"), [(60, "diverges at"), (120, None)])
def test_columns_without_room_are_named(width, left_out):
    text = " ".join(shown(WIDE, width).split())
    assert ("No room for" in text) == (left_out is not None)
    assert left_out is None or f"{left_out}." in text


def test_headings_wrap_before_columns_drop_out():
    wide, narrow = shown(WIDE, 120), shown(WIDE, 80)
    assert "basin high" in wide
    assert "basin high" not in narrow
    assert "No room" not in narrow


def test_long_words_are_folded_between_words():
    words = "stochastic gradient descent and momentum"
    table = Table(["optimizer", *NAMES[2:]], [[words, *[0.123456] * 6]])
    text = shown(table, 70)
    assert "stochastic" in text
    assert "momentum" in text
    assert text.count("0.1235") == 6
    assert shown(Table(["lr", "error"], []), 40).split()[0] == "lr"
