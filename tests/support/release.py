"""The previous release: its code from git, and a Python that has the packages of its lock.

It is the last tag; while there is none, the commit that wrote the last version into CHANGELOG.md.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import IN_CI, ROOT, missing

PIN = re.compile(r"^(\S+==[^\\\n]+?)\s*\\?$", re.MULTILINE)
VERSION = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


@dataclass
class Release:
    """The code of a release, and the Python that runs it."""

    folder: Path
    python: str
    environment: str = "this environment"

    def run(self, environment: dict[str, str], *command: str) -> str:
        """Run a `flask` command of this release; it must succeed."""
        run = [self.python, "-m", "flask", *command]
        done = subprocess.run(run, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def read(self, environment: dict[str, str], *command: str) -> dict[str, object]:
        return dict(json.loads(self.run(environment, *command, "--json")))

    def start(
        self, environment: dict[str, str], log: Path, *, command: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Start gunicorn, appending to a log; `command` is what runs it, such as something that passes a socket."""
        run = [self.python, *command, "-m", "gunicorn", "wsgi:app"]
        with log.open("ab") as output:
            return subprocess.Popen(run, cwd=self.folder, env=environment, stdout=output, stderr=output)


THIS = Release(ROOT, sys.executable)


def git(*command: str) -> str:
    return subprocess.run(["git", *command], cwd=ROOT, check=False, capture_output=True, text=True).stdout.strip()


def need_git() -> None:
    """Skip a drill without git, or without its history: an archive has neither, also under CI."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip(
            "this is no clone of the repository, or git is missing: the previous release is only in its history"
        )
    if git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("this clone is shallow: `git fetch --unshallow --tags` brings the previous release")


def previous() -> str:
    """The commit of the previous release."""
    need_git()
    if tag := git("describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^"):
        return git("rev-parse", f"{tag}^{{commit}}")
    version = VERSION.search((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    written = git("log", f"-S{version[0]}", "--format=%H", "--", "CHANGELOG.md").split() if version else []
    if not written:
        missing(
            "the previous release", install="neither a tag v* nor the commit of a version in CHANGELOG.md was found"
        )
    return written[-1]


def before(file: str) -> str:
    """The commit before the one that added a file."""
    need_git()
    added = git("log", "--diff-filter=A", "--format=%H", "--", file).split()
    assert added, f"no commit adds {file}"
    return f"{added[-1]}~1"


def checked_out(commit: str, folder: Path) -> Release:
    """The code of a commit, with an environment for its lock."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(folder / "code", filter="data")
    lock = folder / "code" / "requirements.lock"
    if not (differences := unlike(lock)):
        return Release(folder / "code", sys.executable)
    python = python_for(lock, folder / "environment")
    return Release(folder / "code", python, f"an environment of its own, for {', '.join(differences)}")


def python_for(lock: Path, folder: Path) -> str:
    """The Python of a new environment with the packages of a lock, from pip's cache or its index."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [*install, "--no-deps", "--require-hashes", "-r", str(lock)], capture_output=True, text=True, check=False
    )
    if done.returncode and not IN_CI:
        pytest.skip(f"the packages of the previous release cannot be installed: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return python


def unlike(lock: Path) -> list[str]:
    """The packages of a lock that this Python lacks, or has in another version."""
    pins = [Requirement(found) for found in PIN.findall(lock.read_text(encoding="utf-8"))]
    assert len(pins) > 10, f"{lock} was not understood"
    needed = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return [str(pin) for pin in needed if installed(pin.name) not in pin.specifier]


def installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "0"
