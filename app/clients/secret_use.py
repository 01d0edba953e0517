"""Whether a secret is still in use, from where, and from when it is safe to end it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.audit import reports
from app.audit.pauses import longest_pause
from app.audit.reports import Use
from app.audit.trail import current_batch
from app.clients.client_row import ClientRow
from app.clients.credential import has_ended
from app.clients.secret import ClientSecret
from app.clock import now
from app.settings import current_settings
from app.storage.database import db

HOUR, DAY = 3_600, 86_400


@dataclass(frozen=True, slots=True)
class SecretUse:
    """How a secret is used. Times are in whole seconds since the epoch, and up to a second old.

    Attributes:
        secret: The secret.
        is_in_use: Whether it was used within the period.
        uses: From where, in the period; if it was not used in it, in the hour before its last use.
        pause: The longest pause between two uses, in seconds; None if that is not known.
        safe_at: From when it is safe to end it if it is not used again; None if it has ended.
    """

    secret: ClientSecret
    is_in_use: bool
    uses: Sequence[Use]
    pause: int | None
    safe_at: int | None


def use_of(client: ClientRow, secret: ClientSecret, *, within: int = DAY) -> SecretUse:
    """How a client's secret is used, by its last use and by the audit trail.

    It is safe to end a secret that has not been used for twice its longest pause, or for twice as long as the
    client's tokens are valid, if that is longer; for two days if no pause is known.

    Args:
        client: The client.
        secret: One of its secrets.
        within: Seconds of the period.
    """
    current_batch().write_before_reading()
    db.session.refresh(secret)
    last, moment = secret.last_used_at, now()
    # An earlier secret may have had the same name: rows of the trail from before this one was created are about that.
    since = max(secret.created_at, min(moment - within, (last or moment) - HOUR))
    pause = longest_pause(client.client_id, secret.name, since=secret.created_at)
    lifetime = client.access_token_seconds or current_settings().access_token_seconds
    quiet = 2 * max(DAY if pause is None else pause, lifetime)
    found = reports.uses(client.client_id, since=since)
    return SecretUse(
        secret=secret,
        is_in_use=last is not None and last >= moment - within,
        uses=[use for use in found if use.credential == secret.name and use.address],
        pause=pause,
        safe_at=None if has_ended(secret) else (last or secret.created_at) + quiet,
    )
