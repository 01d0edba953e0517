"""A measured server: its process tree, the load on it, and what a request costs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
CONNECTIONS = 8
HTTPS = {"X-Forwarded-Proto": "https"}
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Figure:
    """The result of one run: microseconds of CPU time per request, requests per second, milliseconds, MiB per worker."""

    cpu: float
    rate: float = 0
    p99: float = 0
    memory: float = 0

    @classmethod
    def median(cls, rounds: Sequence[Figure]) -> Figure:
        """The middle round as a whole: figures of two rounds must not be mixed."""
        return sorted(rounds, key=lambda each: each.cpu)[len(rounds) // 2]


@dataclass(frozen=True)
class Request:
    """What is sent: `bodies` of a form, or `tokens` to a guarded route, one after the other."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    bodies: Sequence[str] = ()
    tokens: Sequence[str] = ()
    clients: Sequence[str] = ()

    def script(self) -> str:
        """The same as a script for wrk, in Lua."""
        lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in self.headers.items()]
        turns = [("wrk.body", self.bodies)]
        turns.append(("wrk.headers['Authorization']", [f"Bearer {each}" for each in self.tokens] or self.clients))
        if self.bodies:
            lines += ["wrk.method = 'POST'", "wrk.headers['Content-Type'] = 'application/x-www-form-urlencoded'"]
        lines.append("local i = 0")
        steps = []
        for number, (what, values) in enumerate(turns):
            if values:
                lines.append(f"local values{number} = {{{','.join(json.dumps(each) for each in values)}}}")
                steps.append(f"{what} = values{number}[i % {len(values)} + 1]")
        lines.append(f"function request() i = i + 1 {' '.join(steps)} return wrk.format() end")
        return "\n".join(lines)


class Server:
    def __init__(self, process: psutil.Popen, url: str) -> None:
        self.process = process
        self.url = url

    def cpu_seconds(self) -> float:
        tree = [self.process, *self.process.children(recursive=True)]
        return float(sum(sum(each.cpu_times()[:2]) for each in tree))

    def memory(self) -> float:
        """Resident MiB of the largest worker."""
        tree = self.process.children(recursive=True) or [self.process]
        return max(float(each.memory_info().rss) for each in tree) / 2**20

    def measure(self, request: Request, seconds: float, *, connections: int = CONNECTIONS) -> Figure:
        """Send requests for this many seconds, after two that do not count.

        Raises:
            RuntimeError: If a response was an error: the cost of a refusal is not what is measured.
        """
        self.drive(request, min(2, seconds), connections)  # caches fill, a peer's compiler warms up
        before = self.cpu_seconds()
        printed = self.drive(request, seconds, connections)
        used = self.cpu_seconds() - before
        found = re.search(r"(\d+) requests in", printed)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
        p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s)\s*$", printed, re.M)
        if found is None or rate is None or p99 is None or "Non-2xx" in printed or "Socket errors" in printed:
            raise RuntimeError(printed)
        return Figure(used / int(found[1]) * 1e6, float(rate[1]), float(p99[1]) * UNITS[p99[2]], self.memory())

    def drive(self, request: Request, seconds: float, connections: int = CONNECTIONS) -> str:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".lua") as script:
            script.write(request.script())
            script.flush()
            # wrk accepts whole seconds only, and at least one.
            command = [
                wrk(),
                "-t1",
                f"-c{connections}",
                f"-d{max(1, round(seconds))}",
                "--latency",
                "--timeout",
                "20s",
                "-s",
                script.name,
            ]
            run = subprocess.run([*command, self.url + request.path], capture_output=True, text=True, check=True)
            return run.stdout


def wrk() -> str:
    if found := shutil.which("wrk"):
        return found
    sys.exit("The load comes from wrk: `apt-get install wrk`.")


@contextmanager
def served(command: Sequence[str], environment: Mapping[str, str], *, port: int, cwd: Path = ROOT) -> Iterator[Server]:
    """Start a server on this port of 127.0.0.1, and stop it with all its processes."""
    url = f"http://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = psutil.Popen(command, cwd=cwd, env=dict(environment), **quiet)
    try:
        wait_for(url, process)
        time.sleep(1)  # for the other worker
        yield Server(process, url)
    finally:
        tree = [process, *process.children(recursive=True)]
        for each in tree:
            if each.is_running():
                each.terminate()
        _, alive = psutil.wait_procs(tree, timeout=10)
        for each in alive:
            each.kill()
        process.wait()


def wait_for(url: str, process: psutil.Popen) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return  # it responds
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            return
    sys.exit(f"The server did not respond at {url}: {' '.join(process.args)}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


Start = Callable[[str, Mapping[str, str], int], AbstractContextManager[Server]]


def gunicorn(name: str, environment: Mapping[str, str], workers: int) -> AbstractContextManager[Server]:
    """An app of `benchmarks.app` as it is deployed, with every setting of gunicorn.conf.py."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--workers", str(workers), f"benchmarks.app:{name}"]
    return served(command, {**environment, "PORT": str(port)}, port=port)


def signature(alg: str) -> float:
    """CPU microseconds of one signature by OpenSSL, as `openssl speed` measures it; the median of three."""
    name = {"RS256": "rsa2048", "ES256": "ecdsap256"}[alg]
    line = {"RS256": r"^rsa 2048 bits.*", "ES256": r"^ 256 bits ecdsa.*"}[alg]
    rates = []
    for _ in range(3):
        command = ["openssl", "speed", "-seconds", "1", name]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if found := re.search(line, printed, re.M):
            rates.append(float(found[0].split()[-2]))
    return 1e6 / statistics.median(rates)


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")}
