"""What ends soon: secrets and keys of clients, and signing keys; the fleet logs each at most once a day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, literal, select, union, union_all

from app.clients.client import KEY_METHOD
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.secret import ClientSecret
from app.clock import DAY_SECONDS, duration, now
from app.keys import plan
from app.keys.key_rows import all_keys, in_state
from app.logs import log
from app.settings import current_settings
from app.storage.database import db

SECRETS_SECONDS = 7 * DAY_SECONDS  # how long before its end the upkeep warns of a secret or a key of a client
KEYS_SECONDS = DAY_SECONDS
MOST = 100  # that are logged and reported one by one

Ending = dict[str, Any]
WORDS = {"secret_ends": "secret", "client_key_ends": "key"}
METHOD = ClientRow.token_endpoint_auth_method

Credential = type[ClientSecret | ClientKey]


def query(kind: str, model: Credential, name: ColumnElement[str]) -> Select[*tuple[Any, ...]]:
    columns = (ClientRow.client_id, ClientRow.name.label("client"), name.label("name"))
    times = (model.not_after.label("at"), model.last_used_at)
    return select(literal(kind).label("kind"), *columns, *times).join(ClientRow, ClientRow.id == model.client_row)


MODELS: dict[Credential, Select[*tuple[Any, ...]]] = {
    ClientSecret: query("secret_ends", ClientSecret, ClientSecret.name.expression).where(
        METHOD.is_(None) | (METHOD != KEY_METHOD)
    ),
    ClientKey: query("client_key_ends", ClientKey, ClientKey.kid.expression).where(
        METHOD.is_(None) | (METHOD == KEY_METHOD)
    ),
}


def ending(within_seconds: int) -> list[Ending]:
    """What ends within this time, the first to end first.

    Returns:
        For a secret `kind` is `secret_ends`; `client_id`, `client` (the client's name), `name` (the secret's), `at` in
        seconds since the epoch, `last_used_at` or None, and `is_last`: no other secret or key of the client lives
        longer. For a client's key it is `client_key_ends`, and `name` is its `kid`.
        For the signing key that stops signing `kind` is `key_ends`; `name` is its `kid`, `successor` that of the key
        which signs then.
    """
    return sorted([*of_clients(within_seconds), *signing_keys(within_seconds)], key=lambda each: int(each["at"]))


def of_clients(within_seconds: int) -> Iterable[Ending]:
    """The secrets and keys that end within this time, of the clients that may use them."""
    moment = now()
    until = moment + within_seconds
    soon = union(*(select(each.client_row).where(lives(each, moment), each.not_after <= until) for each in MODELS))
    queries = (query.where(lives(each, moment), ClientRow.id.in_(soon)) for each, query in MODELS.items())
    rows = db.session.execute(union_all(*queries)).mappings().all()
    longest: dict[str, float] = {}
    for row in rows:
        end = float("inf") if row["at"] is None else row["at"]
        longest[row["client_id"]] = max(end, longest.get(row["client_id"], 0))
    for row in rows:
        if row["at"] is not None and row["at"] <= until:
            yield {**row, "is_last": row["at"] >= longest[row["client_id"]]}


def lives(model: Credential, moment: int) -> ColumnElement[bool]:
    return model.ended_at.is_(None) & (model.not_after.is_(None) | (model.not_after > moment))


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
    both = [*of_clients(SECRETS_SECONDS), *signing_keys(KEYS_SECONDS)]
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
        log.warning("%d more secrets and keys end within %s", len(found) - MOST, duration(SECRETS_SECONDS))
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
    return f"the {WORDS[each['kind']]} {each['name']} of client {each['client']} ends {when}{notes}"
