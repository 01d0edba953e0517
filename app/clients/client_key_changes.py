"""How a client gets keys, several at once, and how one of them is ended.

Each change is one transaction with its audit event; a change that is refused writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.audit import trail
from app.audit.event import Event
from app.clients import credential
from app.clients.client import KEY_METHOD
from app.clients.client_key import MAX_KEYS, ClientKey
from app.clients.client_row import ClientRow
from app.clients.credential_rules import get, make_room
from app.clients.key_set import NewKey
from app.clients.registration_rules import RegistrationError
from app.clients.registry import get_client
from app.clients.secret_rotation import refuse_past
from app.clock import now
from app.storage.database import transaction

LAST = (
    "{kid} is the only key of {client} that works: without it the client gets no token. "
    "`flask clients add-key {client}` gives it another one; --last ends this one all the same"
)
BY_SECRET = (
    "{client} is registered for {method}, and may not use a key: "
    "`flask clients update {client} --auth-method any` (or private_key_jwt) allows it"
)
ELSEWHERE = (
    "the keys of {client} are at its jwks_uri, and a key is added there; "
    "`flask clients update {client} --jwks-uri none` makes room for keys that are stored here"
)
OTHER_KEY = "{client} has another key with the kid {kid}: give the new one another kid"
ENDED = "the key {kid} of {client} was ended for good: create a new one"
TOO_MANY = f"a client has at most {MAX_KEYS} keys; `flask clients remove-key` ends one"


def add_keys(id_or_name: str, keys: Sequence[NewKey], *, not_after: int | None = None) -> list[ClientKey]:
    """Give a client more keys; those that it has, and its secrets, still work.

    Args:
        id_or_name: The client.
        keys: Checked public keys. Those that it has already, under the same `kid`, are left as they are.
        not_after: Their planned end, in seconds since the epoch; None for no end.

    Returns:
        The keys that are new.

    Raises:
        RegistrationError: If there is no such client, it may not use a key, a `kid` is that of another of its keys,
            or it has ended one of them, or it would have more than MAX_KEYS.
    """
    refuse_past(not_after)
    with transaction():
        client = get_client(id_or_name)
        refuse_other_method(client)
        if client.jwks_uri:
            raise RegistrationError(ELSEWHERE.format(client=client.name))
        if ended := [each.kid for each in keys if each.jwk in ended_for_good(client)]:
            raise RegistrationError(ENDED.format(kid=ended[0], client=client.name))
        new = [ClientKey(**each._asdict(), not_after=not_after) for each in keys if is_new(client, each)]
        add(client, new)
    return new


def ended_for_good(client: ClientRow) -> set[str]:
    """The keys that the client had and that have ended, whatever their `kid` was: each as its JWK."""
    return {each.jwk for each in client.keys} - {each.jwk for each in usable(client)}


def refuse_other_method(client: ClientRow) -> None:
    """Refuse a client that may not use a key."""
    if client.token_endpoint_auth_method not in (None, KEY_METHOD):
        raise RegistrationError(BY_SECRET.format(client=client.name, method=client.token_endpoint_auth_method))


def add(client: ClientRow, new: Sequence[ClientKey]) -> None:
    """Add keys, in the caller's transaction."""
    make_room(client.keys, len(new), most=MAX_KEYS, refusal=TOO_MANY)
    client.keys.extend(new)
    if new:
        reason = f"kid {' '.join(each.kid for each in new)}"
        trail.record(Event.CLIENT_KEY_ADDED, client_id=client.client_id, reason=reason)


def is_new(client: ClientRow, key: NewKey) -> bool:
    """Whether a client does not have this key.

    Raises:
        RegistrationError: If it has another key of the same `kid`, or has ended this one.
    """
    found = next((each for each in client.keys if each.kid == key.kid), None)
    if found is None:
        return True
    if found.jwk != key.jwk:
        raise RegistrationError(OTHER_KEY.format(client=client.name, kid=key.kid))
    if credential.has_ended(found):
        raise RegistrationError(ENDED.format(kid=key.kid, client=client.name))
    return False


def remove_key(id_or_name: str, kid: str, *, last: bool = False) -> bool:
    """End one key now, for good, whatever the clock of a server says. Tokens that it got stay valid.

    Args:
        id_or_name: The client.
        kid: The key.
        last: Also if no other key of a client without a secret works.

    Returns:
        False if it was ended before: then nothing is changed.

    Raises:
        RegistrationError: If there is no such client or key, or it is the last one that works.
    """
    with transaction():
        client = get_client(id_or_name)
        key = get_key(client, kid)
        if key.ended_at is not None:
            return False
        if not last and usable(client) == [key] and client.token_endpoint_auth_method == KEY_METHOD:
            raise RegistrationError(LAST.format(kid=key.kid, client=client.name))
        end(client, key)
    return True


def end(client: ClientRow, key: ClientKey) -> None:
    """End one key now, in the caller's transaction."""
    key.end(now())
    trail.record(Event.CLIENT_KEY_REMOVED, client_id=client.client_id, reason=f"kid {key.kid}")


def replace(client: ClientRow, keys: Sequence[NewKey]) -> None:
    """Let a client have these keys and no other, in the caller's transaction.

    Raises:
        RegistrationError: As `add_keys`, if one cannot be added.
    """
    wanted = {each.kid for each in keys}
    for old in usable(client):
        if old.kid not in wanted:
            end(client, old)
    add(client, [ClientKey(**each._asdict()) for each in keys if is_new(client, each)])


def usable(client: ClientRow) -> list[ClientKey]:
    """The keys of a client that still work."""
    return credential.usable(client.keys)


def get_key(client: ClientRow, kid: str) -> ClientKey:
    """The key of a client with this `kid`.

    Raises:
        RegistrationError: If there is none; the text names one that is spelt nearly like it, or all of them.
    """
    return get({each.kid: each for each in client.keys}, kid, refusal=f"{client.name} has no key with the kid")
