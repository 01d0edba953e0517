"""`flask audit …`: export the trail, find from where a client authenticates, and see how many days the trail holds."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from datetime import UTC, datetime

import click

from app.audit import cursor, holding, reports, trail
from app.audit.cursor import UnknownCursorError
from app.clients import registry
from app.clients.registration_rules import RegistrationError
from app.clock import now
from app.operations.command_group import CommandGroup, as_json, moment, print_json
from app.operations.time_options import within
from app.settings import current_settings

FOLLOW_SECONDS = 1
NO_SINCE = "--since is the id of an event, or a time such as 2030-01-31 or 2030-01-31T12:00:00Z (UTC)."

audit = CommandGroup("audit", help="Read the audit trail.", refusals=(UnknownCursorError, RegistrationError))


@audit.command()
@click.option("--since", default="0", help="After this event, by its id, or from this time on, in UTC.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help='Print the cursor as the last line: {"next": …}.')
def export(since: str, follow: bool, as_json: bool) -> None:
    """Print events as JSON, one a line, the oldest first; the cursor for the next export comes last, on stderr."""
    position = cursor_of(since)
    try:
        position = write_events(position)
        while follow:
            time.sleep(FOLLOW_SECONDS)
            position = write_events(position)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # as of `| head`: nobody reads on, and Python would complain when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if as_json:
        print_json({"next": position})
    else:
        click.echo(f"Continue with --since {position}", err=True)


def cursor_of(since: str) -> int:
    if re.fullmatch("[0-9]{1,18}", since):
        return int(since)
    try:
        at = datetime.fromisoformat(since)
    except ValueError as error:
        raise click.UsageError(NO_SINCE) from error
    return cursor.at_moment(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()))


def write_events(position: int) -> int:
    """Write all events after a cursor, and return the next one."""
    trail.current_batch().write_before_reading()
    for page in cursor.pages(position):
        sys.stdout.write("".join(json.dumps(event) + "\n" for event in page))
        sys.stdout.flush()
        position = int(page[-1]["id"])
    return position


@audit.command()
@click.argument("client")
@within("7d", "How far to look back")
@as_json
def uses(client: str, within: int, as_json: bool) -> None:
    """Show from which addresses, and by which secrets, keys and trusts, a client has requested tokens."""
    client_id = registry.get_client(client).client_id
    found = reports.uses(client_id, since=now() - within)
    if as_json:
        print_json({"client_id": client_id, "within": within, "uses": [use_as_dict(use) for use in found]})
        return
    width = max(20, *(len(use.credential or "") for use in found), 0)  # a kid is longer than a name
    click.echo(f"{'with':{width}} {'address':40} {'issued':>9} {'refused':>9}  last")
    for use in found:
        names = f"{use.credential or '-':{width}} {use.address or '-':40}"
        click.echo(f"{names} {use.issued:9,} {use.refused:9,}  {moment(use.last_at)}")


def use_as_dict(use: reports.Use) -> dict[str, str | int | None]:
    return {name: getattr(use, name) for name in use.__slots__}


@audit.command()
@as_json
def status(as_json: bool) -> None:
    """Show how many days the trail holds at the present rate, and which bound acts first, by kind of event."""
    settings = current_settings()
    found, short = holding.holdings(settings), list(holding.warnings(settings).values())
    if as_json:
        bounds = {"audit_rows": settings.audit_rows, "audit_days": settings.audit_days}
        print_json(bounds | {"kinds": [each.as_dict() for each in found], "warnings": short})
        return
    click.echo(f"At most {settings.audit_rows:,} rows of each kind, and {settings.audit_days} days.\n")
    click.echo(f"{'kind':34} {'rows':>11}  {'oldest':20} {'rows a day':>11} {'days held':>10}  first bound")
    for each in found:
        oldest = moment(each.oldest_at) if each.oldest_at is not None else "-"
        days = f"{each.days:,.1f}" if each.days is not None else "-"
        click.echo(f"{each.kind:34} {each.rows:11,}  {oldest:20} {each.rows_per_day:11,.0f} {days:>10}  {each.first}")
    for text in short:
        click.echo(f"\n{text[0].upper()}{text[1:]}.")
