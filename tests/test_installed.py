"""Drills of what deploy/ installs, without Docker and without this machine's systemd: in namespaces of their own.

The steps of the Dockerfile are done by hand, and its command runs as process 1, as its user, on a read-only root.
A real systemd, process 1 of its own namespaces, runs the units with all of their hardening.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import SECRET_KEY, free_port, missing, wait_for
from tests.support.installed import (
    DEPLOY,
    UID,
    command,
    end,
    first_process,
    in_namespaces,
    install,
    instructions,
    needs_namespaces,
)
from tests.support.leaks import suite
from tests.support.pages import page, pattern

pytestmark = pytest.mark.drill

SETTINGS = {
    "KEYTURN_ENV": "production",
    "KEYTURN_ISSUER": "https://auth.example.com",
    "KEYTURN_TRUSTED_PROXIES": "1",
}


def status(url: str, data: bytes | None = None, **headers: str) -> int:
    """The status of a request, as the proxy sends it; 0 if there was no response."""
    request = urllib.request.Request(url, data, {"X-Forwarded-Proto": "https", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def is_live(port: int) -> bool:
    return status(f"http://127.0.0.1:{port}/health/live") == 200


def mode_of(process: psutil.Process) -> dict[str, str]:
    """What the kernel says of a process."""
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    needs_namespaces()
    for each in (tmp_path, *tmp_path.parents):  # the users of the drill must be able to reach it
        if each != Path("/") and each.owner() == "root" and str(each).startswith("/tmp/"):
            each.chmod(0o755)
    install(tmp_path)
    return tmp_path


IMAGE = """
root={folder}/root
mkdir -p $root
mount --rbind / $root
mount -o remount,bind,ro $root
mount --rbind {folder}/opt $root/opt
mount -o remount,bind,ro $root/opt
mount -t tmpfs -o mode=755 none $root/var/lib
mkdir -m 700 $root/var/lib/keyturn
chown {uid}:{uid} $root/var/lib/keyturn
mount -t tmpfs -o mode=755 none $root/run
mkdir $root/run/secrets
echo {key} >$root/run/secrets/secret-keys
as_user="setpriv --reuid={uid} --regid={uid} --clear-groups --no-new-privs --bounding-set=-all"
inside() {{ $1 chroot $root $as_user sh -c 'cd /opt/keyturn; shift; exec env -i {environment} "$@"' sh "$@"; }}
inside "" sh -c '! touch /tmp/x /etc/x /opt/keyturn/x /opt/keyturn/app/x 2>/dev/null'
inside "" python -m flask --app wsgi prepare
inside exec {command}
"""


def environment_of_the_image() -> dict[str, str]:
    (text,) = instructions("ENV")
    return dict(re.findall(r"(\w+)=(\S+)", text))


def test_the_command_of_the_image_runs_as_process_1_on_a_read_only_root_and_ends_cleanly(folder: Path) -> None:
    port, log = free_port(), folder / "log"
    opt = folder / "opt/keyturn"
    compile_step = json.loads(instructions("RUN")[2])
    subprocess.run([str(opt / compile_step[0]), *compile_step[1:]], cwd=opt, check=True)
    known = environment_of_the_image() | SETTINGS
    known["PATH"] = known["PATH"].replace("$PATH", os.defpath)
    known |= {"KEYTURN_SECRET_KEYS_FILE": "/run/secrets/secret-keys"}
    known |= {"KEYTURN_DATABASE_URL": "sqlite:////var/lib/keyturn/keyturn.db"}
    # On this machine everyone can see a port, so the server listens on loopback.
    words = [each.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for each in command("CMD")]
    script = IMAGE.format(
        folder=folder, uid=UID, key=SECRET_KEY, environment=" ".join(f"{n}={v}" for n, v in known.items()),
        command=shlex.join(words),
    )  # fmt: skip

    process = in_namespaces(script, folder, log)
    try:
        wait_for(lambda: process.poll() is not None or is_live(port), seconds=60)
        assert process.poll() is None, log.read_text()
        first = first_process(process)
        said = mode_of(first)
        check = [each.replace(":8000", f":{port}") for each in command("HEALTHCHECK")]
        healthy = subprocess.run([str(opt / ".venv/bin/python"), *check[1:]], check=False)
        assert status(f"http://127.0.0.1:{port}/.well-known/jwks.json") == 200
        first.terminate()
        code = process.wait(timeout=60)
    finally:
        end(process)

    suite.record(log.read_text())
    assert (said["NSpid"].split()[-1], said["Uid"].split()[0], said["CapBnd"]) == ("1", str(UID), "0" * 16)
    assert healthy.returncode == 0
    assert code == 0
    assert not list(opt.rglob("*.pyc.*"))
    assert any(opt.rglob("app/__pycache__/*.pyc"))


SYSTEMD = """
mount -t tmpfs -o mode=755 none /run
mkdir -p {folder}/etc {folder}/work
mount -t tmpfs none {folder}/work
mkdir {folder}/work/upper {folder}/work/work
mount -t overlay -o lowerdir=/etc,upperdir={folder}/work/upper,workdir={folder}/work/work overlay /etc
mount --rbind {folder}/opt /opt
mount -t tmpfs -o mode=755 none /var/lib
mkdir -p /usr/local/sbin /run/systemd/system/keyturn.service.d /run/systemd/system/keyturn.socket.d
mount -t tmpfs -o mode=755 none /usr/local/sbin
cd /run/systemd/system
# Nothing else of a machine is started: no basic.target, no network, no journal.
printf '[Unit]\\nDefaultDependencies=no\\nWants=\\n' >keyturn.service.d/unit.conf
printf '[Service]\\nStandardOutput=append:{log}\\nStandardError=append:{log}\\n' >keyturn.service.d/log.conf
printf '[Unit]\\nDefaultDependencies=no\\n[Socket]\\nListenStream=\\nListenStream=127.0.0.1:{port}\\n' \\
    >keyturn.socket.d/drill.conf
printf '[Unit]\\nDefaultDependencies=no\\n' >drill.target
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    mount -t tmpfs none /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
mount --make-rshared /  # systemd mounts credentials in a namespace of its own, from where they must arrive
export container=other
exec /lib/systemd/systemd --system --unit=drill.target --log-target=null
"""


@dataclass
class Machine:
    """A machine whose process 1 is a systemd that runs the units of deploy/."""

    systemd: psutil.Process
    port: int

    def run(self, *words: str | Path) -> str:
        """What a command prints there."""
        enter = ["nsenter", f"--target={self.systemd.pid}", "--mount", "--pid", "--cgroup"]
        done = subprocess.run([*enter, *words], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def type(self, command: str) -> str:
        """Type a command of the page, as root in /opt/keyturn."""
        text = re.sub(r"\bsudo ", "", command)
        return self.run("sh", "-c", f"cd /opt/keyturn; PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin; {text}")

    def is_up(self) -> bool:
        return Path(f"/proc/{self.systemd.pid}/root/run/systemd/private").exists()

    def main_process(self) -> psutil.Process:
        """Gunicorn's master, seen from outside."""
        return next(each for each in self.systemd.children() if each.username() != "root")


@pytest.fixture
def machine(folder: Path) -> Iterator[Machine]:
    """A machine on which every command of the page was typed, as root, except the one that loads packages."""
    if not Path("/lib/systemd/systemd").exists():
        missing("systemd", install="apt install systemd")
    shutil.copytree(DEPLOY, folder / "opt/keyturn/deploy")
    log, port = folder / "server.log", free_port()
    log.touch(mode=0o666)
    process = in_namespaces(SYSTEMD.format(folder=folder, log=log, port=port), folder, folder / "boot.log")
    try:
        made = Machine(first_process(process), port)
        wait_for(lambda: process.poll() is not None or made.is_up(), seconds=60)
        assert process.poll() is None, (folder / "boot.log").read_text()
        for typed, shown in page("deploy").commands():
            if typed.startswith("sudo ") and ".venv/ready" not in typed:
                printed = made.type(f"{typed}\n{shown}" if "<<END" in typed else typed)
                assert "<<END" in typed or pattern(shown).fullmatch(printed.strip()), typed + log.read_text()
        yield made
    finally:
        end(process)
        suite.record(log.read_text())


@contextmanager
def load(url: str, credentials: str) -> Iterator[list[int]]:
    """Three clients that request tokens, each request over a new connection; their statuses."""
    basic, stopped, seen = b64encode(credentials.encode()).decode(), threading.Event(), list[int]()

    def use() -> None:
        while not stopped.wait(0.02):
            form = b"grant_type=client_credentials"
            seen.append(status(f"{url}/oauth/token", form, Authorization=f"Basic {basic}"))

    clients = [threading.Thread(target=use) for _ in range(3)]
    for each in clients:
        each.start()
    yield seen
    stopped.set()
    for each in clients:
        each.join()


def test_systemd_runs_the_units_hardened_and_a_restart_of_the_only_server_fails_no_request(machine: Machine) -> None:
    made = json.loads(machine.type("sudo keyturn clients create web --scope read:logs --json"))
    suite.remember(made["client_secret"])
    said = mode_of(machine.main_process())
    cores = [mode_of(each)["Cpus_allowed_list"] for each in machine.main_process().children()]

    with load(f"http://127.0.0.1:{machine.port}", f"{made['client_id']}:{made['client_secret']}") as seen:
        wait_for(lambda: len(seen) > 30)
        before = machine.main_process().pid
        machine.run("systemctl", "restart", "keyturn.service")
        assert machine.main_process().pid != before
        counted = len(seen)
        wait_for(lambda: len(seen) > counted + 30)
        machine.main_process().kill()
        counted = len(seen)
        wait_for(lambda: len(seen) > counted + 30, seconds=60)

    failed = [each for each in seen if each != 200]
    # SIGKILL to all of the service breaks what had started: at most one request of each client.
    assert set(failed) <= {0}
    assert len(failed) <= 3
    assert 0 not in seen[: counted - 3]
    assert "0" not in said["Uid"].split()
    assert (said["NoNewPrivs"], said["Seccomp"], said["CapBnd"]) == ("1", "2", "0" * 16)
    if len(os.sched_getaffinity(0)) in (1, 2):  # the filter of system calls lets workers be pinned
        assert len(set(cores)) == len(cores)
    assert json.loads(machine.type("sudo keyturn clients list --json"))["clients"][0]["name"] == "web"


def test_a_command_finds_the_files_of_the_directory_in_which_it_is_typed(machine: Machine) -> None:
    machine.run("sh", "-c", """mkdir /run/here; cd /run/here; echo 'raise SystemExit("ours")' | tee wsgi.py >config.py
        printf '[clients.other]\nscope = "read:logs"\n' >clients.toml""")  # fmt: skip

    found = machine.type("cd /run/here; sudo keyturn apply clients.toml --dry-run --json")

    assert json.loads(found)["created"][0]["name"] == "other"


def test_the_service_starts_without_its_database_and_stops_at_a_fault_in_its_settings(machine: Machine) -> None:
    def restart_with(database: str) -> None:
        machine.run("sh", "-c", f"echo {database} >/etc/keyturn/database-url; systemctl restart keyturn.service || :")

    def state(name: str) -> str:
        return machine.run("systemctl", "show", "keyturn.service", "--value", "--property", name).strip()

    restart_with("postgresql://keyturn@127.0.0.1:1/keyturn")
    assert status(f"http://127.0.0.1:{machine.port}/.well-known/jwks.json") == 503
    assert state("ActiveState") == "active"

    restart_with("nonsense")
    wait_for(lambda: state("ActiveState") == "failed", seconds=60)
    assert (state("ExecMainStatus"), state("NRestarts")) == ("3", "0")
