"""A run whose folder is on a network file system: the database is local, and copies are published.

WAL needs memory that all who have the database open share, which two hosts do not. So the writer
keeps its database on a local disk, and now and then puts a whole copy in the place of the last one,
by a rename, which a reader sees done or not at all.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic

from surefoot.records._store import DATABASE

__all__ = ["Snapshots", "on_network"]

SECONDS = 10.0
"""Between two copies."""

_MOUNTS = Path("/proc/self/mounts")
_NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs",
    "panfs", "pvfs2", "smb3", "smbfs", "wekafs",
}  # fmt: skip


def on_network(folder: Path) -> bool:
    """Tell whether a folder is on a network file system, as far as Linux says."""
    try:
        text = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    place, kind = folder.resolve(), ""
    longest = -1
    for mount, found in _mounts(text):
        if len(mount.parts) > longest and place.is_relative_to(mount):
            longest, kind = len(mount.parts), found
    return kind in _NETWORK


def _mounts(text: str) -> Iterator[tuple[Path, str]]:
    for line in text.splitlines():
        cells = line.split(" ")
        if len(cells) > 2:
            # A space, a tab, a backslash in a path are written as octal numbers.
            name = cells[1].encode().decode("unicode_escape")
            yield Path(name), cells[2]


class Snapshots:
    """Publishes copies of a local database in the folder of the run.

    Args:
        folder: of the run; what it holds is where the local database begins.

    Attributes:
        local: the folder of the local database.
    """

    def __init__(self, folder: Path) -> None:
        self._target = folder / DATABASE
        self.local = Path(tempfile.mkdtemp(prefix="surefoot-"))
        self._last = monotonic()
        try:
            shutil.copyfile(self._target, self.local / DATABASE)
        except FileNotFoundError:  # there is none to resume: who opens it will say so
            pass
        except BaseException:
            shutil.rmtree(self.local, ignore_errors=True)
            raise

    def publish(self, connection: sqlite3.Connection, *, now: bool = False) -> str | None:
        """Put a copy of the database in the folder, if that is due; return what went wrong."""
        if not now and monotonic() - self._last < SECONDS:
            return None
        self._last = monotonic()
        copy = self.local / f"copy-{DATABASE}"
        fresh = self._target.with_name(f".{DATABASE}-{os.getpid()}")
        try:
            copy.unlink(missing_ok=True)
            with closing(sqlite3.connect(copy)) as target:
                connection.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
            with copy.open("rb") as source, fresh.open("wb") as stream:
                shutil.copyfileobj(source, stream)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._target)
        except (OSError, sqlite3.Error) as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            return str(error)
        return None

    def close(self) -> None:
        """Remove the local database."""
        shutil.rmtree(self.local, ignore_errors=True)
