"""What ends soon: secrets, keys and trusts of clients, and signing keys; the fleet logs each at most once a day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, case, literal, select, union, union_all

from app.clients.client import KEY_METHOD
from app.clients.client_row import ClientRow
from app.clients.credential_kinds import CREDENTIAL_KINDS, METHOD, CredentialKind
from app.clock import DAY_SECONDS, duration, now
from app.keys import plan
from app.keys.key_rows import all_keys, in_state
from app.logs import log
from app.settings import current_settings
from app.storage.database import db

SECRETS_SECONDS = 7 * DAY_SECONDS  # how long before its end the upkeep warns of a credential of a client
KEYS_SECONDS = DAY_SECONDS
MOST = 100  # that are logged and reported one by one

Ending = dict[str, Any]


def word_of(each: Ending) -> str:
    """What kind of credential of a client ends, in a sentence."""
    return CREDENTIAL_KINDS[each["kind"].removesuffix("_ends")].word


def ending(within_seconds: int) -> list[Ending]:
    """What ends within this time, the first to end first.

    Returns:
        For a credential of a client `kind` is one of `CREDENTIAL_KINDS` with `_ends`; `client_id`, `client` (the
        client's name), `name` (of a key its `kid`), `at` in seconds since the epoch, `last_used_at` or None, and
        `is_last`: no other credential of the client lives longer.
        For the signing key that stops signing `kind` is `key_ends`; `name` is its `kid`, `successor` that of the key
        which signs then.
    """
    return sorted([*of_clients(within_seconds), *signing_keys(within_seconds)], key=lambda each: int(each["at"]))


def of_clients(within_seconds: int) -> Iterable[Ending]:
    """The credentials that end within this time, of the clients that may use them."""
    moment = now()
    until = moment + within_seconds
    soon = union(*(ending_rows(each, moment, until) for each in CREDENTIAL_KINDS.values()))
    queries = (living(name, kind, moment).where(ClientRow.id.in_(soon)) for name, kind in CREDENTIAL_KINDS.items())
    rows = db.session.execute(union_all(*queries)).mappings().all()
    longest: dict[str, float] = {}
    for row in rows:
        end = float("inf") if row["at"] is None or row["jwks_uri"] else row["at"]
        longest[row["client_id"]] = max(end, longest.get(row["client_id"], 0))
    for row in rows:
        if row["at"] is not None and row["at"] <= until:
            found = {name: row[name] for name in ("kind", "client_id", "client", "name", "at", "last_used_at")}
            yield found | {"is_last": row["at"] >= longest[row["client_id"]]}


def ending_rows(kind: CredentialKind, moment: int, until: int) -> Select[int]:
    return select(kind.model.client_row).where(kind.works(moment), kind.model.not_after <= until)


def living(name: str, kind: CredentialKind, moment: int) -> Select[*tuple[Any, ...]]:
    """The credentials of a kind that work, with the client that may use them, and with where its other keys are."""
    has_keys = METHOD.is_(None) | (METHOD == KEY_METHOD)
    columns = (ClientRow.client_id, ClientRow.name.label("client"), kind.name.label("name"))
    times = (kind.model.not_after.label("at"), kind.model.last_used_at)
    elsewhere = case((has_keys, ClientRow.jwks_uri)).label("jwks_uri")
    query = select(literal(f"{name}_ends").label("kind"), *columns, *times, elsewhere)
    return query.join(ClientRow, ClientRow.id == kind.model.client_row).where(kind.works(moment), kind.has_use())


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
        log.warning("%d more secrets, keys and trusts end within %s", len(found) - MOST, duration(SECRETS_SECONDS))
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
    return f"the {word_of(each)} {each['name']} of client {each['client']} ends {when}{notes}"
