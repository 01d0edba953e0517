"""The commands of `flask clients` about trusts, by which a client authenticates with a token of its platform."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from app.audit.trail import current_batch
from app.clients import client_trust_changes, registry
from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.credential import has_ended
from app.clients.registration_rules import RegistrationError
from app.clients.trust_rules import checked_trust
from app.operations.client_commands import which
from app.operations.client_report import WITH_STAR, describe_trust, readable
from app.operations.command_group import Outcome, as_json, changes, moment, operator_command, print_json
from app.operations.time_options import Time, ago
from app.operations.typed_values import parse_claims
from app.settings import current_settings

command = partial(operator_command, refusals=(RegistrationError,))  # `all_commands.py` puts them under `flask clients`


@command("trusts")
@which
@as_json
def trusts(client: str, as_json: bool) -> None:
    """Show each trust of a client: its issuer, its claims, until when it works, and when it was last used."""
    current_batch().write_before_reading()
    row = registry.get_client(client)
    if as_json:
        found = [described(each) for each in row.trusts]
        print_json({"client_id": row.client_id, "name": row.name, "trusts": found})
    else:
        click.echo("\n".join(map(as_text, row.trusts)) or f"{row.name} has no trust.")


@command("trust")
@which
@click.option("--issuer", required=True, metavar="NAME", help="An issuer of keyturn.toml: [issuers.NAME].")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    required=True,
    metavar="KEY=VALUE",
    help="What its tokens must say; may be repeated.",
)
@click.option("--name", help="The name of the trust; by default that of the issuer and a number.")
@click.option("--not-after", type=Time(), metavar="TIME", help="When the trust ends; by default it does not.")
@changes
def trust(client: str, issuer: str, claims: tuple[str, ...], name: str | None, not_after: int | None) -> Outcome:
    """Let a client authenticate with tokens of its platform; its other credentials still work."""
    registry.get_client(client)  # an unknown client is named before an unknown issuer
    new = checked_trust(issuer, parse_claims(claims))
    found, is_new = client_trust_changes.add_trust(client, new, name=name, not_after=not_after)
    row = registry.get_client(client)
    if not is_new:
        return outcome(row, found, [f"{row.name} has this trust already: {as_text(found)}."], changed=False)
    sentences = [f"{row.name} has a new trust: {as_text(found)}."]
    if not found.identity:
        sentences.append(WITH_STAR.format(client=row.name))
    return outcome(row, found, sentences, changed=True)


@command("untrust")
@which
@click.argument("trust")
@click.option("--last", is_flag=True, help="Also if it is the only trust of the client that works.")
@changes
def untrust(client: str, trust: str, last: bool) -> Outcome:
    """End one trust now, for good; the tokens that it got stay valid."""
    changed = client_trust_changes.remove_trust(client, trust, last=last)
    row = registry.get_client(client)
    found = client_trust_changes.get_trust(row, trust)
    if not changed:
        return outcome(row, found, [f"{trust} of {row.name} was ended before: nothing was changed."], changed=False)
    sentences = [
        f"{trust} of {row.name} has ended; it {last_use(found)}.",
        f"Its tokens stay valid until they expire; `flask tokens revoke --client {row.name}` revokes them.",
    ]
    return outcome(row, found, sentences, changed=True)


def outcome(client: ClientRow, found: ClientTrust, sentences: list[str], *, changed: bool) -> Outcome:
    document = {"client_id": client.client_id, "name": client.name, "trusts": [described(found)]}
    return Outcome(document, "\n".join(sentences), changed)


def described(trust: ClientTrust) -> dict[str, Any]:
    """A trust for --json."""
    return describe_trust(trust) | {"ended_at": trust.ended_at, "state": state(trust)}


def state(trust: ClientTrust) -> str:
    if has_ended(trust):
        return "ended"
    is_declared = any(each.issuer == trust.issuer for each in current_settings().issuers)
    return "works" if is_declared else "undeclared"


def as_text(trust: ClientTrust) -> str:
    if has_ended(trust):
        works = f"ended {moment(trust.not_after or trust.ended_at or 0)}"
    elif state(trust) != "works":
        works = "does not work, as keyturn.toml does not declare its issuer"
    else:
        works = f"works until {moment(trust.not_after)}" if trust.not_after else "works without a planned end"
    created = f"created {moment(trust.created_at)}"
    return f"{trust.name} ({trust.issuer} {readable(trust.claims)}), {created}, {works}, {last_use(trust)}"


def last_use(trust: ClientTrust) -> str:
    return f"was last used {ago(trust.last_used_at)}" if trust.last_used_at else "was never used"
