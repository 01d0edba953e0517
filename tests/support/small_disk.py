"""A disk of a few kilobytes or megabytes, which a test fills."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import IN_CI


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """A disk of this size at a new folder; False where this user may not mount one.

    Only root may. Under CI another user gets it by `sudo`, as `.ci/run` gets packages.
    """
    folder.mkdir()
    as_root = ["sudo", "-n"] if IN_CI and os.geteuid() else []
    mount = [*as_root, "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:  # no sudo
        is_mounted = False
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run([*as_root, "umount", "-l", str(folder)], check=True)
