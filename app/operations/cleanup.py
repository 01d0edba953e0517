"""`flask cleanup`: removes what has expired, and nothing that is still needed.

Run it from time to time, by cron or a timer. It may run beside the servers, twice at once, and again:
each step is a transaction of a few milliseconds, with a pause after it in which others write.

A clock may be wrong, and what this command removes does not come back. So what a clock could still need
is removed a day late, and the old events of the trail only on request.
"""

from __future__ import annotations

import click
from sqlalchemy import func, select

from app.audit import retention, trail
from app.audit.event import AuditEvent, Event
from app.clients.secret import ClientSecret
from app.clock import LEEWAY_SECONDS, now
from app.keys.signing_key import SigningKey
from app.operations.command_group import Outcome, changes, operator_command
from app.settings import current_settings
from app.storage.database import db, delete_in_steps, transaction
from app.tokens.stored_token import IssuedToken, RevokedToken

# How long a refusal can name the secret that has ended: "the secret blue expired 3 days ago".
ENDED_SECRET_SECONDS = 7 * 86_400
OLD_EVENTS_LEFT = (
    "{} audit events are older than KEYTURN_AUDIT_DAYS. The servers remove at most a day of the trail in 24 hours;\n"
    "`flask cleanup --old-events` removes all of these now."
)


def remove_expired(*, old_events: bool = False) -> dict[str, int]:
    """Remove what no check needs.

    Args:
        old_events: Whether to also remove all events that are older than KEYTURN_AUDIT_DAYS.

    Returns:
        How many rows of each kind were removed.

    Raises:
        ClocksDifferError: If this machine's clock and the database's differ; then nothing is removed.
    """
    retention.check_clock()
    # An opaque token that is removed too early is refused, and its client requests another.
    expired = now() - LEEWAY_SECONDS
    removed = {
        "opaque tokens": delete_in_steps(IssuedToken, IssuedToken.expires_at <= expired),
        "revocations": delete_in_steps(RevokedToken, RevokedToken.is_of_no_use(now())),
        "secrets": delete_in_steps(ClientSecret, ClientSecret.not_after <= now() - ENDED_SECRET_SECONDS),
        "signing keys": delete_in_steps(SigningKey, SigningKey.is_of_no_use(now())),
        "audit events": retention.trim_rows(current_settings()),
    }
    if old_events:
        removed["audit events"] += delete_in_steps(AuditEvent, retention.too_old(current_settings()))
    if any(removed.values()):
        with transaction():
            trail.record(Event.CLEANED_UP, reason=", ".join(f"{n} {what}" for what, n in removed.items() if n))
    return removed


@operator_command("cleanup", refusals=(retention.ClocksDifferError,))
@click.option("--old-events", is_flag=True, help="Also remove all audit events older than KEYTURN_AUDIT_DAYS.")
@changes
def cleanup(old_events: bool) -> Outcome:
    """Remove what has expired: tokens, revocations, secrets, keys, and audit events past KEYTURN_AUDIT_ROWS.

    The servers remove old audit events, at most a day of the trail in 24 hours; --old-events removes them
    all. If PostgreSQL's clock and this machine's differ by more than a minute, nothing is removed.
    """
    removed = remove_expired(old_events=old_events)
    left = db.session.scalar(select(func.count()).where(retention.too_old(current_settings()))) or 0
    lines = [f"{what:14} {count:9} removed" for what, count in removed.items()]
    lines += [OLD_EVENTS_LEFT.format(left)] if left else []
    return Outcome({"removed": removed, "old_events_left": left}, "\n".join(lines), changed=any(removed.values()))
