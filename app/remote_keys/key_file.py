"""A key set in a file: it is read again when it has changed.

If its new content cannot be used, or the file is gone, the last good keys stay in use, and the log says why, once.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from app.logs import log
from app.remote_keys import public_key
from app.remote_keys.careful_get import MAX_BYTES
from app.remote_keys.key_source import KeySetError
from app.remote_keys.public_key import PublicKey

Version = tuple[int, int, int]  # of a file: its inode, when it was written, and its size


class Content(NamedTuple):
    """What a file had: the version that was looked at last, and the last good keys, or why there are none."""

    version: Version | None
    keys: tuple[PublicKey, ...]
    error: KeySetError | None


class KeyFiles:
    """The key set files of an app, as they were last read."""

    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}

    def find(self, path: str) -> tuple[PublicKey, ...]:
        """The keys of a file.

        Raises:
            KeySetError: If it cannot be read, or has no key set, and never had one.
        """
        known, version = self._contents.get(path), version_of(path)
        if known is None or known.version != version:
            known = self._contents[path] = self._looked_at(path, version, known.keys if known else ())
        if known.error:
            raise known.error.again()
        return known.keys

    def _looked_at(self, path: str, version: Version | None, last: tuple[PublicKey, ...]) -> Content:
        try:
            return Content(version, read(path), None)
        except KeySetError as error:
            if not last:
                return Content(version, (), error)
            log.warning("%s; the keys that it had stay in use", error)
            return Content(version, last, None)


def version_of(path: str) -> Version | None:
    """Which content a file has now; None if it cannot be found. A mounted one is replaced by a link to another."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read(path: str) -> tuple[PublicKey, ...]:
    """The keys of a file.

    Raises:
        KeySetError: If it cannot be read, or has no key set.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe would wait for its writer, and a request for it
            raise OSError(0, "it is not a regular file")
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise KeySetError("file_unreadable", source=path, why=why) from error
    if len(content) > MAX_BYTES:
        raise KeySetError("too_large", source=path, most=f"{MAX_BYTES // 1_024} KiB")
    return public_key.read(content, path)
