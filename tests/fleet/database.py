"""What the drills do to PostgreSQL, and read from it: a crash, old rows, and what the trail has counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil
import psycopg

from tests.fleet.machines import Fleet

OLD_SECONDS = 20  # `let_days_pass` takes what is older
DAYS_SECONDS = 3 * 86_400  # more than any row outlives its token
RECORDED_SECONDS = 15


def crash(fleet: Fleet) -> None:
    """End every process of PostgreSQL at once, as when the machine loses its power."""
    postmaster = psutil.Process(fleet.postgresql.get_pid())
    processes = [postmaster, *postmaster.children(recursive=True)]
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(processes, timeout=30)


def let_days_pass(fleet: Fleet) -> float:
    """Let what is older than OLD_SECONDS be three days older, and the next round of the upkeep be due.

    Returns:
        Tokens of this second and later are as they were.
    """
    since = int(time.time()) - OLD_SECONDS
    with psycopg.connect(fleet.postgresql.get_uri()) as connection:
        connection.execute(
            "UPDATE issued_tokens SET issued_at = issued_at - %(days)s, expires_at = expires_at - %(days)s"
            " WHERE issued_at < %(since)s AND expires_at > %(since)s",
            {"days": DAYS_SECONDS, "since": since},
        )
        connection.execute(
            "UPDATE revoked_tokens SET expires_at = expires_at - %(days)s WHERE expires_at > %(since)s",
            {"days": DAYS_SECONDS, "since": since},
        )
        connection.execute("UPDATE upkeep_lease SET round_at = round_at - 300")
    return since + 1


def recorded(fleet: Fleet, client_ids: Iterable[str], at_least: int) -> int:
    """How many tokens of these clients the trail has; it is written within a second, or once PostgreSQL is back."""

    def count() -> int:
        with psycopg.connect(fleet.postgresql.get_uri()) as connection:
            found = connection.execute(
                "SELECT coalesce(sum(count), 0) FROM audit_events WHERE event = 'token_issued' AND client_id = ANY(%s)",
                [list(client_ids)],
            ).fetchone()
        return int(found[0]) if found else 0

    return until(count, at_least)


def until(count: Callable[[], int], at_least: int) -> int:
    end = time.monotonic() + RECORDED_SECONDS
    while (found := count()) < at_least and time.monotonic() < end:
        time.sleep(0.2)
    return found
