"""`flask tokens …`: revoke the tokens of a client."""

from __future__ import annotations

import click

from app.clients import registry
from app.clients.registration_rules import RegistrationError
from app.operations.command_group import CommandGroup, as_json, print_json

tokens = CommandGroup("tokens", help="Revoke tokens.", refusals=(RegistrationError,))


@tokens.command()
@click.option("--client", required=True, help="The client: a name or an id.")
@as_json
def revoke(client: str, as_json: bool) -> None:
    """Revoke all tokens issued to a client so far, of either format; its secrets still work."""
    found = registry.revoke_tokens(client)
    if as_json:
        names = ("client_id", "generation", "tokens_not_before")
        print_json({name: getattr(found, name) for name in names})
    else:
        click.echo(f"All tokens issued to {found.client_id} so far are revoked.")
