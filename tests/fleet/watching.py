"""What is seen while clients use the fleet: a line a second, and over a long time whether anything grows."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from tests.fleet.database import OLD_SECONDS, let_days_pass, recorded
from tests.fleet.drills import Drill, Say
from tests.fleet.load import OUTCOMES, Load
from tests.fleet.machines import MACHINES, WORKERS, Fleet

BEFORE_SECONDS, AFTER_SECONDS = 2, 2
MEGABYTE = 2**20
STEPS = 30
UPKEEP_SECONDS = 30  # a worker looks at least every 20, whether a round is due, and each round takes some
TRAIL_ROWS = 1_000  # KEYTURN_AUDIT_ROWS of the fleet


@contextmanager
def clients_of(fleet: Fleet, *, threads: int = 6, rounds: float = 4) -> Iterator[Load]:
    """Clients that use the fleet: half of them get JWTs, the others opaque tokens."""
    with_jwts = fleet.register(f"fleet-{time.time_ns()}", "--scope", "read:logs")
    opaque = fleet.register(f"fleet-opaque-{time.time_ns()}", "--scope", "read:logs", "--format", "opaque")
    name = f"fleet-api-{time.time_ns()}"
    api = fleet.register(name, "--resource-server", fleet.url, "--no-grant")
    load = Load(fleet.url, fleet.certificate, [with_jwts, opaque] * (threads // 2), api, rounds=rounds)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def show(second: int, counts: Counter[str], says: list[str]) -> None:
    columns = "".join(f"{counts[each]:>7} {each}" for each in OUTCOMES)
    sys.stdout.write(f"{second:>4} s {columns}   {'; '.join(says)}\n")
    sys.stdout.flush()


def watch(fleet: Fleet, drill: Drill) -> list[str]:
    """Run a drill while clients use the fleet, print what they see each second, and return what was wrong."""
    says: list[str] = []
    with clients_of(fleet) as load:
        act = threading.Thread(target=acting, args=[fleet, drill, says.append])
        act.start()
        ends, second = 0, 0
        while ends < AFTER_SECONDS:
            time.sleep(1)
            second, ends = second + 1, 0 if act.is_alive() else ends + 1
            said, says[:] = says[:], []
            show(second, load.take(), said)
    return drill.faults(load.total, load.lost(), events_lost(fleet, load))


def events_lost(fleet: Fleet, load: Load) -> int:
    """How many of the tokens that clients got are missing in the trail."""
    issued = load.total["issued"]
    ids = {client_id for client_id, _ in load.clients}
    return max(0, issued - recorded(fleet, ids, issued))


def acting(fleet: Fleet, drill: Drill, say: Say) -> None:
    time.sleep(BEFORE_SECONDS)
    try:
        drill.act(fleet, say)
    except Exception as error:
        say(f"the drill itself failed: {error}")
        raise


@dataclass(frozen=True)
class Sizes:
    """What must not grow with time: memory, connections and files of the servers, tables."""

    worker_megabytes: float
    open_files: int
    connections: int
    audit_rows: int
    token_rows: int
    revocation_rows: int
    tables_megabytes: float

    @classmethod
    def of(cls, fleet: Fleet) -> Sizes:
        workers = [each for server in fleet.servers for each in server.children()]
        with psycopg.connect(fleet.postgresql.get_uri()) as connection:
            found = connection.execute(
                "SELECT (SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()),"
                " (SELECT count(*) FROM audit_events WHERE event = 'token_issued'),"
                " (SELECT count(*) FROM issued_tokens), (SELECT count(*) FROM revoked_tokens),"
                " (SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables)"
            ).fetchone()
        connections, *rows, size = found or (0, 0, 0, 0, 0)
        most = max(each.memory_full_info().pss for each in workers) / MEGABYTE
        files = max(each.num_fds() for each in workers)
        return cls(most, files, int(connections), *map(int, rows), float(size) / MEGABYTE)


def connections_at_most() -> int:
    """Two for each of the 8 threads of a worker, and one each for its keys, its trail, its upkeep and its metrics."""
    return MACHINES * WORKERS * (2 * 8 + 4)


def soak(fleet: Fleet, seconds: float, *, threads: int = 6, rounds: float = 4) -> list[str]:
    """Let clients use the fleet for a long time; print sizes thirty times, and return what grew.

    Each time, days pass for the rows that are not new, so that the upkeep of the workers removes them.
    """
    taken: list[Sizes] = []
    issued: list[int] = []  # opaque tokens until then, each a row
    start, since = time.monotonic(), 0.0
    with clients_of(fleet, threads=threads, rounds=rounds) as load:
        for step in range(1, STEPS + 1):
            time.sleep(max(0.0, start + step * seconds / STEPS - time.monotonic()))
            since = let_days_pass(fleet)
            taken.append(Sizes.of(fleet))
            issued.append(load.total["opaque"])
            show(int(step * seconds / STEPS), load.take(), [described(taken[-1])])
    faults = Drill("soak", "", lambda *_: None).faults(load.total, load.lost(since=since))
    return [*faults, *grown(taken), *left_behind(taken, issued, seconds / STEPS)]


def described(sizes: Sizes) -> str:
    return (
        f"worker {sizes.worker_megabytes:.1f} MiB, {sizes.open_files} files; {sizes.connections} connections; "
        f"rows: {sizes.audit_rows} of the trail, {sizes.token_rows} tokens, {sizes.revocation_rows} revocations; "
        f"tables {sizes.tables_megabytes:.1f} MiB"
    )


def grown(taken: list[Sizes]) -> list[str]:
    """What was larger in the last third than in the second; the first is warming up."""
    third = len(taken) // 3
    earlier, later = taken[third : 2 * third], taken[2 * third :]
    found = []
    for name, slack in (("worker_megabytes", 3), ("open_files", 4), ("tables_megabytes", 3)):
        before, after = (max(getattr(each, name) for each in part) for part in (earlier, later))
        if after > before + slack:
            found.append(f"{name} grew from {before:.1f} to {after:.1f}")
    most = max(each.connections for each in taken)
    if most > connections_at_most():
        found.append(f"{most} connections, more than {connections_at_most()}")
    return found


def left_behind(taken: list[Sizes], issued: list[int], step_seconds: float) -> list[str]:
    """Which rows were more, at the end, than clients can have caused since the last rounds of the upkeep."""
    steps = min(len(taken) - 1, math.ceil((OLD_SECONDS + UPKEEP_SECONDS) / step_seconds) + 1)
    recent, last = issued[-1] - issued[-1 - steps], taken[-1]
    # A JWT is issued for each opaque token, and at most each has a row of the trail.
    rows = {"token_rows": recent, "revocation_rows": recent, "audit_rows": TRAIL_ROWS + 2 * recent}
    return [
        f"{getattr(last, name)} {name}, more than {most}" for name, most in rows.items() if getattr(last, name) > most
    ]
