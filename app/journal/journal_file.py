"""`instance/requests.jsonl`: the entries of all workers, bounded, readable by its owner only.

A worker appends an entry with one write. Past MAX_BYTES one of them replaces the file with its newer half, and with
the notes of commands in the older one. For that it holds the file's lock exclusively, and those that append share the
lock, so that no entry is written to the file that is replaced. Nothing here fails a request, or makes it wait for more
than LOCK_SECONDS.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.journal.entry import MAX_LINE_BYTES, Entry, from_line, from_lines
from app.logs import log
from app.per_app import PerApp
from app.storage.sqlite import open_private

MAX_BYTES = 1_000_000
MAX_NOTED = 100
LOCK_SECONDS = 0.2
RETRY_SECONDS = 0.002


class Journal:
    """The file, by its path; each call opens it, as another worker may have replaced it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._has_failed = False

    def append(self, entry: Entry) -> bool:
        """Add an entry.

        Returns:
            Whether it was written: not on a full disk, in a folder without write permission, or if it is too long.
        """
        line = entry.as_line()
        if len(line) > MAX_LINE_BYTES:
            return False
        try:
            size = self._write(line)
            if size > MAX_BYTES:
                self._drop_older_half()
        except OSError as error:
            self._report(error)
            return False
        self._has_failed = False
        return bool(size)

    def _write(self, line: bytes) -> int:
        """Append a line, and return the size of the file then; 0 if it was locked for too long."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        end = time.monotonic() + LOCK_SECONDS
        while True:
            with os.fdopen(open_private(self.file, os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
                if self._is_locked(opened.fileno(), fcntl.LOCK_SH):
                    size = os.fstat(opened.fileno()).st_size
                    if size > 2 * MAX_BYTES:  # the disk has no room for the newer half
                        return size
                    os.write(opened.fileno(), line)
                    return size + len(line)
            if time.monotonic() > end:
                return 0
            time.sleep(RETRY_SECONDS)

    def _is_locked(self, descriptor: int, kind: int) -> bool:
        """Take the lock of the file if it is free, and if the file still has its name."""
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        opened, named = os.fstat(descriptor), os.stat(self.file, follow_symlinks=False)
        return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)

    def _drop_older_half(self) -> None:
        """Replace the file with its newer half, unless others are writing: then the next entry tries again."""
        with os.fdopen(open_private(self.file, os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            if not self._is_locked(opened.fileno(), fcntl.LOCK_EX):
                return
            size = os.fstat(opened.fileno()).st_size
            if size <= MAX_BYTES:
                return
            opened.seek(max(0, size - 2 * MAX_BYTES))
            lines = opened.read().splitlines(keepends=True)
            created, temporary = tempfile.mkstemp(dir=self.file.parent, prefix=f"{self.file.name}.")  # mode 0600
            try:
                with os.fdopen(created, "wb") as file:
                    file.writelines(newer_half(lines))
                os.replace(temporary, self.file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise

    def _report(self, error: OSError) -> None:
        if not self._has_failed:
            log.warning("the requests are not recorded in %s: %s", self.file.name, error.strerror)
        self._has_failed = True

    def lines(self) -> list[bytes]:
        """The lines of the newest entries, the oldest first; none if there is no file.

        Raises:
            OSError: If there is a file, and it cannot be read.
        """
        try:
            opened = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except FileNotFoundError:
            return []
        with os.fdopen(opened, "rb") as file:
            skipped = max(0, os.fstat(opened).st_size - 2 * MAX_BYTES)
            file.seek(skipped)
            found = file.read(2 * MAX_BYTES).splitlines(keepends=True)
        # The last may be half a line, if the disk is full.
        return [line for line in found[bool(skipped) :] if line.endswith(b"\n")]

    def entries(self) -> list[Entry]:
        """The newest entries, the oldest first; any other line is left out."""
        return from_lines(self.lines())

    def follow(self, seen: list[bytes], seconds: float = 0.3) -> Iterator[list[bytes]]:
        """Yield the lines that are new each time the file has changed.

        Args:
            seen: The lines that were read before.
            seconds: The pause between two looks at the file.
        """
        stamp = None
        while True:
            if (changed := self._stamp()) != stamp:
                stamp, lines = changed, self.lines()
                new = after(seen[-1], lines) if seen else lines
                seen = lines or seen
                yield new
            time.sleep(seconds)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.file)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def newer_half(lines: list[bytes]) -> list[bytes]:
    """The newest lines that together have half of MAX_BYTES, after the older notes of commands."""
    size, place = 0, len(lines)
    while place and size + len(lines[place - 1]) <= MAX_BYTES // 2:
        place -= 1
        size += len(lines[place])
    noted = [line for line in lines[:place] if b'"command"' in line and from_line(line)]
    return noted[-MAX_NOTED:] + lines[place:]


def after(line: bytes, lines: list[bytes]) -> list[bytes]:
    """The lines that follow one; all of them if it is no longer there."""
    place = next((n for n in range(len(lines) - 1, -1, -1) if lines[n] == line), -1)
    return lines[place + 1 :]


current_journal = PerApp[Journal | None]("journal")
