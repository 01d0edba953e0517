"""`flask explain REQUEST_ID`: what happened to a request, and what to do about it."""

from __future__ import annotations

from typing import Any

import click

from app.audit import reports
from app.audit.event import Budget, Event
from app.operations.command_group import as_json, moment, operator_command, print_json
from app.refusals.codes import CODES
from app.settings import current_settings

UNKNOWN = (
    "The audit trail has no event with this request id. Events appear within a second. A 404 is only in the\n"
    "log, with its path. For issued tokens, and for refusals in a flood, only the last request id is stored."
)
REFUSALS = {event.value for event in Event if event.budget is Budget.REFUSED}


@operator_command("explain")
@click.argument("request_id")
@as_json
def explain(request_id: str, as_json: bool) -> None:
    """Show what happened to a request, by the X-Request-Id of its response."""
    found = [explanation(event.as_dict()) for event in reports.of_request(request_id)]
    if not found:
        raise click.ClickException(UNKNOWN)
    if as_json:
        print_json({"events": found})
        return
    for each in found:
        click.echo("\n".join(f"{name:10}{value}" for name, value in readable(each) if value))


def explanation(event: dict[str, Any]) -> dict[str, Any]:
    """The event, with its reason split, and with the meaning and the page of its error code."""
    code, colon, reason = str(event.get("reason", "")).partition(": ")
    if event["event"] not in REFUSALS or not colon or code not in CODES:
        return event
    page = f"{current_settings().issuer}/errors/{code}"
    return event | {"reason": reason, "error": code, "meaning": CODES[code].meaning, "error_uri": page}


def readable(event: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("when", moment(event["at"])),
        ("what", event["event"]),
        ("client", event.get("client_id")),
        ("error", event.get("error")),
        ("because", event.get("reason")),
        ("meaning", event.get("meaning")),
        ("page", event.get("error_uri")),
        ("counted", event["count"] if event["count"] > 1 else None),
    ]
