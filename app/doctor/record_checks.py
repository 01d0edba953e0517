"""The checks of what the database records: clients and their secrets, the upkeep, and the audit trail."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

import config
from app.audit import holding
from app.audit.event import AuditEvent
from app.clients import undeclared
from app.clients.client_row import ClientRow
from app.clients.unused import unused
from app.clock import DAY_SECONDS, duration, now
from app.doctor.finding import Finding, fault, warning
from app.doctor.installation import Installation
from app.storage import database_clock
from app.storage.database import db
from app.upkeep import warnings
from app.upkeep.lease import last_round
from app.upkeep.round import ROUND_SECONDS

SOON_SECONDS = 14 * DAY_SECONDS
UNUSED_DAYS = 90
LATE_SECONDS = 3 * ROUND_SECONDS
MOST = 10
ENDED = "invalid_client: the secret % expired % ago"


def check_demo_clients(installation: Installation) -> Iterator[Finding]:
    if not installation.settings.is_production:
        return
    ids = [demo.client_id for demo in config.DEMO_CLIENTS]
    for found in db.session.scalars(select(ClientRow.client_id).where(ClientRow.client_id.in_(ids))):
        yield fault(
            f"The demo client {found}, whose secret everyone knows, is registered: the server does not start again.",
            f"Run `flask clients delete {found}`.",
        )


def check_scopes(_: Installation) -> Iterator[Finding]:
    """Every client's scopes are declared; token requests for others are refused, and so are those without a scope."""
    for sentence in undeclared.sentences():
        what, is_one, rest = sentence.rpartition(": declare it")
        if is_one:
            yield fault(f"{what}.", f"Declare it{rest}")
        else:
            yield fault(sentence, "Declare them, or change these clients.")


RENEW = {
    "secret_ends": "Run `flask clients rotate-secret {} --overlap 7d`, and give its owner the new one.",
    "client_key_ends": "Let its owner create a new key, and run `flask clients add-key {} --jwks FILE`.",
    "client_trust_ends": "If it is still meant, replace it: `flask clients untrust`, then `flask clients trust {}`.",
}


def check_secrets(_: Installation) -> Iterator[Finding]:
    """A client's last secret, key or trust that ends soon: then it gets no more tokens."""
    ends = [each for each in warnings.of_clients(SOON_SECONDS) if each["is_last"]]
    for each in ends[:MOST]:
        yield warning(
            f"The last {warnings.word_of(each)} of client {each['client']} ends in {left(each['at'])}.",
            RENEW[each["kind"]].format(each["client"]),
        )
    if len(ends) > MOST:
        yield warning(
            f"{len(ends) - MOST} more clients' last secrets, keys or trusts end.", "Run `flask clients ending`."
        )


def left(end: int) -> str:
    return duration(max(0, end - now()))


def check_ended_secrets(_: Installation) -> Iterator[Finding]:
    """Secrets that have ended, and were sent in the last day."""
    recent = (AuditEvent.at > now() - DAY_SECONDS, AuditEvent.credential.is_not(None))
    sent = func.sum(AuditEvent.count)
    query = select(ClientRow.name, sent).join(AuditEvent, AuditEvent.client_id == ClientRow.client_id)
    found = db.session.execute(
        query.where(*recent, AuditEvent.reason.like(ENDED)).group_by(ClientRow.name).order_by(sent.desc()).limit(MOST)
    )
    for client, count in found:
        yield warning(
            f"A secret of client {client} that has ended was sent {count} times in the last day.",
            f"`flask clients secrets {client}` shows from where: some process still has it.",
        )


def check_unused(_: Installation) -> Iterator[Finding]:
    clients, others = unused(seconds=UNUSED_DAYS * DAY_SECONDS)
    known = {demo.client_id for demo in config.DEMO_CLIENTS}
    clients = [each for each in clients if each.client_id not in known and not each.is_disabled]
    counts = [f"{len(some)} {word}s" for word, some in others.items() if some]
    if clients or counts:
        of_others = f", and {' and '.join(counts)} of others," if counts else ""
        yield warning(
            f"{len(clients)} clients{of_others} were not used for {UNUSED_DAYS} days.",
            "`flask clients stale` names them: disable or end what nobody needs.",
        )


def check_upkeep(installation: Installation) -> Iterator[Finding]:
    """A round was done lately, by a worker or by hand."""
    at, _ = last_round()
    is_on = installation.settings.upkeep == "on"
    age = None if at is None else max(0, database_clock.read() - at)
    late = LATE_SECONDS if is_on else DAY_SECONDS
    if age is not None and age <= late:
        return
    ago = (
        "No round of the upkeep was ever done"
        if age is None
        else f"The last round of the upkeep was {duration(age)} ago"
    )
    if not is_on:
        yield fault(
            f"{ago}, and KEYTURN_UPKEEP is off.", "Run `flask cleanup --old-events` every hour: docs/upkeep.md."
        )
    elif installation.is_running() and age is not None:
        yield fault(f"{ago}, and servers run.", "Their log says what prevents it; `flask cleanup` does one by hand.")
    else:
        yield warning(f"{ago}.", "A worker does one within a minute after a server starts; see whether it does.")


def check_trail(installation: Installation) -> Iterator[Finding]:
    """The trail holds as many days as KEYTURN_AUDIT_DAYS says."""
    for sentence in holding.warnings(installation.settings).values():
        yield warning(f"The audit trail is too small for {sentence}.", "Raise KEYTURN_AUDIT_ROWS: docs/logs.md.")
