"""`flask tokens …`: revoke the tokens of a client."""

from __future__ import annotations

import click

from app.clients import registry
from app.clients.registration_rules import RegistrationError
from app.operations.command_group import CommandGroup, Outcome, changes

tokens = CommandGroup("tokens", help="Revoke tokens.", refusals=(RegistrationError,))


@tokens.command()
@click.option("--client", required=True, help="The client: a name or an id.")
@changes
def revoke(client: str) -> Outcome:
    """Revoke all tokens issued to a client so far, of either format; its secrets still work."""
    found = registry.revoke_tokens(client)
    names = ("client_id", "generation", "tokens_not_before")
    document = {name: getattr(found, name) for name in names}
    return Outcome(document, f"All tokens issued to {found.client_id} so far are revoked.")
