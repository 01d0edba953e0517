"""`flask apply`: makes the register of clients equal to what TOML files declare (docs/apply.md)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from app.clients import applying, declaration, difference
from app.clients.declaration import Declared
from app.clients.difference import Kind, Step
from app.clients.registration_rules import RegistrationError, listed
from app.operations import difference_report
from app.operations.command_group import Outcome, changes, operator_command, wants_json
from app.operations.exit_codes import FailedError
from app.operations.file_argument import FILE_OR_DASH
from app.operations.one_at_a_time import one_at_a_time
from app.operations.secret_delivery import Delivery

ONE_APPLIES = 7591  # PostgreSQL names advisory locks by number
MAX_REMOVED = 10
STDIN = "standard input"
secrets_to = click.option(
    "--secrets-to", metavar="FILE", help="Write new secrets to this new file, as JSON lines; `-` prints them."
)
secrets_to_command = click.option(
    "--secrets-to-command",
    metavar="COMMAND",
    help="Run this for each new secret: standard input is the secret; $CLIENT_ID and $CLIENT_NAME say whose.",
)


@operator_command("apply", refusals=(RegistrationError,))
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=FILE_OR_DASH)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option("--prune", is_flag=True, help="Remove the clients that no file declares.")
@click.option("--yes", is_flag=True, help="Remove them without a question; needed if there is no terminal.")
@click.option(
    "--at-most",
    type=click.IntRange(0),
    default=MAX_REMOVED,
    metavar="NUMBER",
    help=f"How many clients --prune may remove (default {MAX_REMOVED}).",
)
@secrets_to
@secrets_to_command
@changes
def apply(
    files: tuple[str, ...],
    dry_run: bool,
    prune: bool,
    yes: bool,
    at_most: int,
    secrets_to: str | None,
    secrets_to_command: str | None,
) -> Outcome:
    """Make the register of clients equal to what FILES declare."""
    delivery = Delivery(secrets_to, secrets_to_command, wants_json())
    declared = declaration.read((STDIN if file == "-" else file, read(file)) for file in files)
    if prune and not declared:
        raise RegistrationError("no file declares a client: --prune would remove all of them. Nothing was changed")
    if dry_run:
        return difference_report.outcome(difference.find(declared, prune=prune), {}, is_dry=True)
    confirmed = confirmed_removals(declared, yes) if prune else set()
    with one_at_a_time("apply", number=ONE_APPLIES):
        found = difference.find(declared, prune=prune)
        check_removals(found.of(Kind.REMOVE), confirmed, at_most)
        made = applying.new_secrets(found)
        with delivery.before(made):
            ids = applying.apply(found, declared, made)
    return difference_report.outcome(found, ids, is_dry=False)


def read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def confirmed_removals(declared: Sequence[Declared], yes: bool) -> set[str] | None:
    """The names of the clients whose removal was confirmed; None if any may be removed."""
    if yes:
        return None
    names = [step.name for step in difference.find(declared, prune=True).of(Kind.REMOVE)]
    if not names:
        return set()
    if not sys.stdin.isatty():
        raise RegistrationError(f"--prune would remove {listed(names)}: --yes confirms it. Nothing was changed")
    click.confirm(f"Remove {listed(names)}, with their secrets?", abort=True, err=True)
    return set(names)


def check_removals(removed: Sequence[Step], confirmed: set[str] | None, at_most: int) -> None:
    names = [step.name for step in removed]
    if len(names) > at_most:
        raise RegistrationError(
            f"--prune would remove {len(names)} clients, {listed(names)}, and may remove {at_most}: "
            f"--at-most {len(names)}, if that is meant. Nothing was changed"
        )
    if confirmed is not None and not set(names) <= confirmed:
        raise FailedError("there are other clients to remove by now; nothing was changed")
