"""This file is the register of clients: who is in it, and every way to change it.

Each change is one transaction with its audit event; what is refused writes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from itertools import count

from sqlalchemy import bindparam, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

import config
from app.audit import trail
from app.clients import client_rules
from app.clients.client import Client
from app.clients.client_rules import RegistrationError
from app.clients.secret import MAX_SECRETS, ClientSecret, digest, generate
from app.clock import now
from app.database import db, transaction
from app.logs import one_line

MAX_OVERLAP_SECONDS = 604_800
# Built once: building it costs more than running it, and every token asks it.
FIND_CLIENT = select(Client).where(Client.client_id == bindparam("client_id")).options(joinedload(Client.secrets))


class UnknownClientError(RegistrationError):
    """No client has this id or name."""


def find_client(client_id: str) -> Client | None:
    """The client with this id, its secrets loaded with it, in one statement."""
    return db.session.scalars(FIND_CLIENT, {"client_id": client_id}).unique().one_or_none()


def get_client(id_or_name: str) -> Client:
    query = select(Client).where(or_(Client.client_id == id_or_name, Client.name == id_or_name))
    found = db.session.scalars(query).one_or_none() if id_or_name.isprintable() else None
    if found is None:
        raise UnknownClientError(f"no client has the id or the name {one_line(id_or_name)}")
    return found


def list_clients() -> Sequence[Client]:
    return db.session.scalars(select(Client).options(joinedload(Client.secrets)).order_by(Client.id)).unique().all()


def register(
    name: str,
    *,
    scope: str,
    default_scope: str | None = None,
    access_token_seconds: int | None = None,
    auth_method: str | None = None,
    grant_types: str = "client_credentials",
    claims: Mapping[str, str] | None = None,
) -> tuple[Client, str]:
    """Register a client.

    Args:
        name: 1 to 64 letters, digits, dots, dashes and underscores; unique.
        scope: What it may ever ask for; empty for a client without a grant.
        default_scope: What it gets if it asks for nothing; all of `scope` if that is one resource's.
        access_token_seconds: How long its tokens live; None for the server's setting.
        auth_method: The one way in which it authenticates; None for Basic or form, as it likes.
        grant_types: `client_credentials`, or empty for a client that never gets a token.
        claims: Added to its tokens as they are.

    Returns:
        The client, and its secret in plaintext: shown once, kept only as a digest.

    Raises:
        RegistrationError: Naming what is wrong.
    """
    scope = client_rules.checked_scope(scope) if scope or grant_types else ""
    client = Client(
        client_id=f"ktc_{secrets.token_urlsafe(16)}",  # made here, so it can never be a user's sub (RFC 9700, 4.15.1)
        name=client_rules.checked_client_name(name),
        scope=scope,
        default_scope=client_rules.checked_default(default_scope, scope) if scope else "",
        access_token_seconds=client_rules.checked_lifetime(access_token_seconds),
        token_endpoint_auth_method=client_rules.checked_method(auth_method),
        grant_types=grant_types,
        claims=client_rules.checked_claims(claims or {}),
    )
    return client, add(client, generate())


def seed(demo: config.DemoClient) -> None:
    """Register a demo client unless it is there; the only client whose secret a person chose."""
    if find_client(demo.client_id) is None:
        client = Client(
            client_id=demo.client_id,
            name=demo.client_id,
            scope=demo.scope,
            default_scope=demo.default_scope or demo.scope,
            access_token_seconds=demo.access_token_seconds,
            grant_types="client_credentials",
            claims={},
        )
        add(client, demo.secret)


def add(client: Client, plaintext: str) -> str:
    name = client.name
    client.secrets = [ClientSecret(name="secret-1", digest=digest(plaintext))]
    try:
        with transaction():
            db.session.add(client)
            trail.record("client_created", client_id=client.client_id)
    except IntegrityError as error:
        raise RegistrationError(f"the name {name} is taken") from error
    return plaintext


def rotate_secret(id_or_name: str, *, name: str | None = None, overlap: int = 0) -> str:
    """Give a client a new secret and let the old ones run out.

    Args:
        id_or_name: Whose secret.
        name: What to call the new one; otherwise `secret-N`.
        overlap: Seconds for which the old secrets still work, 0 to 604800; 0 ends them now.

    Returns:
        The new secret in plaintext: shown once, kept only as a digest.

    Raises:
        RegistrationError: If the overlap or the name is not acceptable.
    """
    if not 0 <= overlap <= MAX_OVERLAP_SECONDS:
        raise RegistrationError(f"the overlap is 0 to {MAX_OVERLAP_SECONDS} seconds")
    plaintext = generate()
    with transaction():
        client = get_client(id_or_name)
        end = now() + overlap
        for old in client.secrets:
            old.not_after = end if old.not_after is None else min(old.not_after, end)
        make_room(client)
        taken = {old.name for old in client.secrets}
        if name in taken:
            raise RegistrationError(f"the client has a secret named {name}")
        new_name = name or next(free for n in count(1) if (free := f"secret-{n}") not in taken)
        client.secrets.append(ClientSecret(name=client_rules.checked_name(new_name), digest=digest(plaintext)))
        trail.record("secret_rotated", client_id=client.client_id, reason=f"overlap {overlap} seconds")
    return plaintext


def make_room(client: Client) -> None:
    """Forget secrets that have ended, oldest first, until one more fits."""
    for old in [each for each in client.secrets if each.has_ended()]:
        if len(client.secrets) >= MAX_SECRETS:
            client.secrets.remove(old)
    if len(client.secrets) >= MAX_SECRETS:
        raise RegistrationError(
            f"the client has {MAX_SECRETS} secrets that still work; rotate with an overlap of 0 to end them"
        )


def disable(id_or_name: str) -> Client:
    """Refuse the client from now on; its secrets are kept."""
    with transaction():
        client = get_client(id_or_name)
        client.disabled_at = client.disabled_at or now()
        trail.record("client_disabled", client_id=client.client_id)
    return client


def enable(id_or_name: str) -> Client:
    with transaction():
        client = get_client(id_or_name)
        client.disabled_at = None
        trail.record("client_enabled", client_id=client.client_id)
    return client


def delete(id_or_name: str) -> str:
    """Remove the client and its secrets.

    Returns:
        Its client id.
    """
    with transaction():
        client = get_client(id_or_name)
        client_id = client.client_id
        db.session.delete(client)
        trail.record("client_deleted", client_id=client_id)
    return client_id
