"""The commands of `flask clients` about secrets: those of one client, and those of all that end soon or are unused."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

import click

from app.clients import registry, secret_rotation
from app.clients.client_row import ClientRow
from app.clients.credential_kinds import CREDENTIAL_KINDS
from app.clients.registration_rules import RegistrationError
from app.clients.secret_use import SecretUse, use_of
from app.clients.unused import Unused, unused
from app.clock import duration
from app.operations import client_report, secret_report
from app.operations.client_commands import which
from app.operations.client_report import describe
from app.operations.command_group import Outcome, as_json, changes, moment, operator_command, print_json, wants_json
from app.operations.secret_report import describe_use, still_used
from app.operations.time_options import NEVER, Duration, Time, TimeOrNever, ago, within
from app.upkeep import warnings

command = partial(operator_command, refusals=(RegistrationError,))  # `all_commands.py` puts them under `flask clients`
which_secret = click.argument("name")
MUST_SAY = (
    "{old}. Say how long it should still work: --overlap 1d for another day, or --overlap 0 to end it at once; "
    "then every program of {client} that still sends it is refused"
)


@command("secrets")
@which
@within("1d", "The period that counts as in use")
@as_json
def secrets(client: str, within: int, as_json: bool) -> None:
    """Show each secret of a client: until when it works, whether and from where it is used, when it is safe to end."""
    row = registry.get_client(client)
    found = [use_of(row, secret, within=within) for secret in row.secrets]
    if as_json:
        print_json({"client_id": row.client_id, "name": row.name, "secrets": [describe_use(each) for each in found]})
    else:
        click.echo("\n\n".join(map(secret_report.use_as_text, found)) or f"{row.name} has no secret." + has_keys(row))


def has_keys(client: ClientRow) -> str:
    return f" `flask clients keys {client.name}` shows its keys." if client.keys else ""


@command("rotate-secret")
@which
@click.option("--name", help="The name of the new secret.")
@click.option("--overlap", type=Duration(), metavar="DURATION", help="How long the old secrets still work; 0 for none.")
@click.option("--not-after", type=Time(), metavar="TIME", help="When the new secret ends; by default it does not.")
@changes
def rotate_secret(client: str, name: str | None, overlap: int | None, not_after: int | None) -> Outcome:
    """Give a client a new secret and show it, once."""
    row = registry.get_client(client)
    secret_rotation.refuse_by_key(row)
    old = [use_of(row, secret) for secret in secret_rotation.usable(row)]
    if overlap is None:
        overlap = prompt_for_overlap(row, old) if old else 0
    plaintext = secret_rotation.rotate_secret(client, name=name, overlap=overlap, not_after=not_after)
    row = registry.get_client(client)
    document = {**describe(row), "client_secret": plaintext}
    sentences = secret_report.after_rotation(row, old)
    text = "\n".join([client_report.as_text(document), *sentences])
    return Outcome({**document, "old_secrets": [describe_use(each) for each in old]}, text)


def prompt_for_overlap(client: ClientRow, old: Sequence[SecretUse]) -> int:
    """Prompt on a terminal for how long the old secrets still work.

    Raises:
        RegistrationError: If there is no terminal.
    """
    sentences = "; ".join(f"{each.secret.name} {still_used(each)}" for each in old)
    if wants_json() or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RegistrationError(MUST_SAY.format(client=client.name, old=sentences))
    click.echo(f"{sentences}.", err=True)
    question = "How long should it still work (0 ends it at once)?"
    chosen: int = click.prompt(question, type=Duration(), default="1d", err=True)
    return chosen


@command("revoke-secret")
@which
@which_secret
@click.option("--last", is_flag=True, help="Also if it is the only secret of the client that works.")
@changes
def revoke_secret(client: str, name: str, last: bool) -> Outcome:
    """End one secret now, for good; the tokens that it got stay valid."""
    changed = secret_rotation.revoke_secret(client, name, last=last)
    row, found = found_use(client, name)
    if changed:
        sentence = f"{found.secret.name} of {row.name} has ended; it {still_used(found)}."
        sentence += (
            f"\nIts tokens stay valid until they expire; `flask tokens revoke --client {row.name}` revokes them."
        )
    else:
        sentence = f"{found.secret.name} of {row.name} was ended before: nothing was changed."
    return outcome(row, found, sentence, changed)


@command("update-secret")
@which
@which_secret
@click.option("--not-after", type=TimeOrNever(), required=True, metavar="TIME", help="When it ends, or `never`.")
@changes
def update_secret(client: str, name: str, not_after: int) -> Outcome:
    """Change when one secret ends: a longer or a shorter overlap, or no end."""
    changed = secret_rotation.plan_end(client, name, not_after=None if not_after == NEVER else not_after)
    row, found = found_use(client, name)
    end = found.secret.not_after
    works = f"works until {moment(end)}" if end else "has no planned end"
    sentence = f"{found.secret.name} of {row.name} {works}" + ("." if changed else ", as before: nothing was changed.")
    if end and is_last(row, end):
        sentence += f"\nThen {row.name} has no secret: `flask clients rotate-secret {row.name}` gives it another one."
    return outcome(row, found, sentence, changed)


def is_last(client: ClientRow, end: int) -> bool:
    """Whether no secret of the client works after a moment."""
    return all(each.not_after and each.not_after <= end for each in secret_rotation.usable(client))


def found_use(client: str, name: str) -> tuple[ClientRow, SecretUse]:
    row = registry.get_client(client)
    return row, use_of(row, secret_rotation.get_secret(row, name))


def outcome(client: ClientRow, found: SecretUse, sentence: str, changed: bool) -> Outcome:
    document = {"client_id": client.client_id, "client": client.name, **describe_use(found)}
    return Outcome(document, sentence, changed)


@command("ending")
@within("30d", "How far to look ahead")
@as_json
def ending(within: int, as_json: bool) -> None:
    """List what ends soon: secrets, keys and trusts of all clients, and the signing key."""
    found = warnings.ending(within)
    if as_json:
        print_json({"within": within, "ending": found})
        return
    for each in found:
        click.echo(f"{moment(each['at'])}  {warnings.sentence(each)}")
    if not found:
        click.echo(f"Nothing ends within {duration(within)}.")


@command("stale")
@within("90d", "The period in which it was not used")
@as_json
def stale(within: int, as_json: bool) -> None:
    """List the clients, and the secrets, keys and trusts of other clients, that were not used for a long time."""
    clients, credentials = unused(seconds=within)
    if as_json:
        found = {"clients": clients} | {f"{word}s": some for word, some in credentials.items()}
        print_json({"within": within, **{what: [asdict(each) for each in some] for what, some in found.items()}})
        return
    for each in clients:
        remedy = "delete" if each.is_disabled else "disable"
        click.echo(f"{each.client:24}{'':24}{last_use(each)}: `flask clients {remedy} {each.client}`")
    for kind in CREDENTIAL_KINDS.values():
        for each in credentials[kind.word]:
            click.echo(f"{each.client:24}{each.name:24}{last_use(each)}: `{kind.end} {each.client} {each.name}`")
    if not clients and not any(credentials.values()):
        click.echo(f"No client, secret, key or trust is unused for {duration(within)}.")


def last_use(each: Unused) -> str:
    return f"last used {ago(each.last_used_at)}" if each.last_used_at else f"never used, created {ago(each.created_at)}"
