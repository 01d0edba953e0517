"""What a million rows of the audit trail take: bytes a row, and the time of each query.

    python -m benchmarks.trail sqlite:////tmp/trail.db
    python -m benchmarks.trail postgresql://USER@HOST/EMPTY_DATABASE

Its database is prepared, filled with rows as servers write them, and left as it is. Each time is the best of three, in
milliseconds; other work on the machine makes it longer.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select, text

from app import create_app
from app.audit import cursor, holding, reports, retention
from app.audit.event import AuditEvent
from app.audit.reports import Filter
from app.settings import current_settings, read_settings
from app.storage.database import db
from benchmarks.register import flask, production, put
from benchmarks.server import ROOT

ROWS = 1_000_000
CLIENTS, SECONDS = 200, 30 * 86_400  # rows of thirty days


def events(last: int) -> Iterator[dict[str, Any]]:
    """Nine in ten rows count issued tokens, as in a trail without floods."""
    for number in range(ROWS):
        client = number % CLIENTS
        row = {
            "at": last - SECONDS + number * SECONDS // ROWS,
            "client_id": f"ktc_{client:022}",
            "address": f"10.20.{client}.{number % 4}",
            "request_id": secrets.token_hex(8),
            "count": 1 + number % 5,
        }
        if number % 10:
            prefix = {"jti_prefix": secrets.token_urlsafe(6), "credential": "secret-1"}
            yield row | prefix | {"event": "token_issued", "budget": "issued", "scope": "orders:read", "reason": None}
        else:
            reason = "insufficient_scope: the token lacks the scope orders:write"
            none = {"jti_prefix": None, "credential": None, "scope": None}
            yield row | none | {"event": "access_refused", "budget": "refused", "reason": reason}


def size() -> int:
    """Bytes of the table with its indexes; of SQLite the whole file, which has hardly anything else."""
    if db.engine.dialect.name == "postgresql":
        return int(db.session.scalar(text("SELECT pg_total_relation_size('audit_events')")) or 0)
    return int(db.session.scalar(text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")) or 0)


def measure() -> dict[str, float]:
    settings, middle = current_settings(), Filter(since=ROWS // 2)
    prefix = db.session.scalar(select(func.max(AuditEvent.jti_prefix))) or ""
    client = f"ktc_{7:022}"
    queries: dict[str, Callable[[], object]] = {
        "the newest 200": lambda: reports.recent(Filter(), limit=200),
        "the next 200 after a cursor": lambda: cursor.after(middle, limit=200),
        "the newest 200 of a client": lambda: reports.recent(Filter(client_id=client), limit=200),
        "the token of a jti": lambda: reports.of_jti(f"{prefix}{'x' * 16}"),
        "uses of a client in 7 days": lambda: reports.uses(client, since=int(time.time()) - 7 * 86_400),
        "status": lambda: holding.holdings(settings),
        "nothing to trim": lambda: retention.trim_rows(settings),
    }
    found = {name: best(query) for name, query in queries.items()}
    begin = time.perf_counter()
    removed = retention.trim_rows(replace(settings, audit_rows=ROWS * 9 // 10 - 10_000))
    return found | {"trim, per 500 rows": round((time.perf_counter() - begin) * 500_000 / removed, 1)}


def best(query: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        query()
        times.append((time.perf_counter() - begin) * 1_000)
        db.session.remove()
    return round(min(times), 1)


def export(environment: dict[str, str]) -> dict[str, float]:
    begin = time.perf_counter()
    command = [sys.executable, "-m", "flask", "audit", "export"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - begin
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1_024
    return {"export, seconds": round(seconds, 1), "export, MiB at most": round(memory)}


def main() -> None:
    environment = dict(os.environ) | production(sys.argv[1])
    flask(environment, "prepare")
    app = create_app(read_settings(environment))
    with app.app_context():
        before = size()
        begin = time.perf_counter()
        put(AuditEvent, events(int(time.time())))
        filled = round(time.perf_counter() - begin)
        if db.engine.dialect.name == "postgresql":
            with db.engine.connect() as connection:
                connection.execute(text("VACUUM ANALYZE audit_events"))
        document = {"bytes a row": round((size() - before) / ROWS), "filled, seconds": filled}
        document |= export(environment) | measure()
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
