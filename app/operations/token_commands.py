"""`flask tokens …`: revoke the tokens of a client or of all clients, or one token by its `jti`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from app.audit import reports
from app.audit.event import AuditEvent
from app.clients import all_tokens, registry
from app.clients.registration_rules import RegistrationError
from app.operations.command_group import CommandGroup, Outcome, changes, moment
from app.operations.time_options import Time
from app.tokens import revoking
from app.tokens.revoking import JtiError, Revocation

tokens = CommandGroup("tokens", help="Revoke tokens.", refusals=(RegistrationError, JtiError))
UNKNOWN = (
    "Neither the database nor the audit trail knows a token with this jti: compare it with the token's. "
    "The trail knows a token within a second, until its oldest rows are removed."
)
NO_TERMINAL = "every client would have to request a new token, at once: --yes confirms it. Nothing was changed"
SURE = "Every client has to request a new token, at once. Revoke all tokens of all clients?"


@tokens.command()
@click.option("--client", help="Revoke all tokens of this client: a name or an id.")
@click.option("--jti", help="Revoke one token, by its jti: a claim of a JWT, or from introspection.")
@click.option("--expires", type=Time(), metavar="TIME", help="With --jti: when the token expires, if you know it.")
@changes
def revoke(client: str | None, jti: str | None, expires: int | None) -> Outcome:
    """Revoke all tokens issued to a client so far, or one token by its jti; the client's secrets still work."""
    if client is not None and jti is None and expires is None:
        return revoke_those_of(client)
    if jti is None or client is not None:
        raise click.UsageError("Give either --client, or --jti with or without --expires.")
    return revoke_one(jti, expires)


def revoke_those_of(client: str) -> Outcome:
    found = registry.revoke_tokens(client)
    names = ("client_id", "generation", "tokens_not_before")
    document = {name: getattr(found, name) for name in names}
    return Outcome(document, f"All tokens issued to {found.client_id} so far are revoked.")


def revoke_one(jti: str, expires: int | None) -> Outcome:
    done = revoking.revoke_jti(jti, expires_at=expires)
    issued = reports.of_jti(jti)
    client_id = done.client_id or next((each.client_id for each in issued), None)
    document = {
        "jti": jti,
        "result": done.result,
        "expires_at": done.expires_at,
        "client_id": client_id,
        "is_known": client_id is not None,
    }
    return Outcome(document, "\n".join([sentence(done), what_is_known(done, issued)]), done.result == "revoked")


def sentence(done: Revocation) -> str:
    if done.result == "revoked":
        elsewhere = "" if done.client_id else " An API that checks JWTs by itself accepts it until it expires."
        return f"The token is revoked: from now on it is refused here, and at introspection.{elsewhere}"
    if done.result == "before":
        return "The token was revoked before: nothing was changed."
    return f"The token expired at {moment(done.expires_at)}: nothing was changed."


def what_is_known(done: Revocation, issued: Sequence[AuditEvent]) -> str:
    if issued:
        each = issued[0]
        where = f", from {each.address}" if each.address else ""
        secret = f" with {each.credential}" if each.credential else ""
        return f"It was issued to {each.client_id}{secret}{where} at {moment(each.at)}."
    return f"It was issued to {done.client_id}." if done.client_id else UNKNOWN


@tokens.command("revoke-all")
@click.option("--yes", is_flag=True, help="Do it without a question; needed if there is no terminal.")
@changes
def revoke_all(yes: bool) -> Outcome:
    """Revoke all tokens issued to any client so far, as after a restore; secrets and signing keys stay as they are."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.ClickException(NO_TERMINAL)
        click.confirm(SURE, abort=True, err=True)
    count = all_tokens.revoke_all()
    return Outcome({"clients": count}, f"All tokens issued so far are revoked, of {count} clients.", changed=count > 0)
