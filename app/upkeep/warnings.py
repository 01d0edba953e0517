"""What ends soon: secrets and signing keys; each is logged at most once a day by the whole fleet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from app.clients.client_row import ClientRow
from app.clients.secret import ClientSecret
from app.clock import duration, now
from app.keys import plan
from app.keys.key_rows import all_keys, in_state
from app.logs import log
from app.settings import current_settings
from app.storage.database import db

DAY_SECONDS = 86_400
SECRETS_SECONDS = 7 * DAY_SECONDS  # how long before its end the upkeep warns of a secret
KEYS_SECONDS = DAY_SECONDS
MOST = 100  # that are logged and reported one by one

Ending = dict[str, Any]


def ending(within_seconds: int) -> list[Ending]:
    """What ends within this time, the first to end first.

    Returns:
        For a secret `kind` is `secret_ends`; `client_id`, `client` (the client's name), `name` (the secret's), `at` in
        seconds since the epoch, `last_used_at` or None, and `is_last`: no other secret of the client lives longer.
        For the signing key that stops signing `kind` is `key_ends`; `name` is its `kid`, `successor` that of the key
        which signs then.
    """
    return sorted([*secrets(within_seconds), *signing_keys(within_seconds)], key=lambda each: int(each["at"]))


def secrets(within_seconds: int) -> Iterable[Ending]:
    moment = now()
    lives = ClientSecret.ended_at.is_(None) & (ClientSecret.not_after.is_(None) | (ClientSecret.not_after > moment))
    soon = select(ClientSecret.client_row).where(lives, ClientSecret.not_after <= moment + within_seconds)
    found = select(ClientSecret, ClientRow.client_id, ClientRow.name).join(ClientRow)
    rows = db.session.execute(found.where(lives, ClientSecret.client_row.in_(soon))).all()
    longest: dict[int, float] = {}
    for secret, _, _ in rows:
        end = float("inf") if secret.not_after is None else secret.not_after
        longest[secret.client_row] = max(end, longest.get(secret.client_row, 0))
    for secret, client_id, client in rows:
        if secret.not_after is not None and secret.not_after <= moment + within_seconds:
            yield {
                "kind": "secret_ends",
                "client_id": client_id,
                "client": client,
                "name": secret.name,
                "at": secret.not_after,
                "last_used_at": secret.last_used_at,
                "is_last": secret.not_after >= longest[secret.client_row],
            }


def signing_keys(within_seconds: int) -> Iterable[Ending]:
    """The active key, if its end is planned within this time: by a rotation, or by its age."""
    keys, moment = all_keys(), now()
    active = in_state("active", keys, moment)
    at = plan.end_of_active(keys, moment, current_settings().key_rotation_days)
    if active and at is not None and at <= moment + within_seconds:
        successor = in_state("next", keys, moment) or in_state("standby", keys, moment)
        yield {
            "kind": "key_ends",
            "client_id": None,
            "name": active.kid,
            "at": at,
            "successor": successor.kid if successor else None,
        }


def collect() -> list[Ending]:
    """What the upkeep warns of."""
    both = [*secrets(SECRETS_SECONDS), *signing_keys(KEYS_SECONDS)]
    return sorted(both, key=lambda each: int(each["at"]))


def log_new(found: list[Ending], logged: dict[str, int]) -> dict[str, int]:
    """Log each of these that was not logged in the last 24 hours.

    Args:
        found: What ends soon, the first to end first.
        logged: When each was last logged, in seconds since the epoch.

    Returns:
        The same as it is now, for the next round.
    """
    moment = now()
    current = {key: at for key, at in logged.items() if 0 <= moment - at < DAY_SECONDS}
    for each in found[:MOST]:
        key = f"{each['kind']} {each['client_id']} {each['name']} {each['at']}"
        if key not in current:
            log.warning("%s", sentence(each), extra={"fields": {"client_id": each["client_id"]}})
            current[key] = moment
    if len(found) > MOST and "more" not in current:
        log.warning("%d more secrets end within %s", len(found) - MOST, duration(SECRETS_SECONDS))
        current["more"] = moment
    return current


def sentence(each: Ending) -> str:
    left = each["at"] - now()
    when = f"in {duration(left)}" if left > 0 else "with the next round of the upkeep"
    if each["kind"] == "key_ends":
        after = f"; then {each['successor']} signs" if each["successor"] else ""
        return f"the signing key {each['name']} stops signing {when}{after}"
    notes = ", and it is the client's last" if each["is_last"] else ""
    used = each["last_used_at"]
    notes += f"; it was used {duration(max(0, now() - used))} ago" if used else ""
    return f"the secret {each['name']} of client {each['client']} ends {when}{notes}"
