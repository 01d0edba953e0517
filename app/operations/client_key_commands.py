"""The commands of `flask clients` about keys, by which a client authenticates without a secret."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from app.audit.trail import current_batch
from app.clients import client_key_changes, registry
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.credential import has_ended
from app.clients.registration_rules import RegistrationError
from app.operations import key_set_report
from app.operations.client_commands import which
from app.operations.command_group import Outcome, as_json, changes, moment, operator_command, print_json
from app.operations.exit_codes import FailedError
from app.operations.private_key_file import algorithm, generated, given_keys, jwks_file
from app.operations.time_options import Time, ago

command = partial(operator_command, refusals=(RegistrationError,))  # `all_commands.py` puts them under `flask clients`
NO_KEY = "give the key with --jwks FILE, or let --generate-key FILE create one"


@command("keys")
@which
@click.option("--fetch", is_flag=True, help="Fetch its jwks_uri now; all servers have its keys a minute later.")
@as_json
def keys(client: str, fetch: bool, as_json: bool) -> None:
    """Show each key of a client: its kid, until when it works, and when it was last used."""
    current_batch().write_before_reading()
    row = registry.get_client(client)
    if fetch:
        fetch_again(row)
    key_set = key_set_report.describe_key_set(row)
    if as_json:
        found = {"client_id": row.client_id, "name": row.name, "keys": [describe_key(each) for each in row.keys]}
        print_json(found | ({"jwks_uri": row.jwks_uri, "key_set": key_set} if key_set else {}))
    elif key_set:
        click.echo(f"At {row.jwks_uri}: {key_set_report.key_set_as_text(key_set)}")
    else:
        click.echo("\n".join(map(as_text, row.keys)) or f"{row.name} has no key.")


def fetch_again(client: ClientRow) -> None:
    """Raises FailedError if the keys cannot be fetched."""
    if client.jwks_uri is None:
        raise RegistrationError(f"{client.name} has no jwks_uri: its keys are stored here")
    if why := key_set_report.fetch(client.jwks_uri):
        raise FailedError(why)


@command("add-key")
@which
@jwks_file
@generated
@algorithm
@click.option("--not-after", type=Time(), metavar="TIME", help="When the key ends; by default it does not.")
@changes
def add_key(client: str, jwks: Path | None, generate_key: str | None, key_alg: str, not_after: int | None) -> Outcome:
    """Give a client one more key, or several; its other keys still work."""
    if jwks is None and generate_key is None:
        raise click.UsageError(NO_KEY)
    with given_keys(jwks, generate_key, key_alg) as given:
        new = client_key_changes.add_keys(client, given, not_after=not_after)
    row = registry.get_client(client)
    sentences = [f"{row.name} has a new key: {as_text(each)}." for each in new]
    if generate_key:
        sentences.append(f"Its private key is in {generate_key}, and nowhere else.")
    if not new:
        sentences = [f"{row.name} has these keys already: nothing was changed."]
    return outcome(row, new, sentences, changed=bool(new))


@command("remove-key")
@which
@click.argument("kid")
@click.option("--last", is_flag=True, help="Also if it is the only key of the client that works.")
@changes
def remove_key(client: str, kid: str, last: bool) -> Outcome:
    """End one key now, for good; the tokens that it got stay valid."""
    changed = client_key_changes.remove_key(client, kid, last=last)
    row = registry.get_client(client)
    key = client_key_changes.get_key(row, kid)
    if not changed:
        return outcome(row, [key], [f"{kid} of {row.name} was ended before: nothing was changed."], changed=False)
    sentences = [
        f"{kid} of {row.name} has ended; it {last_use(key)}.",
        f"Its tokens stay valid until they expire; `flask tokens revoke --client {row.name}` revokes them.",
    ]
    return outcome(row, [key], sentences, changed=True)


remove_key.context_settings["ignore_unknown_options"] = True  # a kid may begin with a dash


def outcome(client: ClientRow, found: list[ClientKey], sentences: list[str], *, changed: bool) -> Outcome:
    document = {"client_id": client.client_id, "name": client.name, "keys": [describe_key(each) for each in found]}
    return Outcome(document, "\n".join(sentences), changed)


def describe_key(key: ClientKey) -> dict[str, Any]:
    """A key for --json: everything but the key itself."""
    names = ("kid", "alg", "created_at", "not_after", "ended_at", "last_used_at")
    return {name: getattr(key, name) for name in names} | {"state": "ended" if has_ended(key) else "works"}


def as_text(key: ClientKey) -> str:
    if has_ended(key):
        works = f"ended {moment(key.not_after or key.ended_at or 0)}"
    else:
        works = f"works until {moment(key.not_after)}" if key.not_after else "works without a planned end"
    return f"{key.kid} ({key.alg}), created {moment(key.created_at)}, {works}, {last_use(key)}"


def last_use(key: ClientKey) -> str:
    return f"was last used {ago(key.last_used_at)}" if key.last_used_at else "was never used"
