"""`flask clients …`: register, show, change and delete clients; `secret_commands.py` has those about secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.clients import registration, registration_update, registry
from app.clients.client import AUTH_METHODS, TOKEN_FORMATS
from app.clients.registered_values import GRANT
from app.clients.registration_rules import RegistrationError
from app.clients.registration_update import Wanted
from app.clients.trust_rules import checked_trust
from app.operations import client_report, key_set_report
from app.operations.client_report import changes_as_text, describe, describe_changes
from app.operations.command_group import CommandGroup, Outcome, as_json, changes, print_json
from app.operations.private_key_file import algorithm, generated, given_keys, jwks_file, jwks_uri_option
from app.operations.typed_values import parse_claims, parse_lifetime

clients = CommandGroup(
    "clients", help="Register clients, and change by what they authenticate.", refusals=(RegistrationError,)
)
which = click.argument("client")
CLAIM = "A claim for its tokens; with --issuer, what a token of that issuer must say. It may be repeated."


@clients.command()
@click.argument("name")
@click.option("--scope", default="", help="Every scope that it may request, separated by spaces.")
@click.option("--default-scope", help="The scope it gets if it requests none; by default all of its scope.")
@click.option("--lifetime", "access_token_seconds", type=int, metavar="SECONDS", help="How long its tokens are valid.")
@click.option("--auth-method", help=f"The only method by which it may authenticate: {' or '.join(AUTH_METHODS)}.")
@click.option(
    "--format", "token_format", default="jwt", help=f"The format of its tokens: {' or '.join(TOKEN_FORMATS)}."
)
@click.option("--resource-server", metavar="URL", help="Make it the API of this audience, which may introspect tokens.")
@click.option("--claim", "claims", multiple=True, metavar="KEY=VALUE", help=CLAIM)
@click.option("--no-grant", is_flag=True, help="Register it without a grant: it gets no tokens.")
@click.option("--issuer", metavar="NAME", help="Whose tokens authenticate it: [issuers.NAME] of keyturn.toml.")
@jwks_file
@jwks_uri_option
@generated
@algorithm
@changes
def create(
    name: str,
    scope: str,
    default_scope: str | None,
    access_token_seconds: int | None,
    auth_method: str | None,
    token_format: str,
    resource_server: str | None,
    claims: tuple[str, ...],
    no_grant: bool,
    issuer: str | None,
    jwks: Path | None,
    jwks_uri: str | None,
    generate_key: str | None,
    key_alg: str,
) -> Outcome:
    """Register a client and show its secret, once; or with a key or an issuer, and without a secret."""
    given = parse_claims(claims)
    with given_keys(jwks, generate_key, key_alg, jwks_uri) as keys:
        client, plaintext = registration.register(
            name,
            scope=scope,
            default_scope=default_scope,
            access_token_seconds=access_token_seconds,
            auth_method=auth_method,
            grant_types="" if no_grant or (resource_server not in (None, "none") and not scope) else GRANT,
            token_format=token_format,
            resource_server=resource_server,
            claims={} if issuer else given,
            keys=keys,
            jwks_uri=jwks_uri,
            trust=checked_trust(issuer, given) if issuer else None,
        )
    if client.jwks_uri and (why := key_set_report.fetch(client.jwks_uri)):
        click.echo(f"{key_set_report.UNREACHABLE.format(why=why)}.", err=True)
    for each in client.trusts:
        if not each.identity:
            click.echo(client_report.WITH_STAR.format(client=client.name), err=True)
    return shown(describe(client) | ({"client_secret": plaintext} if plaintext else {}))


@clients.command()
@which
@click.option("--name", help="A new name; the id never changes.")
@click.option("--scope", help="Every scope that it may request. A default scope that was all of it stays all of it.")
@click.option("--default-scope", help="The scope it gets if it requests none.")
@click.option(
    "--lifetime", metavar="SECONDS", help="How long its tokens are valid; `default` for the server's setting."
)
@click.option(
    "--auth-method", help=f"The only method by which it may authenticate: {' or '.join(AUTH_METHODS)}; or `any`."
)
@click.option("--format", "token_format", help=f"The format of its tokens: {' or '.join(TOKEN_FORMATS)}.")
@click.option("--resource-server", metavar="URL", help="Make it the API of this audience; `none` for no API.")
@click.option("--jwks-uri", metavar="URL", help="Where its keys are from now on; `none` for no longer there.")
@click.option("--claim", "claims", multiple=True, metavar="KEY=VALUE", help="Add or replace a claim; may be repeated.")
@click.option("--no-claims", is_flag=True, help="Remove its claims, before any --claim is added.")
@click.option("--grant/--no-grant", "has_grant", default=None, help="Whether it may request tokens.")
@changes
def update(
    client: str,
    name: str | None,
    scope: str | None,
    default_scope: str | None,
    lifetime: str | None,
    auth_method: str | None,
    token_format: str | None,
    resource_server: str | None,
    jwks_uri: str | None,
    claims: tuple[str, ...],
    no_claims: bool,
    has_grant: bool | None,
) -> Outcome:
    """Change the registration of a client; options that are not given change nothing."""
    wanted = Wanted(
        name=name,
        scope=scope,
        default_scope=default_scope,
        access_token_seconds=parse_lifetime(lifetime),
        auth_method=auth_method,
        has_grant=has_grant,
        token_format=token_format,
        resource_server=resource_server,
        jwks_uri=jwks_uri,
        claims=parse_claims(claims),
        drops_claims=no_claims,
    )
    key_set_report.fetch_first(client, jwks_uri)
    updated, made = registration_update.update(client, wanted)
    document = {**describe(updated), "changes": describe_changes(made)}
    return Outcome(document, changes_as_text(updated, made), changed=bool(made))


@clients.command("list")
@as_json
def list_all(as_json: bool) -> None:
    """List all clients."""
    found = [describe(client) for client in registry.list_clients()]
    if as_json:
        print_json({"clients": found})
        return
    for each in found:
        state = "disabled" if each["disabled_at"] else "enabled"
        click.echo(f"{each['client_id']:28}{each['name']:24}{state:10}{each['scope']}")


@clients.command("show")
@which
@as_json
def show_one(client: str, as_json: bool) -> None:
    """Show a client, and the names and times of its secrets and keys."""
    found = describe(registry.get_client(client))
    if as_json:
        print_json(found)
    else:
        click.echo(client_report.as_text(found))


@clients.command()
@which
@changes
def disable(client: str) -> Outcome:
    """Disable a client: it and all its tokens are refused."""
    changed = registry.disable(client)
    if not changed:
        click.echo("It is already disabled: nothing was changed.", err=True)
    return shown(describe(registry.get_client(client)), changed=changed)


@clients.command()
@which
@changes
def enable(client: str) -> Outcome:
    """Enable a disabled client; its old tokens stay revoked."""
    changed = registry.enable(client)
    if not changed:
        click.echo("It is already enabled: nothing was changed, and its tokens stay valid.", err=True)
    return shown(describe(registry.get_client(client)), changed=changed)


@clients.command()
@which
@changes
def delete(client: str) -> Outcome:
    """Delete a client and its secrets."""
    return shown({"client_id": registry.delete(client), "deleted": True})


def shown(document: Mapping[str, Any], *, changed: bool = True) -> Outcome:
    return Outcome(document, client_report.as_text(document), changed)
