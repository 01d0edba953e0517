"""The client registry: how clients are found, disabled and deleted (`registration.py` adds one).

Each change is one transaction with its audit event; a change that is refused writes nothing.
Each function that takes an id or a name raises `RegistrationError` if no client has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from sqlalchemy import Text, bindparam, cast, or_, select
from sqlalchemy.orm import selectinload

from app.audit import trail
from app.audit.event import Event
from app.clients.client import Client
from app.clients.client_key import ClientKey, known_keys
from app.clients.client_row import ClientRow
from app.clients.registration_rules import RegistrationError
from app.clients.secret import ClientSecret, known_secrets
from app.clock import now
from app.keys import keystore
from app.logs import one_line
from app.storage.database import db, transaction
from app.storage.fast_statement import Statement

MAX_NAMES_COMPARED = 5_000

FIND_CLIENT = Statement(
    select(
        ClientRow.client_id,
        ClientRow.scope,
        ClientRow.default_scope,
        ClientRow.access_token_seconds,
        ClientRow.token_endpoint_auth_method,
        ClientRow.grant_types,
        cast(ClientRow.claims, Text).label("claims_json"),
        ClientRow.token_format,
        ClientRow.resource_server,
        ClientRow.disabled_at,
        ClientRow.generation,
        ClientRow.jwks_uri,
        ClientSecret.id.label("secret_id"),
        ClientSecret.name.label("secret_name"),
        ClientSecret.digest.label("secret_digest"),
        ClientSecret.not_after.label("secret_not_after"),
        ClientSecret.ended_at.label("secret_ended_at"),
        ClientKey.id.label("key_id"),
        ClientKey.kid.label("key_kid"),
        ClientKey.alg.label("key_alg"),
        ClientKey.jwk.label("key_jwk"),
        ClientKey.not_after.label("key_not_after"),
        ClientKey.ended_at.label("key_ended_at"),
        keystore.GENERATION,
    )
    .outerjoin(ClientSecret, ClientSecret.client_row == ClientRow.id)
    # Most clients have one or the other: only one with both has a row for each pair, 64 at most.
    .outerjoin(ClientKey, ClientKey.client_row == ClientRow.id)
    .where(ClientRow.client_id == bindparam("client_id"))
)


def find_client(client_id: str) -> Client | None:
    """The client with this id with its secrets and keys, or None, by one statement: a row for each pair of them.

    The statement also reads whether the signing keys have changed.
    """
    rows = FIND_CLIENT.run(client_id=client_id)
    if not rows:
        return None
    client = rows[0]
    keystore.current_keystore().notice(client.key_generation)
    return Client(
        client_id=client.client_id,
        scope=client.scope,
        default_scope=client.default_scope,
        access_token_seconds=client.access_token_seconds,
        token_endpoint_auth_method=client.token_endpoint_auth_method,
        grant_types=client.grant_types,
        claims_json=client.claims_json,
        token_format=client.token_format,
        resource_server=client.resource_server,
        disabled_at=client.disabled_at,
        generation=client.generation,
        secrets=known_secrets(rows),
        keys=known_keys(rows) if client.key_id is not None else (),
        jwks_uri=client.jwks_uri,
    )


def get_client(id_or_name: str) -> ClientRow:
    """The client with this id or name.

    Raises:
        RegistrationError: If there is none; the text names similar ones.
    """
    query = select(ClientRow).where(or_(ClientRow.client_id == id_or_name, ClientRow.name == id_or_name))
    found = db.session.scalars(query).one_or_none() if id_or_name.isprintable() else None
    if found is None:
        near = nearest(id_or_name)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise RegistrationError(f"no client has the id or the name {one_line(id_or_name)}{hint}")
    return found


def nearest(name: str) -> list[str]:
    """Up to three names of clients that are spelt nearly like this one; ids are random, so none resembles another."""
    names = db.session.scalars(select(ClientRow.name).order_by(ClientRow.id.desc()).limit(MAX_NAMES_COMPARED))
    return get_close_matches(name[:64], list(names), n=3, cutoff=0.7)


def list_clients() -> Sequence[ClientRow]:
    """All clients with their secrets, keys and trusts, the oldest first."""
    each = [selectinload(what) for what in (ClientRow.secrets, ClientRow.keys, ClientRow.trusts)]
    return db.session.scalars(select(ClientRow).options(*each).order_by(ClientRow.id)).all()


def revoke_tokens(id_or_name: str) -> ClientRow:
    """Revoke every token issued to the client so far, of either format."""
    with transaction():
        client = get_client(id_or_name)
        end_tokens(client)
        trail.record(Event.TOKENS_REVOKED, client_id=client.client_id)
    return client


def disable(id_or_name: str) -> bool:
    """Refuse the client, and revoke all tokens issued to it so far; its secrets are not removed.

    Returns:
        False if it was disabled before: then nothing is changed.
    """
    with transaction():
        client = get_client(id_or_name)
        if client.disabled_at is not None:
            return False
        set_disabled(client, True)
    return True


def enable(id_or_name: str) -> bool:
    """Accept the client again; its old tokens stay revoked, whichever release disabled it.

    Returns:
        False if it was enabled before: then nothing is changed, and its tokens stay valid.
    """
    with transaction():
        client = get_client(id_or_name)
        if client.disabled_at is None:
            return False
        set_disabled(client, False)
    return True


def set_disabled(client: ClientRow, is_disabled: bool) -> None:
    """Disable or enable a client, in the caller's transaction."""
    client.disabled_at = now() if is_disabled else None
    end_tokens(client)
    trail.record(Event.CLIENT_DISABLED if is_disabled else Event.CLIENT_ENABLED, client_id=client.client_id)


def end_tokens(client: ClientRow) -> None:
    """Revoke every token issued to the client so far, of either format.

    Also one that is being issued now: it has the generation that was read before, not the new one.
    """
    client.generation += 1
    # For the previous release, whose servers may still run. It never moves back: that would revive tokens.
    client.tokens_not_before = client.ended_until = max(client.tokens_not_before, now() + 1)


def delete(id_or_name: str) -> str:
    """Remove the client and its secrets.

    Returns:
        Its client id.
    """
    with transaction():
        client = get_client(id_or_name)
        client_id = client.client_id
        remove(client)
    return client_id


def remove(client: ClientRow) -> None:
    """Remove a client and its secrets, in the caller's transaction."""
    trail.record(Event.CLIENT_DELETED, client_id=client.client_id)
    db.session.delete(client)
