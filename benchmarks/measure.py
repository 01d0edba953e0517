"""What a request costs: the server's CPU time, against its own floor in the same run.

The floor is a bare Flask route under the same gunicorn, plus one signature by OpenSSL for a token:
no design of this kind can cost less. CPU time of the whole process tree is the figure to quote;
rates drift with whatever else the machine does. The median round is shown, whole.

    make bench                                   measures, prints, and writes docs/performance.md
    python -m benchmarks.measure --seconds 1 --rounds 1 --print-only
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import psutil
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
CONNECTIONS = 8
TOKENS = 200
HTTPS = "X-Forwarded-Proto: https\r\n"


@dataclass(frozen=True)
class Row:
    """One line of the table; `floor` and `cost` are in microseconds of CPU time per request."""

    name: str
    cost: float
    floor: float
    rate: float
    p99: float

    @property
    def ratio(self) -> float:
        return self.cost / self.floor


@dataclass(frozen=True)
class Server:
    process: psutil.Popen
    port: int

    def cpu_seconds(self) -> float:
        tree = [self.process, *self.process.children(recursive=True)]
        return float(sum(sum(each.cpu_times()[:2]) for each in tree))

    def exchange(self, connection: socket.socket, request: bytes) -> bytes:
        """Send a request and return the body of its answer, which must have a Content-Length."""
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.some(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self.some(connection)
        assert b" 200 " in head.partition(b"\r\n")[0], head
        return body

    def some(self, connection: socket.socket) -> bytes:
        if received := connection.recv(65_536):
            return received
        raise ConnectionError("the server closed the connection")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@contextmanager
def served(name: str, environment: dict[str, str]) -> Iterator[Server]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", f"benchmarks.app:{name}"]
    known = environment | {"PORT": str(port)}
    process = psutil.Popen(command, cwd=ROOT, env=known, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(process, port)
    try:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            try:
                server.connect().close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait()


def load(server: Server, requests: Sequence[bytes], seconds: float) -> tuple[float, float, float]:
    """Ask for so long; returns CPU microseconds per request, requests per second, and the 99th percentile in ms."""

    def client(offset: int) -> list[float]:
        took = []
        with server.connect() as connection:
            for request in cycle(requests[offset:] + requests[:offset]):
                begin = time.perf_counter()
                server.exchange(connection, request)
                took.append(time.perf_counter() - begin)
                if begin > end:
                    return took
        return took

    before, begin = server.cpu_seconds(), time.perf_counter()
    end = begin + seconds
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        took = [each for found in pool.map(client, range(CONNECTIONS)) for each in found]
    elapsed = time.perf_counter() - begin
    cost = (server.cpu_seconds() - before) / len(took)
    return cost * 1e6, len(took) / elapsed, statistics.quantiles(took, n=100)[98] * 1e3


def signature(sign: Callable[[bytes], object]) -> float:
    """CPU microseconds of one signature."""
    begin = time.process_time()
    for _ in range(500):
        sign(b"x" * 500)
    return (time.process_time() - begin) / 500 * 1e6


def rs256() -> float:
    key = rsa.generate_private_key(65_537, 2_048)
    return signature(lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def es256() -> float:
    key = ec.generate_private_key(ec.SECP256R1())
    return signature(lambda data: key.sign(data, ec.ECDSA(hashes.SHA256())))


def get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{HTTPS}{headers}\r\n".encode()


def post_token(client_id: str, secret: str) -> bytes:
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    body = "grant_type=client_credentials&scope=read%3Alogs"
    head = f"Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{HTTPS}{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@contextmanager
def settings() -> Iterator[dict[str, str]]:
    """Production settings, on a database of their own."""
    with tempfile.TemporaryDirectory() as folder:
        yield {name: value for name, value in os.environ.items() if not name.startswith("KEYTURN_")} | {
            "KEYTURN_ENV": "production",
            "KEYTURN_ISSUER": "https://auth.example.com",
            "KEYTURN_TRUSTED_PROXIES": "1",
            "KEYTURN_SECRET_KEYS": Fernet.generate_key().decode(),
            "KEYTURN_DATABASE_URL": f"sqlite:///{folder}/bench.db",
        }


def flask(environment: dict[str, str], *command: str) -> str:
    run = [sys.executable, "-m", "flask", *command]
    return subprocess.run(run, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def one_round(environment: dict[str, str], ask: bytes, seconds: float) -> list[Row]:
    with served("bare", environment) as server:
        floor, _, rate, p99 = measured(server, [get("/")], seconds, 0)
        form_floor = measured(server, [ask.replace(b"/oauth/token", b"/")], seconds, 0)[0]
    rows = [Row("a bare Flask route: the floor", floor, floor, rate, p99)]
    for alg, sign in (("RS256", rs256), ("ES256", es256)):
        flask(environment | {"KEYTURN_SIGNING_ALG": alg}, "keys", "rotate", "--now")
        with served("app", environment) as server:
            rows.append(Row(f"a token, {alg}", *(measured(server, [ask], seconds, form_floor + sign()))))
            with server.connect() as connection:
                tokens = [json.loads(server.exchange(connection, ask))["access_token"] for _ in range(TOKENS)]
            guarded = [get("/constant", f"Authorization: Bearer {token}\r\n") for token in tokens]
            rows.append(Row(f"a guarded route, {alg}", *(measured(server, guarded, seconds, floor))))
    return rows


def measured(server: Server, requests: list[bytes], seconds: float, floor: float) -> tuple[float, float, float, float]:
    load(server, requests, seconds / 4)  # parse the keys, fill the caches
    cost, rate, p99 = load(server, requests, seconds)
    return cost, floor, rate, p99


def median(rounds: list[list[Row]]) -> list[Row]:
    """The round whose RS256 token has the median ratio, whole: figures of two rounds are not to be mixed."""
    return sorted(rounds, key=lambda rows: rows[1].ratio)[len(rounds) // 2]


def table(rows: list[Row]) -> str:
    lines = [
        "| what is asked | CPU µs | floor, µs | ratio | per second | p99, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row.name} | {row.cost:.0f} | {row.floor:.0f} | {row.ratio:.2f} | {row.rate:.0f} | {row.p99:.1f} |"
        )
    return "\n".join(lines)


def page(rows: list[Row], arguments: argparse.Namespace) -> str:
    token = next(row for row in rows if row.name == "a token, RS256")
    return f"""# What a request costs

Made by `make bench`; do not edit.

{table(rows)}

A figure is the CPU time, user and system, of the server's whole process tree, divided by the requests it answered.
The floor is a bare Flask route under the same gunicorn with the same settings; for a token the same form is sent to it, and one signature by OpenSSL is added.
Settings of production, audit trail on, SQLite, {CONNECTIONS} connections that are kept; a guarded route is asked with {TOKENS} tokens in turn.
The median of {arguments.rounds} rounds of {arguments.seconds:g} seconds each, whole; quote the ratios.
The load comes from a Python client on the same machine, so the rates are its limit as much as the server's.
To put other servers beside it: `compare.py`, which drives any server command with wrk, where it is at hand.

One core that does nothing else issues about {1e6 / token.cost:.0f} RS256 tokens a second.

Machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    with settings() as environment:
        flask(environment, "prepare")
        made = json.loads(flask(environment, "clients", "create", "bench", "--scope", "read:logs", "--json"))
        ask = post_token(made["client_id"], made["client_secret"])
        rows = median([one_round(environment, ask, arguments.seconds) for _ in range(arguments.rounds)])
    sys.stdout.write(table(rows) + "\n")
    if not arguments.print_only:
        PAGE.write_text(page(rows, arguments))


if __name__ == "__main__":
    main()
