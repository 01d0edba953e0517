"""`flask explain REQUEST_ID`: what a request sent, what was decided, why, and what to do about it.

The decision is from the audit trail. In development the journal has what was sent, and also requests without an event
in the trail, such as a 404.
"""

from __future__ import annotations

import textwrap
import time
from typing import Any

import click

from app.audit import reports
from app.audit.event import Budget, Event
from app.journal.entry import Entry
from app.journal.journal_file import current_journal
from app.operations import remedies
from app.operations.command_group import as_json, moment, operator_command, print_json
from app.operations.development_journal import open_journal
from app.refusals.codes import CODES
from app.refusals.errors import NO_TOKEN
from app.settings import current_settings

UNKNOWN = (
    "The audit trail has no event with this request id. Events appear within a second. A 404 is only in the\n"
    "log, with its path. For issued tokens, and for refusals in a flood, only the last request id is stored."
)
NO_TOKEN_FOUND = (
    "The audit trail has no token with this jti. Tokens appear within a second; those of earlier releases, and those\n"
    "past KEYTURN_AUDIT_ROWS or KEYTURN_AUDIT_DAYS, cannot be found."
)
NO_ID = "Give one of: the X-Request-Id of a response, --jti with the jti of a token, --last for the last request."
NO_REQUEST = "There are no requests yet: start the server with `make run`, and send one."
IN_PRODUCTION = "--last is for development only: in production give the X-Request-Id of the response."
REFUSALS = {event.value for event in Event if event.budget is Budget.REFUSED}
WIDTH, INDENT = 100, 10


@operator_command("explain")
@click.argument("request_id", required=False)
@click.option(
    "--last", type=click.IntRange(1), is_flag=False, flag_value=1, metavar="[N]", help="Explain the last N requests."
)
@click.option("--jti", help="Show to whom a token was issued, by its jti: a claim of a JWT, or from introspection.")
@as_json
def explain(request_id: str | None, last: int | None, jti: str | None, as_json: bool) -> None:
    """Show what happened to a request, by the X-Request-Id of its response."""
    if [request_id, last, jti].count(None) != 2:
        raise click.UsageError(NO_ID)
    found = explained_token(jti) if jti else explained_last(last) if last else explained(str(request_id))
    note("explain --last" if last else "explain", str(request_id or ""), found)
    if as_json:
        print_json({"events": found})
        return
    click.echo("\n\n".join(as_text(each) for each in found))


def explained(request_id: str) -> list[dict[str, Any]]:
    """The events of a request; without any, the request itself if the journal has it."""
    sent = next((entry for entry in reversed(requests()) if entry.request_id == request_id), None)
    issuer = sent.issuer if sent else current_settings().issuer  # the server may have another PORT than this command
    found = [explanation(event.as_dict(), issuer) for event in reports.of_request(request_id)]
    if not found and not (sent and request_id):
        raise click.ClickException(UNKNOWN)
    if sent:
        found = [of_journal(sent) | event for event in found or [{}]]
    return found


def explained_token(jti: str) -> list[dict[str, Any]]:
    """The rows that count a token: its client, credential, address, scope and, to the second, its time."""
    if not (found := reports.of_jti(jti)):
        raise click.ClickException(NO_TOKEN_FOUND)
    return [event.as_dict() for event in found]


def explained_last(count: int) -> list[dict[str, Any]]:
    """The last requests of this development server, the oldest first, from the journal."""
    open_journal(IN_PRODUCTION)
    if not (found := requests()[-count:]):
        raise click.ClickException(NO_REQUEST)
    return [of_journal(entry) for entry in found]


def requests() -> list[Entry]:
    journal = None if current_settings().is_production else current_journal()
    return [entry for entry in journal.entries() if not entry.command] if journal else []


def note(command: str, request_id: str, found: list[dict[str, Any]]) -> None:
    """Note in the journal that a refusal was explained, so that `flask lesson` can tick it."""
    journal = None if current_settings().is_production else current_journal()
    if journal and any("error" in each for each in found):
        journal.append(Entry(at=time.time(), command=command, request_id=request_id))


def explanation(event: dict[str, Any], issuer: str) -> dict[str, Any]:
    """The event, with its reason split, and with the meaning and the page of its error code."""
    code, colon, reason = str(event.get("reason", "")).partition(": ")
    if event["event"] not in REFUSALS or not colon or code not in CODES:
        return event
    return event | {"reason": reason, "error": code} | meaning(code, reason, issuer)


def meaning(code: str, reason: str, issuer: str) -> dict[str, Any]:
    """What an error code means, what to do, and where its page is."""
    if code == "no_token":
        return {"do": NO_TOKEN}
    if code not in CODES:
        return {}
    remedy = remedies.for_reason(code, reason)
    return {"meaning": CODES[code].meaning, "error_uri": f"{issuer}/errors/{code}"} | ({"do": remedy} if remedy else {})


def of_journal(entry: Entry) -> dict[str, Any]:
    """What the journal has of a request."""
    found: dict[str, Any] = {
        "at": int(entry.at),
        "request": f"{entry.method} {entry.path}",
        "status": entry.status,
        "authenticated": how(entry),
        "scope": entry.scope or None,
        "client_id": entry.client_id or None,
        "granted": f"{entry.token} {entry.granted}" if entry.granted else None,
        "error": entry.error or None,
        "reason": entry.reason or None,
        "request_id": entry.request_id,
    }
    found |= meaning(entry.error, entry.reason, entry.issuer)
    return {name: value for name, value in found.items() if value is not None}


def how(entry: Entry) -> str:
    """How the client authenticated, in words."""
    names = {"basic": "HTTP Basic", "post": "a secret in the form", "assertion": "a signed assertion"}
    names |= {"bearer": "a Bearer token", "none": "nothing"}
    sent = names.get(entry.auth, "another scheme of Authorization")
    return f"{sent}, accepted" if entry.is_authenticated and entry.auth != "none" else sent


def as_text(explained: dict[str, Any]) -> str:
    lines = (
        textwrap.fill(
            f"{name:{INDENT}}{value}",
            WIDTH,
            subsequent_indent=" " * INDENT,
            break_on_hyphens=False,
            break_long_words=False,
        )
        for name, value in readable(explained)
        if value
    )
    return "\n".join(lines)


def readable(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("when", moment(found["at"])),
        ("request", found.get("request")),
        ("sent", found.get("authenticated")),
        ("scope", found.get("scope")),
        ("what", found.get("event")),
        ("status", found.get("status")),
        ("client", found.get("client_id")),
        ("with", found.get("credential")),
        ("address", found.get("address")),
        ("operator", found.get("operator")),
        ("granted", found.get("granted")),
        ("error", found.get("error")),
        ("because", found.get("reason")),
        ("meaning", found.get("meaning")),
        ("do", found.get("do")),
        ("page", found.get("error_uri")),
        ("counted", found["count"] if found.get("count", 1) > 1 else None),
        ("id", found.get("request_id") if "event" not in found else None),
    ]
