"""What the commands print about the keys of a client that are at its `jwks_uri`, and how they fetch them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from app.clients import client_key_changes, registry
from app.clients.client_row import ClientRow
from app.clients.key_set_address import checked_jwks_uri
from app.clients.registration_rules import RegistrationError
from app.operations.command_group import moment
from app.remote_keys import key_sets
from app.remote_keys.key_source import KeySetError, KeySource

UNREACHABLE = "{why}. It gets no token until the server can fetch its keys"
AT_ONCE = "A key that leaks is removed there first; then `flask clients keys CLIENT --fetch` tells the servers."
WOULD_END = "{why}. Nothing was changed: the keys of {client} that are stored here would end, and it would get no token"


def describe_key_set(client: ClientRow) -> dict[str, Any] | None:
    """What the `jwks_uri` of a client gave last; None without one."""
    if client.jwks_uri is None:
        return None
    last = key_sets.last_fetch(KeySource(client.jwks_uri))
    keys = [{"kid": each.kid, "alg": each.alg} for each in last.keys] if last else []
    times = {name: getattr(last, name, 0) or None for name in ("fetched_at", "fresh_until")}
    return {"keys": keys, **times, "failure": str(last.failure) if last and last.failure else None}


def key_set_as_text(found: dict[str, Any]) -> str:
    """What `describe_key_set` returns, in a line."""
    kids = ", ".join(each["kid"] for each in found["keys"])
    times = [f"{name} {moment(found[name])}" for name in ("fetched_at", "fresh_until") if found[name]]
    failure = [f"then {found['failure']}" if times else found["failure"]] if found["failure"] else []
    return ", ".join([f"{kids}: {times[0]}", *times[1:], *failure] if times else failure or ["not fetched yet"])


def meaning_for_keys(client: ClientRow, changed: Collection[str]) -> Iterator[str]:
    """Sentences about the keys of a client, of which these values were changed."""
    if "jwks_uri" in changed and client.jwks_uri:
        yield f"Its keys are there from now on; those that were stored here have ended. {AT_ONCE}"


def fetch(uri: str) -> str | None:
    """Fetch the key set at an address, and store it for the servers.

    Returns:
        Why that failed, as a sentence; None if it did not.
    """
    try:
        key_sets.fetch_now(KeySource(uri))
    except KeySetError as error:
        return str(error)
    return None


def fetch_first(id_or_name: str, uri: str | None) -> None:
    """Fetch what a client's keys will be, before those that it has end.

    Raises:
        RegistrationError: If they cannot be fetched, and it has others.
    """
    address = checked_jwks_uri(uri)
    client = registry.get_client(id_or_name)
    if address is None or address == client.jwks_uri:
        return
    why = fetch(address)
    if why and client_key_changes.usable(client):
        raise RegistrationError(WOULD_END.format(why=why, client=client.name))
