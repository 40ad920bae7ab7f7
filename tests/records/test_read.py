import os
import random
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.errors import InputError, LogError
from surefoot.records import Curve, RunWriter, find_runs, read
from surefoot.records.readers import _surefoot


def make(folder: Path, values: int = 3) -> Path:
    with RunWriter(folder) as writer:
        writer.add_many("loss", range(values), range(values))
    return writer.path


def edit(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "run.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_every_way_to_name_a_run(tmp_path, monkeypatch):
    folder = make(tmp_path / "digits")
    copied = tmp_path / "copied"
    copied.write_bytes((folder / "run.sqlite").read_bytes())
    for path in (folder, str(folder), folder / "run.sqlite", copied):
        assert read(path)["loss"] == Curve(range(3), range(3))
        assert read(path).source == str(path)
    assert [read(path).name for path in (folder, folder / "run.sqlite", copied)] == [
        "digits",
        "digits",
        "copied",
    ]
    assert read(folder, name="mine").name == "mine"
    monkeypatch.chdir(folder)
    assert read(".").name == "digits"
    assert read("run.sqlite").name == "digits"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.bin", b"\0\1\2", "is of no kind that Surefoot reads; a log is a Surefoot run"),
        ("a.txt", b"hello world", "is of no kind"),
        ("empty", b"", "is empty; a log is"),
        ("a.pkl", b"\x80\x04\x95", "is of no kind"),
        (
            "run.sqlite",
            b"no database at all" * 100,
            "cannot be read as a Surefoot run: file is not a database",
        ),
        ("x.db", b"SQLite format 3\0" + b"x" * 1000, "cannot be read as a Surefoot run"),
    ],
)
def test_foreign_files(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LogError, match=message) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_and_unreachable_paths(tmp_path):
    with pytest.raises(
        LogError, match=r"none does not exist; a log is a Surefoot run \(run.sqlite\)"
    ):
        read(tmp_path / "none")
    with pytest.raises(LogError, match="is out of reach"):
        read("a\0b")
    with pytest.raises(LogError, match="neither a folder nor a file"):
        read(os.devnull)
    with pytest.raises(InputError, match="path must be text or a Path, not 3"):
        read(3)


def test_a_folder_without_a_log_says_what_was_looked_for(tmp_path):
    with pytest.raises(LogError, match=r"is not the folder of one run. Looked for a Surefoot run"):
        read(tmp_path)
    first, _ = make(tmp_path / "a"), make(tmp_path / "b")
    with pytest.raises(LogError, match=f"It holds 2 below: read one of them, such as {first}"):
        read(tmp_path)


def test_a_file_that_goes_away_while_it_is_read(tmp_path, monkeypatch):
    (tmp_path / "log.csv").write_text("step,loss\n0,1\n")

    def gone(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("surefoot.records._open.read_csv", gone)
    with pytest.raises(LogError, match=r"log.csv cannot be read: Permission denied"):
        read(tmp_path / "log.csv")


def test_an_empty_database(tmp_path, monkeypatch):
    monkeypatch.setattr(_surefoot, "_PAUSE", 0)
    (tmp_path / "run.sqlite").touch()
    with pytest.raises(LogError, match="is an empty run: the training that began it stopped"):
        read(tmp_path)


def test_a_run_that_is_just_beginning_is_waited_for(tmp_path):
    (tmp_path / "run.sqlite").touch()
    begin = threading.Timer(0.06, lambda: [(tmp_path / "run.sqlite").unlink(), make(tmp_path)])
    begin.start()
    early = read(tmp_path)  # whatever is there by then, but no error
    begin.join()
    assert early.names in ((), ("loss",))
    assert len(read(tmp_path)["loss"]) == 3


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["PRAGMA application_id = 7"], "of another program, not a Surefoot run"),
        (
            ["PRAGMA user_version = 2"],
            "has format 2; this Surefoot reads formats up to 1: update Surefoot",
        ),
        (["PRAGMA user_version = 0"], "its tables are not those of a Surefoot run"),
        (["DROP TABLE tags"], "its tables are not those"),
        (["CREATE VIEW extra AS SELECT 1"], "its tables are not those"),
        (["UPDATE blocks SET count = 2"], "damaged: a row does not hold what it should"),
        (["UPDATE blocks SET steps = substr(steps, 2)"], "damaged: a row"),
        (["UPDATE blocks SET numbers = 'text'"], "damaged: a row"),
        (["UPDATE blocks SET count = 'x'"], "damaged: a row"),
        (["UPDATE blocks SET name = x'00'"], "damaged: a row"),
        (["INSERT INTO tags VALUES ('a', '{')"], "damaged: a row"),
        (["INSERT INTO tags VALUES (NULL, '1')"], "damaged: a row"),
        (["INSERT INTO tags VALUES ('a', x'31')"], "damaged: a row"),
        ([f"INSERT INTO tags VALUES ('a', '{'[' * 10**5}')"], "damaged: a row"),
        (
            ["INSERT INTO tags VALUES ('a', CAST(x'ff' AS TEXT))"],
            "cannot be read as a Surefoot run",
        ),
    ],
)
def test_damaged_runs(tmp_path, statements, message):
    edit(make(tmp_path), *statements)
    with pytest.raises(LogError, match=message):
        read(tmp_path)


def test_a_locked_run_is_tried_again(tmp_path, monkeypatch):
    make(tmp_path)
    connect, calls = _surefoot.connect, []

    def impatient(path, mode, *, timeout):
        calls.append(timeout)
        return connect(path, mode, timeout=0)

    monkeypatch.setattr(_surefoot, "connect", impatient)
    locker = sqlite3.connect(tmp_path / "run.sqlite", check_same_thread=False)
    locker.execute("BEGIN EXCLUSIVE")
    free = threading.Timer(0.06, locker.rollback)
    free.start()
    assert len(read(tmp_path)["loss"]) == 3
    assert len(calls) > 1
    free.join()
    locker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LogError, match="database is locked"):
        read(tmp_path)
    locker.close()


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_mutated_databases_raise_nothing_else(seed):
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), 200)
        path = Path(folder, "run.sqlite")
        data = bytearray(path.read_bytes())
        for _ in range(draw.randrange(1, 6)):
            kind, at = (
                draw.randrange(3),
                draw.choice([draw.randrange(110), draw.randrange(len(data))]),
            )
            if kind == 0:
                data[at] = draw.randrange(256)
            elif kind == 1:
                data[at : at + 4] = draw.randbytes(4)
            else:
                del data[draw.randrange(len(data)) :]
                data += bytes(200)
        path.write_bytes(data)
        with suppress(LogError):
            log = read(folder)
            assert sum(len(curve) for curve in log.curves.values()) <= len(data)


READ_ONLY = """
import os, sys
from surefoot.records import read
for path in sys.argv[1:]:
    len(read(path))  # loads every module
if not os.getuid():
    os.setgid(65534)
    os.setuid(65534)
for path in sys.argv[1:]:
    try:
        open(os.path.join(path, "probe"), "x")
    except PermissionError:
        pass
    else:
        raise SystemExit("this folder can be written to")
    print(len(read(path)["loss"]))
"""


def test_runs_in_read_only_folders(tmp_path_factory):
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        finished = make(root / "finished")
        wal = make(root / "wal")  # a WAL database whose log was merged, as a copy may be
        connection = sqlite3.connect(wal / "run.sqlite")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        writer = RunWriter(root / "source", flush_values=2)
        writer.add_many("loss", [0, 1, 2, 3], [0, 1, 2, 3])
        crashed = root / "crashed"
        crashed.mkdir()
        for name in ("run.sqlite", "run.sqlite-wal"):
            (crashed / name).write_bytes((writer.path / name).read_bytes())
        folders = [finished, wal, crashed]
        for folder in folders:
            folder.chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY, *map(str, folders)]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, text=True, check=True)
        writer.close()
        assert done.stdout.split() == ["3", "3", "4"]
    finally:
        for folder in root.iterdir():
            folder.chmod(0o755)
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        root.rmdir()


def test_a_copy_that_cannot_be_read_either(tmp_path, monkeypatch):
    def refuse(path, mode, *, timeout):
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    make(tmp_path)
    monkeypatch.setattr(_surefoot, "connect", refuse)
    with pytest.raises(LogError, match="unable to open database file"):
        read(tmp_path)


def test_a_copy_is_read_with_its_log(tmp_path):
    writer = RunWriter(tmp_path / "source", flush_values=1)
    writer.add("loss", 0, 1.0)
    assert len(_surefoot._read_copy(writer.path / "run.sqlite").curves["loss"]) == 1
    writer.close()
    assert len(_surefoot._read_copy(writer.path / "run.sqlite").curves["loss"]) == 1


LIVE = """
import sys, time
from surefoot.records import read
path, seen = sys.argv[1], 0
print("ready", flush=True)
while seen < 2000:
    curve = read(path).get("loss")
    size = 0 if curve is None else len(curve)
    assert size >= seen and size % 10 == 0, (size, seen)
    assert curve is None or curve.values.tolist() == [float(n) for n in range(size)]
    seen = size
print(seen)
"""


def test_another_process_reads_while_it_is_written(tmp_path):
    with RunWriter(tmp_path, flush_values=10, flush_seconds=60) as writer:
        command = [sys.executable, "-c", LIVE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout.readline() == "ready\n"
            for step in range(2000):
                writer.add("loss", step, step)
                if step % 100 == 0:
                    assert len(read(tmp_path).get("loss") or ()) == step // 10 * 10
            assert reader.stdout.readline() == "2000\n"
        assert reader.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run.sqlite"]


def test_find_runs(tmp_path):
    record = struct.pack("<Q", 0)
    runs = [
        make(tmp_path / "b"),
        make(tmp_path / "a" / "deep"),
        make(tmp_path / "a" / "deep" / "inner"),
    ]
    (tmp_path / "a" / "deep" / "export.csv").write_text("step,loss\n0,1\n")  # belongs to that run
    (tmp_path / "board" / "train").mkdir(parents=True)
    for folder in (tmp_path / "board", tmp_path / "board" / "train"):
        (folder / "events.out.tfevents.1.host").write_bytes(record)
        runs.append(folder)
    (tmp_path / "lightning").mkdir()
    (tmp_path / "lightning" / "metrics.csv").write_text("step,loss\n0,1\n")
    runs.append(tmp_path / "lightning")
    for name, text, is_run in (
        ("one.csv", "epoch;accuracy\n0;1\n", True),
        ("two.CSV", "train_loss\n1\n", True),
        ("iris.csv", "sepal,petal\n1,2\n", False),
        ("bad.csv", "", False),
        ("notes.txt", "step,loss\n", False),
    ):
        (tmp_path / name).write_text(text)
        if is_run:
            runs.append(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    make(tmp_path / ".hidden")
    assert find_runs(tmp_path) == tuple(sorted(runs))
    assert find_runs(tmp_path / "one.csv") == (tmp_path / "one.csv",)
    assert find_runs(str(tmp_path / "b")) == (tmp_path / "b",)
    assert find_runs(tmp_path / "folder.csv") == ()
    with pytest.raises(LogError, match="does not exist"):
        find_runs(tmp_path / "none")


def test_find_runs_follows_links_once_and_not_too_deep(tmp_path):
    make(tmp_path / "runs" / "run-5")
    (tmp_path / "runs" / "latest").symlink_to(tmp_path / "runs" / "run-5")
    (tmp_path / "runs" / "loop").symlink_to(tmp_path / "runs")
    outside = make(tmp_path / "outside")
    (tmp_path / "runs" / "linked").symlink_to(outside)
    (tmp_path / "runs" / "broken").symlink_to(tmp_path / "nowhere")
    names = [path.name for path in find_runs(tmp_path / "runs")]
    assert names == ["linked", "run-5"]
    make(tmp_path / "d" / "/".join("x" * 10) / "run")
    make(tmp_path / "d" / "/".join("x" * 11) / "run")
    assert len(find_runs(tmp_path / "d")) == 1


def test_find_runs_passes_over_what_it_cannot_read(tmp_path, monkeypatch):
    make(tmp_path / "a")
    make(tmp_path / "b")
    iterdir = Path.iterdir

    def guarded(path):
        if path.name == "a":
            raise PermissionError
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", guarded)
    assert find_runs(tmp_path) == (tmp_path / "b",)


def test_reading_and_closing_in_one_process_keeps_the_locks_of_the_writer(tmp_path):
    with RunWriter(tmp_path, flush_values=1) as writer:
        for step in range(20):
            writer.add("loss", step, step)
            assert len(read(tmp_path / "run.sqlite")["loss"]) == step + 1
        other = "import sys; from surefoot.records import read; read(sys.argv[1])"
        subprocess.run([sys.executable, "-c", other, str(tmp_path)], check=True, timeout=60)
        assert (tmp_path / "run.sqlite-wal").exists()
        writer.add("loss", 20, 20)
    assert np.array_equal(read(tmp_path)["loss"].values, np.arange(21))


@pytest.mark.parametrize(
    "text",
    [
        '"""A module, with commas."""\n\nimport os, sys\n',
    ],
)
def test_a_text_with_commas_is_no_csv(tmp_path, text):
    (tmp_path / "file.txt").write_text(text)
    with pytest.raises(LogError, match="of no kind that Surefoot reads"):
        read(tmp_path / "file.txt")
