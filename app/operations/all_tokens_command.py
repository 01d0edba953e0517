"""`flask tokens revoke-all`: revoke the tokens of all clients, as after a restore."""

from __future__ import annotations

import click

from app.clients import all_tokens
from app.operations.command_group import Outcome, changes
from app.operations.token_commands import tokens as tokens  # with this command in it

SURE = "Every client has to request a new token, at once. Revoke all tokens of all clients?"


@tokens.command("revoke-all")
@click.option("--yes", is_flag=True, help="Do it without a confirmation.")
@changes
def revoke_all(yes: bool) -> Outcome:
    """Revoke all tokens issued to any client so far; secrets and signing keys are left as they are.

    It is for the time after a restore: also tokens of orders that the backup does not have stay revoked.
    """
    if not yes:
        click.confirm(SURE, abort=True, err=True)
    count = all_tokens.revoke_all()
    return Outcome({"clients": count}, f"All tokens issued so far are revoked, of {count} clients.", changed=count > 0)
