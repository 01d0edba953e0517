"""Makes docs/performance.md and its charts from the figures that `make bench` stored."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.charts import bars
from benchmarks.server import ROOT

FIGURES = ROOT / "benchmarks" / "figures.json"
PAGE = ROOT / "docs" / "performance.md"
PROSE = ROOT / "benchmarks" / "performance.md"
CHARTS = ROOT / "docs" / "charts"

Figures = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """The most that a figure may be."""

    what: str
    value: float
    limit: float
    unit: str = "times"

    def row(self) -> str:
        reached = "reached" if self.value <= self.limit else "**not reached**"
        return f"| {self.what} | {number(self.value)} {self.unit} | {number(self.limit)} {self.unit} | {reached} |"


def number(value: float) -> str:
    return f"{value:.4f}" if value < 0.01 else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def all_targets(figures: Figures) -> Iterable[Target]:
    cost = {name: each["cpu"] for name, each in figures["requests"].items()}
    floor = cost["floor"]
    yield Target("token, RS256 ÷ (floor + signature)", cost["token, RS256"] / (floor + cost["signature, RS256"]), 1.5)
    yield Target("token, opaque ÷ floor", cost["token, opaque"] / floor, 2.5)
    yield Target("guarded route, JWT ÷ floor", cost["guarded route, JWT"] / floor, 1.7)
    yield Target("introspection ÷ floor", cost["introspection"] / floor, 2.2)
    yield from beside_peers(cost)
    clients = [each["cpu"] for each in figures["clients"].values()]
    yield Target("a token with the most clients ÷ with 10", clients[-1] / clients[0], 1.1)
    for what, each in figures["tokens"].items():
        kind, _, request = what.partition(": ")
        if kind == "many":
            without = figures["tokens"][f"none: {request}"]["cpu"]
            yield Target(f"{request}, with many live tokens and revocations ÷ with none", each["cpu"] / without, 1.1)
    cleanup, sql = figures["cleanup"], figures["postgresql"]
    yield Target("99th percentile during `flask cleanup` ÷ without", cleanup["during"] / cleanup["without"], 2)
    yield Target("token, RS256, on PostgreSQL ÷ on SQLite", sql["PostgreSQL"]["cpu"] / sql["SQLite"]["cpu"], 1.3)
    yield Target("memory of a worker, resident", figures["memory"]["after"], 110, "MiB")
    yield Target("its growth over the requests", figures["memory"]["after"] - figures["memory"]["before"], 2, "MiB")
    imports = figures["imports"]
    yield Target("`import wsgi` ÷ import of its libraries", imports["wsgi"] / imports["libraries"], 2)


def beside_peers(cost: dict[str, float]) -> Iterable[Target]:
    for request, peer, limit in (
        ("token, RS256", "node-oidc-provider, RS256", 1.25),
        ("token, ES256", "node-oidc-provider, ES256", 1.4),
        ("guarded route, JWT", "express-oauth2-jwt-bearer", 1.5),
        ("token, RS256", "Django OAuth Toolkit, opaque", 1 / 250),
    ):
        if peer in cost:
            yield Target(f"{request} ÷ {peer}", cost[request] / cost[peer], limit)


def targets(figures: Figures) -> str:
    head = ["| metric | measured | target, at most | |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(each.row() for each in all_targets(figures))])


def requests(rows: dict[str, dict[str, float]]) -> str:
    lines = [
        "| request | CPU µs | ÷ floor | per second | p99, ms | MiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    floor = rows["floor"]["cpu"]
    for name, each in rows.items():
        measured = [f"{each[unit]:.0f}" if each["rate"] else "" for unit in ("rate", "p99", "memory")]
        lines.append(f"| {name} | {each['cpu']:.0f} | {each['cpu'] / floor:.2f} | {' | '.join(measured)} |")
    return "\n".join(lines)


def grown(rows: dict[str, dict[str, float]], head: str) -> str:
    lines = [f"| {head} | CPU µs | per second | p99, ms |", "| --- | --- | --- | --- |"]
    for name, each in rows.items():
        label = f"{int(name):,}" if name.isdigit() else name
        lines.append(f"| {label} | {each['cpu']:.0f} | {each['rate']:.0f} | {each['p99']:.1f} |")
    return "\n".join(lines)


def text(figures: Figures) -> str:
    """The page: the prose of performance.md beside this file, with the figures in it."""
    machine, rows = figures["machine"], figures["requests"]
    known = {
        **figures["size"],
        **{f"memory_{name}": value for name, value in figures["memory"].items()},
        **{f"cleanup_{name}": value for name, value in figures["cleanup"].items()},
        **{f"import_{name}": value for name, value in figures["imports"].items()},
        "day": machine["day"],
        "processor": machine["processor"],
        "python": machine["python"],
        "packages": ", ".join(f"{name} {version}" for name, version in machine["packages"].items()),
        "targets": targets(figures),
        "requests": requests(rows),
        "by_clients": grown(figures["clients"], "clients"),
        "by_tokens": grown(figures["tokens"], "tokens and revocations: request"),
        "by_workers": grown(figures["workers"], "workers: request"),
        "profile": "\n".join(f"| {share:.0%} | {name} |" for name, share in figures["profile"].items()),
        "guide": rows.get("the guide's own stack, opaque", {"cpu": 0})["cpu"],
        "per_core_rs256": 1e6 / rows["token, RS256"]["cpu"],
        "per_core_es256": 1e6 / rows["token, ES256"]["cpu"],
        "per_core_guarded": 1e6 / rows["guarded route, JWT"]["cpu"],
    }
    return PROSE.read_text().format_map(known)


def charts(figures: Figures) -> dict[str, str]:
    by_clients = [round(each["cpu"]) for each in figures["clients"].values()]
    counts = list(dict.fromkeys(name.partition(": ")[0] for name in figures["workers"]))
    by_workers = {
        request: [round(figures["workers"][f"{count}: {request}"]["rate"]) for count in counts]
        for request in ("token, ES256", "guarded route, JWT")
    }
    clients = [f"{int(count):,}" for count in figures["clients"]]
    return {
        "cost-by-clients.svg": bars(
            "CPU time of an ES256 token", "clients", "µs", clients, {"token, ES256": by_clients}
        ),
        "throughput-by-workers.svg": bars("Requests per second", "workers", "per s", counts, by_workers),
    }


def documents() -> dict[Path, str]:
    figures = json.loads(FIGURES.read_text())
    return {PAGE: text(figures)} | {CHARTS / name: drawn for name, drawn in charts(figures).items()}


def write() -> None:
    CHARTS.mkdir(exist_ok=True)
    for file, made in documents().items():
        file.write_text(made)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(" ".join(str(file) for file, made in documents().items() if file.read_text() != made) or None)
    write()
