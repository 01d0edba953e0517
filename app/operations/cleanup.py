"""This file is `flask cleanup`: it removes what has expired, and nothing that is still of use.

Run it from time to time, by cron or a timer. It may run beside the servers, twice at once, and again:
each step is a transaction of a few milliseconds, with a pause behind it in which others write.
"""

from __future__ import annotations

import click

from app.audit import retention, trail
from app.clients.secret import ClientSecret
from app.clock import LEEWAY_SECONDS, now
from app.keys.signing_key import SigningKey
from app.operations.command_group import as_json, operator_command, print_json
from app.settings import current_settings
from app.storage.database import delete_in_steps, transaction
from app.tokens.stored_token import IssuedToken, RevokedToken

# A refusal can be explained for so long: "the secret blue ended 3 days ago".
ENDED_SECRET_SECONDS = 7 * 86_400


def remove_expired() -> dict[str, int]:
    """Remove what no check asks for any more.

    Returns:
        What was removed, and how many rows of it.
    """
    # Another machine's clock may be a little behind: for it these tokens still live.
    expired = now() - LEEWAY_SECONDS
    removed = {
        "opaque tokens": delete_in_steps(IssuedToken, IssuedToken.expires_at <= expired),
        "revocations": delete_in_steps(RevokedToken, RevokedToken.is_of_no_use(now())),
        "secrets": delete_in_steps(ClientSecret, ClientSecret.not_after <= now() - ENDED_SECRET_SECONDS),
        "signing keys": delete_in_steps(SigningKey, SigningKey.is_of_no_use(now())),
        "audit events": retention.trim(current_settings()),
    }
    if any(removed.values()):
        with transaction():
            trail.record("cleaned_up", reason=", ".join(f"{n} {what}" for what, n in removed.items() if n))
    return removed


@operator_command("cleanup")
@as_json
def cleanup(as_json: bool) -> None:
    """Remove what has expired: tokens, revocations, secrets, keys, and old rows of the audit trail."""
    removed = remove_expired()
    if as_json:
        print_json({"removed": removed})
        return
    for what, count in removed.items():
        click.echo(f"{what:14} {count:9} removed")
