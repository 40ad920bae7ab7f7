"""A run in a network folder: the database is elsewhere, whole copies come into the folder."""

import sqlite3

import pytest

from surefoot.errors import LogError
from surefoot.records import RunWriter, _snapshots, read, run_writer


@pytest.fixture(autouse=True)
def _everything_is_a_network(monkeypatch, tmp_path):
    monkeypatch.setattr(run_writer, "on_network", lambda _folder: True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "local"))
    (tmp_path / "local").mkdir()


def local(tmp_path):
    return list((tmp_path / "local").iterdir())


def test_copies_come_whole_and_the_local_one_goes(tmp_path):
    with RunWriter(tmp_path / "run") as writer:
        for step in range(5):
            writer.add("loss", step, 1.0)
        assert (tmp_path / "run" / "run.sqlite").stat().st_size == 0  # claimed, nothing published
        writer.flush()
        assert len(read(tmp_path / "run")["loss"]) == 5
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.sqlite"]
        writer.add("loss", 5, 1.0)
        assert len(read(tmp_path / "run")["loss"]) == 5
        assert len(local(tmp_path)) == 1
    assert len(read(tmp_path / "run")["loss"]) == 6
    assert not local(tmp_path)
    with sqlite3.connect(tmp_path / "run" / "run.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_copies_are_published_now_and_then(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(_snapshots, "monotonic", lambda: clock[0])
    with RunWriter(tmp_path / "run", flush_values=1) as writer:
        seen = []
        for step in range(30):
            clock[0] = float(step)
            writer.add("loss", step, 1.0)
            file = tmp_path / "run" / "run.sqlite"
            seen.append(len(read(file)["loss"]) if file.stat().st_size else 0)
    assert seen == [0] * 10 + [11] * 10 + [21] * 10


def test_a_run_is_resumed_from_what_was_published(tmp_path):
    for part in range(3):
        with RunWriter(tmp_path / "run", resume=part > 0) as writer:
            for step in range(4 * part, 4 * part + 4):
                writer.add("loss", step, float(part))
    assert read(tmp_path / "run")["loss"].steps.tolist() == list(range(12))
    assert not local(tmp_path)
    with pytest.raises(LogError, match="no run to resume"):
        RunWriter(tmp_path / "other", resume=True)
    assert not local(tmp_path)


def test_while_the_folder_is_out_of_reach_recording_goes_on(tmp_path):
    writer = RunWriter(tmp_path / "run")
    writer.add("loss", 0, 1.0)
    writer.flush()
    folder, away = tmp_path / "run", tmp_path / "away"
    folder.rename(away)
    writer.add("loss", 1, 1.0)
    with pytest.warns(RuntimeWarning, match="is out of reach.*Recording goes on in"):
        writer.flush()
    writer.add("loss", 2, 1.0)
    writer.flush()  # told once
    away.rename(folder)
    writer.close()
    assert read(folder)["loss"].steps.tolist() == [0, 1, 2]
    assert not local(tmp_path)


def test_a_folder_that_stays_away_leaves_the_local_copy(tmp_path):
    writer = RunWriter(tmp_path / "run")
    writer.add("loss", 0, 1.0)
    (tmp_path / "run").rename(tmp_path / "away")
    with pytest.warns(RuntimeWarning, match="which is kept"):
        writer.close()
    (kept,) = local(tmp_path)
    assert len(read(kept)["loss"]) == 1


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ("/dev/sda1 / ext4 rw 0 0\nserver:/x {} nfs4 rw 0 0\n", True),
        ("server:/x / nfs4 rw 0 0\ntmpfs {} tmpfs rw 0 0\n", False),
        ("/dev/sda1 / ext4 rw 0 0\n\nodd line\n", False),
        ("/dev/sda1 / ext4 rw 0 0\nuser@host: {} fuse.sshfs rw 0 0\n", True),
    ],
)
def test_the_kind_of_a_file_system_is_that_of_the_nearest_mount(
    mounts, expected, tmp_path, monkeypatch
):
    place = tmp_path / "with space" / "runs"
    place.mkdir(parents=True)
    file = tmp_path / "mounts"
    file.write_text(mounts.format(str(tmp_path / "with space").replace(" ", r"\040")))
    monkeypatch.setattr(_snapshots, "_MOUNTS", file)
    assert _snapshots.on_network(place) is expected
    assert not _snapshots.on_network(tmp_path) or "server:/x /" in mounts
