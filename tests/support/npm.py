"""The tools from npm that tests run: newman, the importers, and whatever else `tests/npm/package.json` names.

They are installed once into `tests/npm/node_modules/`, which Git ignores, by the first test that needs one; the lock
has names, versions and hashes, and no address. A test takes them from the fixture `npm`:

    def test_…(npm: Npm) -> None:
        npm.run("newman", "run", str(file))     a program of a package
        npm.node("bruno.mjs", str(file))        a script in tests/npm/, which may import every package

To add one: write it with its exact version into `tests/npm/package.json`, run `python -m tests.support.npm`, which
writes the lock, and commit both. The next run installs it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "npm"
LOCK = FOLDER / "package-lock.json"
STAMP = FOLDER / "node_modules" / ".made-from"
QUIET = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
# What the lock says of a package; the rest, such as `funding`, is not needed and holds addresses.
MEMBERS = (
    "name version integrity dependencies optionalDependencies peerDependencies peerDependenciesMeta "
    "dev optional peer bin engines os cpu libc hasInstallScript bundleDependencies inBundle"
).split()


@dataclass
class Npm:
    """The installed tools."""

    node_path: str

    def run(self, program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program of a package; its exit code is not checked."""
        return self._run(str(FOLDER / "node_modules" / ".bin" / program), *arguments, **options)

    def node(self, script: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a script of `tests/npm/`; its exit code is not checked."""
        return self._run(str(FOLDER / script), *arguments, **options)

    def _run(self, *command: str, timeout: float = 300, **options: Any) -> subprocess.CompletedProcess[str]:
        # Without the caller's NODE_OPTIONS; NO_COLOR for output that a person can read in a failed test.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("NODE_", "npm_"))}
        options = {"env": environment | {"NO_COLOR": "1"}, "capture_output": True, "text": True} | options
        return subprocess.run([self.node_path, *command], timeout=timeout, check=False, **options)


def install(npm: str) -> None:
    """Install what the lock names, unless it is there; processes of one run wait for each other."""
    made_from = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    with LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == made_from:
            return
        # No package's own script runs: none of the tools needs one.
        command = [npm, "ci", "--prefix", str(FOLDER), "--ignore-scripts", *QUIET]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, f"npm could not install the tools of the tests: {done.stderr[-2000:]}"
        STAMP.write_text(made_from, encoding="utf-8")


def write_lock() -> None:
    """Write the lock from package.json, without addresses."""
    npm = shutil.which("npm") or "npm"
    command = [npm, "install", "--prefix", str(FOLDER), "--package-lock-only", "--ignore-scripts", *QUIET]
    subprocess.run([*command, "--omit-lockfile-registry-resolved"], check=True)
    lock = json.loads(LOCK.read_text(encoding="utf-8"))
    for path, package in lock["packages"].items():
        if path:
            lock["packages"][path] = {name: package[name] for name in MEMBERS if name in package}
    text = json.dumps(lock, indent=1, ensure_ascii=False) + "\n"
    assert not re.search(r"\w://", text), "the lock has an address"
    LOCK.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_lock()
