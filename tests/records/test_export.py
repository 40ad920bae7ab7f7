"""A run as a table, there and back."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import InputError
from surefoot.records import Curve, RunLog, read, save_log

CURVES = st.dictionaries(
    st.text("abc d,\"/é'", min_size=1, max_size=8).filter(lambda text: text == text.strip()),
    st.dictionaries(st.integers(0, 10**9), st.floats(width=64), min_size=1, max_size=20),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(curves=CURVES)
def test_what_is_saved_as_csv_is_read_again(curves, tmp_path_factory):
    log = RunLog("x", {name: Curve(sorted(each), [each[k] for k in sorted(each)])
                       for name, each in curves.items()})  # fmt: skip
    again = read(save_log(log, tmp_path_factory.mktemp("export") / "log.csv"))
    assert {name: again[name] for name in log.names} == dict(log.curves)


def test_parquet_has_nulls_where_a_curve_has_no_value(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    log = RunLog("x", {"loss": Curve([0, 1, 2], [3, math.nan, 1]), "val": Curve([1], [2])})
    table = parquet.read_table(save_log(log, tmp_path / "log.parquet"))
    assert table.column_names == ["step", "loss", "val"]
    assert table["step"].to_pylist() == [0, 1, 2]
    assert table["val"].to_pylist() == [None, 2.0, None]
    assert math.isnan(table["loss"].to_pylist()[1])


@pytest.mark.parametrize(
    ("log", "name", "said"),
    [
        (RunLog("x", {"a": Curve([0], [1])}), "log.txt", "must end in .csv or .parquet"),
        (RunLog("x", {"a": Curve([], [])}), "log.csv", "is empty"),
        (RunLog("x", {"a": Curve([0], [1])}), "file/log.csv", "cannot be written"),
    ],
)
def test_what_cannot_be_saved_is_told(log, name, said, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=said):
        save_log(log, tmp_path / name)


def test_a_run_is_cut_and_thinned():
    values = np.arange(10_000.0)
    values[5000] = 1e9
    log = RunLog("x", {"loss": Curve(np.arange(10_000), values), "lr": Curve([5], [1.0])})
    part = log[100:200]
    assert part["loss"].steps.tolist() == list(range(100, 200))
    assert len(part["lr"]) == 0
    assert log[9_990:]["loss"].values.tolist() == list(range(9_990, 10_000))
    thin = log.thin(100)
    assert 50 <= len(thin["loss"]) <= 110
    assert 1e9 in thin["loss"].values
    with pytest.raises(InputError, match="a start and a stop only"):
        log[::2]


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=300), points=st.integers(1, 100))
def test_thinning_keeps_ends_extremes_and_what_is_not_finite(values, points):
    curve = Curve(range(len(values)), values)
    thin = curve.thin(points)
    assert len(thin) <= max(1.5 * points + 5, points)
    assert {thin.steps[0], thin.steps[-1]} == {0, len(values) - 1}
    kept = dict(zip(thin.steps.tolist(), thin.values.tolist(), strict=True))
    assert all(kept[step] == values[int(step)] or math.isnan(kept[step]) for step in kept)
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        assert {min(finite), max(finite)} <= set(kept.values())
    assert any(map(math.isnan, values)) <= any(not math.isfinite(v) for v in kept.values())
