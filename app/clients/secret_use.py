"""Whether a secret is still in use, from where, and when it is safe to end it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.audit import credential_use
from app.audit.credential_use import Use
from app.clients.client_row import ClientRow
from app.clients.secret import ClientSecret, has_ended
from app.clock import now
from app.settings import current_settings

DAY = 86_400
HOUR = 3_600


@dataclass(frozen=True, slots=True)
class SecretUse:
    """How a secret is used. All times are in whole seconds since the epoch; they are up to a second old.

    Attributes:
        secret: The secret.
        is_in_use: Whether it was used within the period.
        addresses: From where, in the period; if it was not used in it, in the hour of its last use.
        longest_pause: The longest time in seconds for which it was not used between two uses; None if not known.
        safe_at: From when it is safe to end it, unless it is used again; None if it has ended.
    """

    secret: ClientSecret
    is_in_use: bool
    addresses: Sequence[Use]
    longest_pause: int | None
    safe_at: int | None


def use_of(client: ClientRow, secret: ClientSecret, *, within: int = DAY) -> SecretUse:
    """How a client's secret is used, by its last use and the audit trail.

    A secret is safe to end when it has not been used for twice its longest pause, or twice as long as a token of the
    client is valid, whichever is longer; without a known pause, for two days.

    Args:
        client: The client.
        secret: One of its secrets.
        within: Seconds of the period.
    """
    last, moment = secret.last_used_at, now()
    # A name can be used again when the row of its secret is removed: earlier rows of the trail are about another one.
    since = max(secret.created_at, min(moment - within, (last or moment) - HOUR))
    pause = credential_use.longest_pause(client.client_id, secret.name, since=secret.created_at)
    lifetime = client.access_token_seconds or current_settings().access_token_seconds
    quiet = 2 * max(DAY if pause is None else pause, lifetime)
    return SecretUse(
        secret=secret,
        is_in_use=last is not None and last >= moment - within,
        addresses=credential_use.by_address(client.client_id, secret.name, since=since),
        longest_pause=pause,
        safe_at=None if has_ended(secret) else (last or secret.created_at) + quiet,
    )
