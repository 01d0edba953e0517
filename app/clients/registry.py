"""This file is the register of clients: who is in it, and every way to change that.

Each change is one transaction with its audit event; what is refused writes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter

from sqlalchemy import Text, bindparam, cast, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from app.audit import trail
from app.clients import registration_rules
from app.clients.client import Client, RegisteredClient
from app.clients.registration_rules import RegistrationError
from app.clients.secret import ClientSecret, KnownSecret, digest, generate
from app.clock import now
from app.logs import one_line
from app.storage.database import db, transaction
from app.storage.failures import is_taken
from app.storage.fast_statement import Statement

FIND_CLIENT = Statement(
    select(
        *(Client.client_id, Client.scope, Client.default_scope, Client.access_token_seconds),
        *(Client.token_endpoint_auth_method, Client.grant_types, cast(Client.claims, Text).label("claims_json")),
        *(Client.token_format, Client.resource_server, Client.disabled_at),
        *(ClientSecret.id.label("secret_id"), ClientSecret.name.label("secret_name")),
        *(ClientSecret.digest, ClientSecret.not_after),
    )
    .outerjoin(ClientSecret, ClientSecret.client_row == Client.id)
    .where(Client.client_id == bindparam("client_id"))
)
# By the names of the columns, in the order of the fields.
OF_CLIENT = attrgetter(*(each.name for each in fields(RegisteredClient) if each.name != "secrets"))
OF_SECRET = attrgetter("secret_id", "secret_name", "digest", "not_after")


def find_client(client_id: str) -> RegisteredClient | None:
    """The client with this id, and its secrets, by one statement."""
    rows = FIND_CLIENT.run(client_id=client_id)
    secrets = [KnownSecret(*OF_SECRET(row)) for row in rows]
    return RegisteredClient(*OF_CLIENT(rows[0]), secrets) if rows else None


def get_client(id_or_name: str) -> Client:
    query = select(Client).where(or_(Client.client_id == id_or_name, Client.name == id_or_name))
    found = db.session.scalars(query).one_or_none() if id_or_name.isprintable() else None
    if found is None:
        raise RegistrationError(f"no client has the id or the name {one_line(id_or_name)}")
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
    token_format: str = "jwt",
    resource_server: str | None = None,
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
        token_format: `jwt` or `opaque`.
        resource_server: The audience of the API that it is, which may then ask about its tokens (RFC 7662).
        claims: Added to its tokens as they are.

    Returns:
        The client, and its secret in plaintext: shown once, kept only as a digest.

    Raises:
        RegistrationError: Naming what is wrong.
    """
    scope = registration_rules.checked_scope(scope) if scope or grant_types else ""
    client = Client(
        client_id=f"ktc_{secrets.token_urlsafe(16)}",  # made here, so it can never be a user's sub (RFC 9700, 4.15.1)
        name=registration_rules.checked_client_name(name),
        scope=scope,
        default_scope=registration_rules.checked_default(default_scope, scope) if scope else "",
        access_token_seconds=registration_rules.checked_lifetime(access_token_seconds),
        token_endpoint_auth_method=registration_rules.checked_method(auth_method),
        grant_types=grant_types,
        token_format=registration_rules.checked_format(token_format),
        resource_server=registration_rules.checked_resource_server(resource_server),
        claims=registration_rules.checked_claims(claims or {}),
    )
    return client, add(client, generate())


def add(client: Client, plaintext: str) -> str:
    """Write down a client with its first secret, which is returned.

    Raises:
        RegistrationError: If its name is taken.
    """
    name = client.name
    client.secrets = [ClientSecret(name="secret-1", digest=digest(plaintext))]
    try:
        with transaction():
            db.session.add(client)
            trail.record("client_created", client_id=client.client_id)
    except IntegrityError as error:
        if not is_taken(error, Client.name):
            raise
        raise RegistrationError(f"the name {name} is taken") from error
    return plaintext


def revoke_tokens(id_or_name: str) -> Client:
    """From now on no token counts that the client has been given, of either format."""
    with transaction():
        client = get_client(id_or_name)
        end_tokens(client)
        trail.record("tokens_revoked", client_id=client.client_id)
    return client


def disable(id_or_name: str) -> Client:
    """Refuse the client and its tokens from now on; its secrets are kept."""
    with transaction():
        client = get_client(id_or_name)
        client.disabled_at = client.disabled_at or now()
        end_tokens(client)
        trail.record("client_disabled", client_id=client.client_id)
    return client


def enable(id_or_name: str) -> Client:
    """Let the client in again; its old tokens stay dead, also those that were being made when it was disabled."""
    with transaction():
        client = get_client(id_or_name)
        client.disabled_at = None
        end_tokens(client)
        trail.record("client_enabled", client_id=client.client_id)
    return client


def end_tokens(client: Client) -> None:
    """Moments are whole seconds: a token that is issued later in this one does not count either.

    The moment never moves back, whatever the clock does: that would revive tokens.
    """
    client.tokens_not_before = max(client.tokens_not_before, now() + 1)


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
