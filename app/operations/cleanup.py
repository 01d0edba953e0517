"""`flask cleanup`: one round of the upkeep by hand, and the old events of the trail on request."""

from __future__ import annotations

import time
from typing import Any

import click
from sqlalchemy import func, select

from app.audit import retention, trail
from app.audit.event import Event
from app.clock import monotonic
from app.operations.command_group import FailedError, Outcome, changes, operator_command
from app.settings import current_settings
from app.storage.database import db, transaction
from app.upkeep import lease, round  # noqa: A004, the name that people say

WAIT_SECONDS = lease.LEASE_SECONDS + 5
RETRY_SECONDS = 0.5
OLD_EVENTS_LEFT = (
    "{} audit events are older than KEYTURN_AUDIT_DAYS. The servers remove at most a day of the trail in 24 hours;\n"
    "`flask cleanup --old-events` removes all of these now."
)


def clean_up(*, old_events: bool = False) -> dict[str, Any]:
    """Do a round of the upkeep, when no worker does one any more.

    Args:
        old_events: Whether to also remove all events that are older than KEYTURN_AUDIT_DAYS.

    Returns:
        What was done, as `round.run` returns it.

    Raises:
        ClocksDifferError: If this machine's clock and the database's differ; then nothing is removed.
        BusyError: If a worker has done the upkeep all the time; it is still at it.
    """
    end = monotonic() + WAIT_SECONDS
    while True:
        try:
            report = round.run(old_events=old_events)
            break
        except lease.BusyError:
            if monotonic() >= end:
                raise
            time.sleep(RETRY_SECONDS)
    if any(report["removed"].values()):
        with transaction():
            trail.record(
                Event.CLEANED_UP, reason=", ".join(f"{n} {what}" for what, n in report["removed"].items() if n)
            )
    return report


@operator_command("cleanup", refusals=(retention.ClocksDifferError,))
@click.option("--old-events", is_flag=True, help="Also remove all audit events older than KEYTURN_AUDIT_DAYS.")
@changes
def cleanup(old_events: bool) -> Outcome:
    """Do one round of the upkeep: remove what has expired, rotate a key that is old enough.

    It removes tokens, revocations, secrets, keys, and audit events past KEYTURN_AUDIT_ROWS. The servers remove
    old audit events, at most a day of the trail in 24 hours; --old-events removes them all. If PostgreSQL's clock
    and this machine's differ by more than a minute, nothing is removed.
    """
    try:
        report = clean_up(old_events=old_events)
    except (lease.BusyError, lease.LostError) as error:
        raise FailedError(str(error)) from error  # a later try finds the lease free
    left = db.session.scalar(select(func.count()).where(retention.too_old(current_settings()))) or 0
    lines = [f"{what:14} {count:9} removed" for what, count in report["removed"].items()]
    lines += [f"The signing key was old enough: {report['rotated']} signs next."] if report["rotated"] else []
    lines += [OLD_EVENTS_LEFT.format(left)] if left else []
    document = {name: report[name] for name in ("removed", "rotated", "standby")} | {"old_events_left": left}
    changed = bool(any(report["removed"].values()) or report["rotated"] or report["standby"])
    return Outcome(document, "\n".join(lines), changed)
