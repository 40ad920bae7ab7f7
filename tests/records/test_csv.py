import math
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.errors import LogError
from surefoot.records import Curve, RunLog, read


def log_of(folder: Path, text: str | bytes, name: str = "log.csv"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path)


def test_columns_become_curves(tmp_path):
    log = log_of(tmp_path, "step,train_loss,accuracy\n0,2.5,0.1\n10,1e-1,nan\n20,-inf,+Infinity\n")
    assert log.name == "log"
    assert log.names == ("loss", "accuracy")
    assert log["loss"] == Curve([0, 10, 20], [2.5, 0.1, -math.inf])
    assert log["accuracy"] == Curve([0, 10, 20], [0.1, math.nan, math.inf])
    assert log.tags == {"names": {"loss": "train_loss"}}
    assert log.notes == ()
    assert log.source == str(tmp_path / "log.csv")


def test_sparse_cells_as_lightning_writes_them(tmp_path):
    text = (
        "epoch,lr-SGD,step,train_loss_step,val_loss\n0,,0,2.0,\n,0.1,0,,\n0,,1,1.5,\n0, ,1,,1.75\n"
    )
    log = log_of(tmp_path, text, "metrics.csv")
    assert log.name == tmp_path.name
    assert log["loss"] == Curve([0, 1], [2, 1.5])
    assert log["validation_loss"] == Curve([1], [1.75])
    assert log["lr"] == Curve([0], [0.1])
    assert log["epoch"] == Curve([0, 1, 1], [0, 0, 0])
    assert read(tmp_path) == read(tmp_path, name=tmp_path.name)
    assert read(tmp_path)["loss"] == log["loss"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_line_ends_and_byte_order_marks(tmp_path, delimiter, end, mark):
    rows = [("step", "loss", "lr"), ("0", "1", "0.5"), ("1", "2", "0.25")]
    log = log_of(tmp_path, mark + end.join(delimiter.join(row) for row in rows) + end)
    assert log["loss"] == Curve([0, 1], [1, 2])
    assert log["lr"] == Curve([0, 1], [0.5, 0.25])


@pytest.mark.parametrize(
    ("header", "steps", "unit"),
    [
        ("step,x", [5, 7], None),
        ("global_step,x", [5, 7], None),
        ("trainer/global_step,x", [5, 7], None),
        ("Step,x", [5, 7], None),
        ("_step,x", [5, 7], None),
        ("iteration,x", [5, 7], None),
        ("epoch,x", [5, 7], "epoch"),
        ("time,x", [0, 1], "row"),
    ],
)
def test_the_step_column(tmp_path, header, steps, unit):
    log = log_of(tmp_path, f"{header}\n5,1\n7,2\n")
    assert log["x"] == Curve(steps, [1, 2])
    assert log.tags.get("step_unit") == unit
    assert len(log.notes) == (unit is not None)


def test_a_step_column_is_chosen_before_an_epoch(tmp_path):
    log = log_of(tmp_path, "epoch,batch,loss\n0,3,1\n0,4,2\n")
    assert log["loss"] == Curve([3, 4], [1, 2])


def test_what_is_left_out_is_noted(tmp_path):
    text = "step,loss,remark,size,empty\n0,1,good,1_000,\n,2,,,\n1,3,bad,2,\n"
    log = log_of(tmp_path, text)
    assert log.names == ("loss",)
    assert log["loss"] == Curve([0, 1], [1, 3])
    assert log.notes == (
        "Lines without a step were left out: 1.",
        "The column 'remark' is left out: it holds text, such as 'good'.",
        "The column 'size' is left out: it holds text, such as '1_000'.",
    )


def test_cells_that_say_there_is_no_number_are_passed_over(tmp_path):
    text = "step,loss,validation_loss\n0,1,None\n1,N/A,2\n2,3,-\n3,nan,null\n"
    log = log_of(tmp_path, text)
    assert log["validation_loss"] == Curve([1], [2])
    assert log["loss"].steps.tolist() == [0, 2, 3]
    assert math.isnan(log["loss"].values[-1])
    assert not log.notes


def test_names_that_occur_again_are_numbered(tmp_path):
    log = log_of(tmp_path, "step,loss,loss,loss-2,,\n0,1,2,3,4,5\n")
    values = {name: curve.values[0] for name, curve in log.curves.items()}
    assert values == {"loss": 1, "loss-3": 2, "loss-2": 3, "column 5": 4, "column 6": 5}


def test_quotes_empty_lines_and_a_cut_off_end(tmp_path):
    log = log_of(tmp_path, 'step,"a, b",loss\n\n0,"1",2\n,,\n1,3,4\n2,5')
    assert log["a, b"] == Curve([0, 1], [1, 3])
    assert log.notes == ("The last line is incomplete and was left out.",)
    assert len(log_of(tmp_path, "step,loss\n0,1\n1,2")["loss"]) == 2


def test_a_header_alone_is_a_run_that_has_just_begun(tmp_path):
    assert len(log_of(tmp_path, "step,loss\n")) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 200_000 + ",y\n", "is no CSV: line 1: field larger"),
        ("", r"log.csv is empty; a log is a Surefoot run \(run.sqlite\), a TensorBoard"),
        ("\n\n", "begins with an empty line; a CSV begins with a header"),
        ("0,1\n1,2\n", "has no header: its first line is '0,1'. Put the names"),
        ("step,loss\n0,1\n0\n1,2\n", "line 3 has 1 cells, the header has 2. Mend that line"),
        ("step,loss\n0,1,2\n", "line 2 has 3 cells"),
        ("step,loss\n0,1\nsoon,2\n", "line 3: the step 'soon' is no number"),
        ("step,loss\nnan,2\n", "line 2: the step 'nan' is no number"),
        ("step,remark\n0,good\n", "has no column of numbers beside the step: step, remark"),
        ('step,loss\n0,"1"2\n', "is no CSV: line 2"),
        ('step,loss\n0,"1\n', "is no CSV: line 2"),
        ("step,loss\n0,\0\n", "is no text: line 2 holds zero bytes"),
        (b"\x01\x02\x03", "is no text. Give a CSV file in UTF-8"),
        ("step,loss\n0,1\n".encode("utf-16"), "is no text"),
        ("step,loss\n0," + "9" * 200_000 + "\n", "is no CSV: line 2: field larger"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(LogError, match=message):
        log_of(tmp_path, text)


def test_bytes_that_are_no_utf8_are_replaced(tmp_path):
    assert log_of(tmp_path, b"step,gr\xf6\xdfe\n0,1\n").names == ("gr\ufffd\ufffde",)


NAME = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@given(
    names=st.lists(NAME.map(lambda name: f"x{name}x"), min_size=1, max_size=4, unique=True),
    rows=st.lists(st.lists(st.floats() | st.none(), min_size=4, max_size=4), max_size=6),
    delimiter=st.sampled_from(",;\t"),
)
def test_what_csv_writes_is_read(names, rows, delimiter):
    import csv

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter=delimiter)
            writer.writerow(["step", *names])
            for step, row in enumerate(rows):
                writer.writerow(
                    [step, *["" if cell is None else cell for cell in row[: len(names)]]]
                )
        if any(mark in name for name in names for mark in ",;"):
            return  # which delimiter is meant is then a guess
        log = read(path)
    for at, name in enumerate(names):
        points = [(step, row[at]) for step, row in enumerate(rows) if row[at] is not None]
        curve = Curve(*zip(*points, strict=True)) if points else None
        assert log.get(name) == curve


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200)
    | st.text(st.sampled_from('step,;"\n\r01.\t x'), max_size=60).map(str.encode)
)
def test_any_bytes_raise_nothing_else(data):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("log.csv", "log"):
            with suppress(LogError):
                assert isinstance(log_of(Path(folder), data, name), RunLog)


def test_a_name_that_occurs_often_is_numbered_without_counting_anew(tmp_path):
    columns = 4_000
    file = tmp_path / "log.csv"
    file.write_text("step," + ",".join(["x"] * columns) + "\n0" + ",1" * columns + "\n")
    started = time.process_time()
    log = read(file)
    assert log.names[-1] == f"x-{columns}"
    assert time.process_time() - started < 1.0  # counting anew each time takes the square of it
