"""`flask clients …`: register, show, change and delete clients, and rotate their secrets."""

from __future__ import annotations

from typing import Any

import click

from app.clients import registry, secret_rotation
from app.clients.client import SECRET_METHODS, TOKEN_FORMATS, Client
from app.clients.registration_rules import RegistrationError
from app.clients.secret import ClientSecret
from app.operations.command_group import CommandGroup, as_json, moment, print_json

clients = CommandGroup("clients", help="Register clients, and rotate their secrets.", refusals=(RegistrationError,))
which = click.argument("client")
SHOWN = (
    "client_id",
    "name",
    "scope",
    "default_scope",
    "access_token_seconds",
    "token_endpoint_auth_method",
    "grant_types",
    "token_format",
    "resource_server",
    "claims",
    "created_at",
    "disabled_at",
    "tokens_not_before",
)


@clients.command()
@click.argument("name")
@click.option("--scope", default="", help="What it may ever ask for: words with spaces between.")
@click.option("--default-scope", help="What it gets if it asks for nothing; otherwise all of its scope.")
@click.option("--lifetime", "access_token_seconds", type=int, metavar="SECONDS", help="How long its tokens live.")
@click.option("--auth-method", help=f"The only way it may authenticate: {' or '.join(SECRET_METHODS)}.")
@click.option("--format", "token_format", default="jwt", help=f"What its tokens are: {' or '.join(TOKEN_FORMATS)}.")
@click.option("--resource-server", metavar="URL", help="It is the API of this audience, and may ask about tokens.")
@click.option("--claim", "claims", multiple=True, metavar="KEY=VALUE", help="A claim for its tokens; may be repeated.")
@click.option("--no-grant", is_flag=True, help="A client that never gets a token.")
@as_json
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
    as_json: bool,
) -> None:
    """Register a client and show its secret, once."""
    client, plaintext = registry.register(
        name,
        scope=scope,
        default_scope=default_scope,
        access_token_seconds=access_token_seconds,
        auth_method=auth_method,
        grant_types="" if no_grant or (resource_server and not scope) else "client_credentials",
        token_format=token_format,
        resource_server=resource_server,
        claims=parse_claims(claims),
    )
    show({**describe(client), "client_secret": plaintext}, as_json)


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
    """Show a client and its secrets' names and times."""
    show(describe(registry.get_client(client)), as_json)


@clients.command()
@which
@as_json
def disable(client: str, as_json: bool) -> None:
    """Refuse a client from now on."""
    show(describe(registry.disable(client)), as_json)


@clients.command()
@which
@as_json
def enable(client: str, as_json: bool) -> None:
    """Let a disabled client in again."""
    show(describe(registry.enable(client)), as_json)


@clients.command()
@which
@as_json
def delete(client: str, as_json: bool) -> None:
    """Remove a client and its secrets."""
    show({"client_id": registry.delete(client), "deleted": True}, as_json)


@clients.command("rotate-secret")
@which
@click.option("--name", help="What to call the new secret.")
@click.option("--overlap", type=int, default=0, metavar="SECONDS", help="How long the old ones still work (0).")
@as_json
def rotate_secret(client: str, name: str | None, overlap: int, as_json: bool) -> None:
    """Give a client a new secret and show it, once."""
    plaintext = secret_rotation.rotate_secret(client, name=name, overlap=overlap)
    show({**describe(registry.get_client(client)), "client_secret": plaintext}, as_json)


def parse_claims(pairs: tuple[str, ...]) -> dict[str, str]:
    claims: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name in claims:
            raise RegistrationError("a claim is written KEY=VALUE, each key once")
        claims[name] = value
    return claims


def describe(client: Client) -> dict[str, Any]:
    """A client as the commands show it; its secrets by name and times only."""
    described = {name: getattr(client, name) for name in SHOWN} | {"grant_types": client.grant_types.split()}
    return described | {"secrets": [describe_secret(secret) for secret in client.secrets]}


def describe_secret(secret: ClientSecret) -> dict[str, Any]:
    names = ("name", "created_at", "not_after", "last_used_at")
    return {name: getattr(secret, name) for name in names}


def show(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        if name == "secrets":
            for secret in value:
                times = [f"{what} {moment(at)}" for what, at in secret.items() if what != "name" and at]
                click.echo(f"{'secret':28}{secret['name']}: {', '.join(times)}")
        elif value not in (None, [], {}, 0):
            click.echo(f"{name:28}{moment(value) if name.endswith(('_at', '_before')) else readable(value)}")
    if "client_secret" in shown:
        click.echo("The secret is shown this once: keep it where your other secrets are.")


def readable(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={text}" for name, text in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
