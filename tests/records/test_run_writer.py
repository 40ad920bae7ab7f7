import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.errors import InputError, LogError, StateError
from surefoot.records import Curve, RunWriter, read
from surefoot.records._tags import canonical_names

NAMES = st.text(min_size=1, max_size=20).filter(
    lambda name: not any("\ud800" <= c <= "\udfff" for c in name)
)
INT64 = st.integers(-(2**53) + 1, 2**53 - 1)
POINT = st.tuples(NAMES, INT64, st.floats())


@settings(max_examples=60, deadline=None)
@given(points=st.lists(POINT, max_size=40), batch=st.integers(1, 7), many=st.booleans())
def test_what_is_written_is_read(points, batch, many):
    sent: dict[str, tuple[list[int], list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        with RunWriter(Path(folder, "run"), flush_values=batch) as writer:
            for name, step, value in points:
                if many:
                    writer.add_many(name, [step], [value])
                else:
                    writer.add(name, step, value)
                sent.setdefault(name, ([], []))[0].append(step)
                sent[name][1].append(value)
        log = read(writer.path)
    assert len(log) == len(sent)
    for name, columns in sent.items():
        recorded = log.curves[name] if name in log.curves else log[name]
        assert recorded == Curve(*columns)


@settings(max_examples=40, deadline=None)
@given(
    tags=st.dictionaries(
        NAMES.filter(lambda key: key != "names"),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_tags_round_trip(tags):
    try:
        str(tags).encode()
    except UnicodeEncodeError:
        return
    with tempfile.TemporaryDirectory() as folder:
        with RunWriter(folder, tags=tags) as writer:
            for key, value in tags.items():
                writer.tag(key, value)
        assert dict(read(writer.path).tags) == tags


def test_numbers_of_other_libraries_are_taken(tmp_path):
    torch = pytest.importorskip("torch")
    with RunWriter(tmp_path) as writer:
        writer.add("loss", np.int32(0), np.float32(0.5))
        writer.add("loss", torch.tensor(1), torch.tensor(0.25))
        writer.add("loss", 2, True)
        writer.add_many("lr", np.arange(2, dtype=np.uint8), np.ones(2, dtype=np.float16))
        writer.add_many("copy", *Curve([0, 1], [1.0, float("inf")]))
        writer.add_many("nothing", [], [])
    log = read(tmp_path)
    assert log["loss"] == Curve([0, 1, 2], [0.5, 0.25, 1])
    assert log["copy"] == Curve([0, 1], [1, float("inf")])
    assert log.names == ("loss", "lr", "copy")


def test_values_are_exact_and_little_endian(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.add("loss", -(2**62), 0.1)
    with sqlite3.connect(tmp_path / "run.sqlite") as connection:
        row = connection.execute(
            "SELECT session, name, count, steps, numbers FROM blocks"
        ).fetchone()
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    assert row == (
        0,
        "loss",
        1,
        (-(2**62)).to_bytes(8, "little", signed=True),
        np.array(0.1, "<f8").tobytes(),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("loss", 1.5, 0.0), "whole number of 64 bits as step"),
        (("loss", 0, "low"), "one number as value, not 0 and 'low'"),
        (("loss", 0, "0.5"), "one number"),
        (("loss", 0, None), "one number"),
        (("loss", 0, np.ones(2)), "one number"),
        (("loss", 2**63, 0.0), "whole number"),
        (("", 0, 0.0), "1 to 500 characters"),
        ((3, 0, 0.0), "1 to 500 characters of text, not 3"),
        (([], 0, 0.0), "1 to 500 characters"),
        (("x" * 501, 0, 0.0), "1 to 500 characters"),
        (("\ud800", 0, 0.0), "valid Unicode"),
    ],
)
def test_add_says_what_is_wrong_and_keeps_the_rest(tmp_path, arguments, message):
    with RunWriter(tmp_path) as writer:
        writer.add("loss", 0, 1.0)
        with pytest.raises(InputError, match=message):
            writer.add(*arguments)
        writer.add("loss", 1, 2.0)
    assert read(tmp_path)["loss"] == Curve([0, 1], [1, 2])


@pytest.mark.parametrize(
    ("steps", "values", "message"),
    [
        ([0, 1], [1.0], r"\(2,\) and \(1,\)"),
        ([[0]], [[1.0]], "one dimension"),
        ([0.5], [1.0], "whole numbers"),
        ([float("nan")], [1.0], "whole numbers"),
        ([2**60 + 0.0], [1.0], "whole numbers"),
        (np.array([2**63], np.uint64), [1.0], "whole numbers of 64 bits"),
        (["a"], [1.0], "whole numbers"),
        ([0], ["a"], "values must be numbers"),
    ],
)
def test_add_many_says_what_is_wrong(tmp_path, steps, values, message):
    with RunWriter(tmp_path) as writer, pytest.raises(InputError, match=message):
        writer.add_many("loss", steps, values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flush_values": 0}, "flush_values must be at least 1"),
        ({"flush_seconds": -1}, "flush_seconds must be at least 0"),
        ({"flush_seconds": float("nan")}, "flush_seconds must be finite"),
        ({"tags": {"names": {}}}, "'names' is kept"),
        ({"tags": {"model": object()}}, "cannot be written as JSON"),
        ({"tags": {3: 1}}, "key of a tag"),
    ],
)
def test_bad_arguments_make_no_folder(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        RunWriter(tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_numbered_siblings(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()  # an empty folder is taken as it is
    (tmp_path / "digits-3").mkdir()  # a sibling that exists is somebody else's
    made = []
    for _ in range(3):
        with RunWriter(tmp_path / "digits") as writer:
            made.append(writer.path.name)
    assert made == ["digits", "digits-2", "digits-4"]
    monkeypatch.chdir(tmp_path / "digits")
    with RunWriter(".") as writer:
        assert writer.path == tmp_path / "digits-5"
    with RunWriter("sub") as writer:
        assert str(writer.path) == "sub"


def test_a_name_with_spaces_and_unicode(tmp_path):
    with RunWriter(tmp_path / "größe 100% #1?mode=rw&x") as writer:
        writer.add("Verlust ü", 0, 1.0)
    assert read(writer.path).names == ("Verlust ü",)
    assert read(writer.path).name == "größe 100% #1?mode=rw&x"


def _claim(folder, barrier, queue):
    barrier.wait()
    with RunWriter(folder) as writer:
        writer.add("loss", 0, os.getpid())
    queue.put((writer.path.name, os.getpid()))


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # by JAX, if another test loaded it
def test_a_race_gives_every_process_its_own_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(6), context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        workers = [
            context.Process(target=_claim, args=(tmp_path / "r", barrier, queue)) for _ in range(6)
        ]
        for worker in workers:
            worker.start()
    got = dict(queue.get(timeout=30) for _ in workers)
    for worker in workers:
        worker.join()
    assert sorted(got) == ["r", *(f"r-{n}" for n in range(2, 7))]
    for name, process in got.items():
        assert read(tmp_path / name)["loss"].values.tolist() == [process]


def test_a_file_or_a_forbidden_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        InputError, match=r"cannot be written to .*file: File exists. Give another folder"
    ):
        RunWriter(tmp_path / "file")
    with pytest.raises(InputError, match="Not a directory"):
        RunWriter(tmp_path / "file" / "run")


def test_resume_continues_and_replaces_what_came_after(tmp_path):
    with RunWriter(tmp_path, tags={"lr": 0.1, "total": 9}) as writer:
        writer.add_many("loss", range(6), range(6))
        writer.add("validation_loss", 5, 5.0)
    with RunWriter(tmp_path, tags={"lr": 0.2}, resume=True) as writer:
        assert writer.path == tmp_path
        writer.add_many("loss", [4, 5, 6], [40, 50, 60])
    with RunWriter(tmp_path, resume=True) as writer:
        writer.add("loss", 6, 600)
    log = read(tmp_path)
    assert log["loss"] == Curve(range(7), [0, 1, 2, 3, 40, 50, 600])
    assert len(log["validation_loss"]) == 1
    assert log.tags == {"lr": 0.2, "total": 9}
    assert log.notes == (
        "loss: 3 values were recorded again after the run was resumed; the later ones count.",
    )


def test_resume_refuses_what_is_no_run(tmp_path):
    with pytest.raises(LogError, match=r"no run to resume in .* leave out resume=True"):
        RunWriter(tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()
    with sqlite3.connect(tmp_path / "run.sqlite") as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    before = (tmp_path / "run.sqlite").read_bytes()
    with pytest.raises(LogError, match="another program"):
        RunWriter(tmp_path, resume=True)
    assert (tmp_path / "run.sqlite").read_bytes() == before
    (tmp_path / "run.sqlite").write_bytes(b"text" * 1000)
    with pytest.raises(LogError, match=r"cannot be resumed: .* Begin a new run"):
        RunWriter(tmp_path, resume=True)


def test_a_closed_writer(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.add("loss", 0, 1.0)
        assert repr(writer).endswith("open)")
    writer.close()
    assert repr(writer).endswith("closed)")
    for call in (
        lambda: writer.add("loss", 1, 1.0),
        lambda: writer.add_many("loss", [1], [1.0]),
        lambda: writer.tag("a", 1),
        writer.flush,
    ):
        with pytest.raises(StateError, match="closed; open it again with resume=True"):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["run.sqlite"]
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_an_exception_closes_the_run(tmp_path):
    def train():
        with RunWriter(tmp_path) as writer:
            writer.add("loss", 0, 1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert len(read(tmp_path)["loss"]) == 1


def test_flush_is_by_number_and_by_time(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr("surefoot.records.run_writer.monotonic", lambda: now)
    with RunWriter(tmp_path, flush_values=3, flush_seconds=2) as writer:
        lengths = []
        for step in range(6):
            writer.add("loss", step, 0.0)
            lengths.append(len(read(tmp_path).get("loss") or ()))
        assert lengths == [0, 0, 3, 3, 3, 6]
        writer.add("loss", 6, 0.0)
        now = 2.0
        writer.tag("seen", True)
        assert len(read(tmp_path)["loss"]) == 7
        assert read(tmp_path).tags == {"seen": True}
        writer.add("loss", 7, 0.0)
        writer.flush()
        assert len(read(tmp_path)["loss"]) == 8


def test_a_full_disk_warns_once_and_training_goes_on(tmp_path):
    with RunWriter(tmp_path, flush_values=1000) as writer:
        writer.add("loss", 0, 1.0)
        writer.flush()
        pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
        writer._connection.execute(f"PRAGMA max_page_count = {pages}")

        def train():
            for step in range(1, 5000):
                writer.add("loss", step, 1.0)

        message = r"Recording to .* ended: database or disk is full"
        with pytest.warns(RuntimeWarning, match=message) as caught:
            train()
        assert len(caught) == 1
        assert writer.failed == "database or disk is full"
        assert repr(writer).endswith("failed)")
        assert len(writer._columns["loss"][0]) < 1000
        writer.flush()
    log = read(tmp_path)
    assert log["loss"] == Curve([0], [1])


def test_a_failure_at_the_beginning_is_an_error(tmp_path, monkeypatch):
    def full(connection):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("surefoot.records._store._make_tables", full)
    with pytest.raises(
        InputError, match=r"run.sqlite cannot be written: .* full. Give another folder"
    ):
        RunWriter(tmp_path)


def test_another_thread_may_add_and_close(tmp_path):
    writer = RunWriter(tmp_path, flush_values=10)

    def work(name):
        for step in range(500):
            writer.add(name, step, step)

    threads = [threading.Thread(target=work, args=(f"curve {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    closer = threading.Thread(target=writer.close)
    closer.start()
    closer.join()
    log = read(tmp_path)
    assert all(log[f"curve {n}"] == Curve(range(500), range(500)) for n in range(4))


def test_a_signal_handler_may_flush_in_the_middle_of_an_add(tmp_path):
    class Flushing:
        def __float__(self):
            writer.flush()
            return 7.0

    with RunWriter(tmp_path) as writer:
        writer.add("loss", 0, 6.0)
        writer.add("loss", 1, Flushing())
        writer.add("loss", 2, 8.0)
        writer._columns["loss"][0].append(3)  # between the two appends of one add
        writer.flush()
        writer._columns["loss"][1].append(9.0)
    assert read(tmp_path)["loss"] == Curve([0, 1, 2, 3], [6, 7, 8, 9])


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # by JAX, if another test loaded it
def test_a_forked_process_does_not_touch_the_run(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.add("loss", 0, 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            try:
                writer.flush()
            except StateError:
                writer.close()
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        writer.add("loss", 1, 2.0)
    assert read(tmp_path)["loss"] == Curve([0, 1], [1, 2])


def test_a_writer_nobody_closes_is_closed_at_exit(tmp_path):
    code = (
        "import sys; from surefoot.records import RunWriter\n"
        "w = RunWriter(sys.argv[1]); w.add('loss', 0, 1.0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    assert len(read(tmp_path)["loss"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.sqlite"]


def test_a_reader_at_the_end_does_not_stop_the_close(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.add("loss", 0, 1.0)
        writer.flush()
        reader = sqlite3.connect(tmp_path / "run.sqlite")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM blocks").fetchone()
        writer.add("loss", 1, 2.0)
    reader.close()
    assert len(read(tmp_path)["loss"]) == 2


def test_canonical_names_win_over_foreign_ones_in_our_own_runs(tmp_path):
    with RunWriter(tmp_path) as writer:
        writer.add("train/loss", 0, 1.0)
        writer.add("lr", 0, 0.1)
        writer.add("lr/group0", 0, 0.2)
    log = read(tmp_path)
    assert log.names == ("loss", "lr", "lr/group0")
    assert canonical_names(log.names) == {"loss": "loss", "lr": "lr"}


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_writer_loses_one_flush_at_most(tmp_path, seed):
    code = """
import sys
from surefoot.records import RunWriter
writer = RunWriter(sys.argv[1], flush_values=50, flush_seconds=60)
step = 0
while True:
    writer.add("loss", step, step * 0.5)
    writer.add("lr", step, 0.1)
    step += 1
    if step % 25 == 0:
        sys.stdout.write(f"{step}\\n")
        sys.stdout.flush()
"""
    random = np.random.default_rng(seed)
    for attempt in range(4):
        folder = tmp_path / f"run{attempt}"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE
        ) as child:
            try:
                sent = int(child.stdout.readline())
                stop = sent + int(random.integers(100, 20_000))
                while sent < stop:
                    sent = int(child.stdout.readline())
                    if random.random() < 0.01:
                        _check_prefix(read(folder), 0)  # live, while it is written
            finally:
                child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split(b"\n")[:-1]
        sent = int(rest[-1]) if rest else sent
        _check_prefix(read(folder), sent - 25)
        connection = sqlite3.connect(folder / "run.sqlite")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        with RunWriter(folder, resume=True) as writer:
            writer.add("loss", 10**6, 0.0)
        assert read(folder).last_step == 10**6


def _check_prefix(log, least):
    loss, lr = log.get("loss") or Curve([], []), log.get("lr") or Curve([], [])
    assert len(loss) >= least
    assert loss == Curve(np.arange(len(loss)), np.arange(len(loss)) * 0.5)
    assert lr == Curve(np.arange(len(lr)), np.full(len(lr), 0.1))
    assert len(lr) == len(loss)
