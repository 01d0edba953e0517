"""A machine on which Keyturn is installed as docs/deploy.md says, with /opt, /etc and /var/lib in namespaces.

Everything of the real machine that it shows is read-only or a copy, so a test can be its root and its user `keyturn`.
Only root can make namespaces everywhere, so other users have no such machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, missing, wait_for

UID = 10_001
# The packages of this run: they are those of the lock, and need no network here.
PACKAGES = sysconfig.get_path("purelib")
DEPLOY = ROOT / "deploy"
# Without the folders of the users, where pyenv puts a Python that `ProtectHome=` hides.
SYSTEM_PYTHON = f"/usr/bin/python3.{sys.version_info.minor}"


def instructions(name: str) -> list[str]:
    """The arguments of each instruction of this name in deploy/Dockerfile."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return re.findall(rf"^{name} (.+)$", text.replace("\\\n", ""), re.MULTILINE)


def command(name: str) -> list[str]:
    """The command of the last instruction of this name, as the program and its arguments."""
    return list(json.loads(instructions(name)[-1].partition("CMD ")[2] or instructions(name)[-1]))


def needs_namespaces() -> None:
    """Skip a test where no namespaces can be made."""
    if os.geteuid():
        pytest.skip("as root this test makes namespaces, in which it installs Keyturn")
    for name in ("unshare", "nsenter", "setpriv"):
        if not shutil.which(name):
            missing(name, install="apt install util-linux")
    if not Path(SYSTEM_PYTHON).exists():
        missing(SYSTEM_PYTHON, install="this test needs a Python outside of the users' folders")


def install(folder: Path) -> Path:
    """Build /opt/keyturn in a folder, with the files that the Dockerfile copies, and return it."""
    opt = folder / "opt/keyturn"
    opt.mkdir(parents=True)
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", opt / ".venv"], check=True, capture_output=True)
    (opt / "packages").mkdir()
    paths = f"/opt/keyturn/packages\n{PACKAGES}\n"  # the first in the namespaces, the second outside of them
    (opt / f".venv/lib/python3.{sys.version_info.minor}/site-packages/run.pth").write_text(paths)
    for words in [each.split() for each in instructions("COPY") if not each.startswith("--from")]:
        for source in words[:-1]:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, opt / source, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, opt)
    return opt


def in_namespaces(script: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Run a script as process 1 of new namespaces; what it mounts, nobody else sees."""
    file = folder / "boot.sh"
    # Wherever the clone is: `PrivateTmp=` hides what is below /tmp, and a mount what is below /opt.
    packages = f"mount --bind {PACKAGES} {folder}/opt/keyturn/packages"
    file.write_text(f"set -e\nmount --make-rprivate /\n{packages}\n{script}", encoding="utf-8")
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--uts", "--ipc", "--cgroup"]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*command, "sh", str(file)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def first_process(process: subprocess.Popen[bytes]) -> psutil.Process:
    """Process 1 of the namespaces, seen from outside."""
    wait_for(lambda: process.poll() is not None or bool(psutil.Process(process.pid).children()))
    (found,) = psutil.Process(process.pid).children()
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """End all processes of the namespaces: process 1 takes them with it."""
    if process.poll() is None:
        for each in psutil.Process(process.pid).children():
            each.kill()
    process.wait(timeout=30)
