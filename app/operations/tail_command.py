"""`flask tail`: the requests to a development server as they arrive, each in the line that its terminal shows too."""

from __future__ import annotations

import contextlib
import sys

import click

from app.journal import request_line
from app.journal.entry import Entry, from_lines
from app.operations.command_group import operator_command, print_json
from app.operations.development_journal import open_journal

SHOWN = 10
OF_DEVELOPMENT = (
    "In production there is no journal of requests: each refusal is one line of the server's log, with its method, "
    "path and reason, and `flask explain REQUEST_ID` reads the audit trail."
)


@operator_command("tail")
@click.option("-n", "--lines", "count", type=click.IntRange(min=0), help="Show the last N requests, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print each entry as one line of JSON.")
def tail(count: int | None, as_json: bool) -> None:
    """Show the requests to a development server: the last ten, and then each as it arrives."""
    journal = open_journal(OF_DEVELOPMENT)
    lines = journal.lines()
    newest = SHOWN if count is None else count
    show(requests(lines)[-newest:] if newest else [], as_json)
    if count is None:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it
            for new in journal.follow(lines):
                show(requests(new), as_json)


def requests(lines: list[bytes]) -> list[Entry]:
    return [entry for entry in from_lines(lines) if not entry.command]


def show(entries: list[Entry], as_json: bool) -> None:
    for entry in entries:
        if as_json:
            print_json(entry.as_json())
        else:
            # It has decided about colors itself; click would strip them from anything but a terminal.
            click.echo(request_line.line(entry, sys.stdout), color=True)
