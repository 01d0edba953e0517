"""The folder in which prometheus_client's multi-process mode stores what each worker counts, one file per type and pid.

The master makes it at start, before any value exists, and removes it at its end. Its traps:

- The variable must be set before the library is imported, or values are in the memory of each process alone:
  `gunicorn.conf.py` sets it, and `make` then sets the real path, which the library reads with each file it opens.
- Files of a former server would be added up: the folder is new at each start. One that a killed server has left is
  removed by the next.
- The files of a dead worker are needed, as a counter never goes back, and would become more with every worker: the
  master adds them to one archive, with a pid that no process has. `mark_process_dead` removes gauges only.
- A scrape that reads between the two steps of that would count twice: both hold a lock.
- A file that was just created is empty for a moment, and the library fails on it: a scrape tries again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import multiprocess
from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.registry import Collector

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "keyturn-metrics-"
IN_USE, MERGING, LISTENING = "in-use", "merging", "listening"  # files that are locked
KINDS = ("counter", "histogram")  # whose values outlive their process
ARCHIVE = 0  # no process has this pid
ATTEMPTS = 5
UNFINISHED = (struct.error, RuntimeError, FileNotFoundError)

dead: list[int] = []  # workers that have ended, and whose files are not merged yet


def make(parent: str | None, *, uid: int, gid: int) -> None:
    """Make this server's folder, for workers that run as this user and group.

    Args:
        parent: Where; None for the system's folder of temporary files.
        uid: The user of the workers.
        gid: Their group.
    """
    where = Path(parent or tempfile.gettempdir())
    remove_abandoned(where)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=where))
    for name in (IN_USE, MERGING, LISTENING):
        (new / name).touch(mode=0o600)
        os.chown(new / name, uid, gid)
    os.chown(new, uid, gid)
    lock(new / IN_USE)  # the workers inherit it, so it is held until the last of them has ended
    folder = new.with_name(f"{PREFIX}{os.getpid()}-{new.name[4:]}")
    new.rename(folder)  # once it is locked, so that no other server takes it for abandoned
    os.environ[VARIABLE] = str(folder)


def path() -> Path:
    return Path(os.environ[VARIABLE])


def lock(file: Path, *, wait: bool = False) -> int | None:
    """Lock a file, until its descriptor is closed or this process and its children have ended.

    Returns:
        The descriptor; None if another process holds the lock.
    """
    opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened


def remove_abandoned(where: Path) -> None:
    """Remove the folders of servers that were killed."""
    for folder in where.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's
            if (held := lock(folder / IN_USE)) is not None:
                shutil.rmtree(folder)
                os.close(held)


def remove() -> None:
    """Remove this server's folder."""
    if path().name.startswith(PREFIX):
        shutil.rmtree(path(), ignore_errors=True)


def bury(pid: int) -> None:
    """Add what a dead worker has counted to the archive, and remove its files; the master calls this.

    The master waits for no scrape: what it cannot merge now it merges after the next worker.
    """
    multiprocess.mark_process_dead(pid)
    dead.append(pid)
    if (held := lock(path() / MERGING)) is None:
        return
    try:
        for kind in KINDS:
            for each in dead:
                merge(kind, each)
        dead.clear()
    finally:
        os.close(held)


def merge(kind: str, pid: int) -> None:
    file = path() / f"{kind}_{pid}.db"
    if not file.exists() or not file.stat().st_size:  # a worker that was killed as it created it has counted nothing
        file.unlink(missing_ok=True)
        return
    name = str(path() / f"{kind}_{ARCHIVE}.db")
    archive = MmapedDict(name)
    os.chown(name, file.stat().st_uid, file.stat().st_gid)  # the master may be root, and the workers must read it
    for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
        archive.write_value(key, archive.read_value(key)[0] + value, 0.0)
    archive.close()
    file.unlink()


class Shared(Collector):
    """The collector of all workers' files."""

    def collect(self) -> Iterable[Metric]:
        with merging():
            for _ in range(ATTEMPTS - 1):
                with contextlib.suppress(*UNFINISHED):
                    return list(multiprocess.MultiProcessCollector(None).collect())
            return list(multiprocess.MultiProcessCollector(None).collect())


@contextlib.contextmanager
def merging() -> Iterator[None]:
    """Wait until no worker's files are being merged, and keep them as they are meanwhile."""
    held = lock(path() / MERGING, wait=True)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)
