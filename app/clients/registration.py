"""The registration of a new client (`registration_update.py` changes one): a transaction with its audit event."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from sqlalchemy import or_, select

from app.audit import trail
from app.audit.event import Event
from app.clients import client_trust_changes
from app.clients import registration_rules as rules
from app.clients.client import KEY_METHOD, TRUST_METHOD
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.key_set import NewKey
from app.clients.key_set_address import checked_jwks_uri, put_jwks_uri
from app.clients.registered_values import GRANT, checked, new_client
from app.clients.registration_rules import RegistrationError
from app.clients.secret import ClientSecret, digest, generate
from app.clients.trust_rules import NewTrust
from app.logs import unlike_a_secret
from app.storage.database import db, transaction


def register(
    name: str,
    *,
    scope: str,
    default_scope: str | None = None,
    access_token_seconds: int | None = None,
    auth_method: str | None = None,
    grant_types: str = GRANT,
    token_format: str = "jwt",
    resource_server: str | None = None,
    claims: Mapping[str, str] | None = None,
    keys: Sequence[NewKey] = (),
    jwks_uri: str | None = None,
    trust: NewTrust | None = None,
) -> tuple[ClientRow, str | None]:
    """Register a client.

    Args:
        name: 1 to 64 letters, digits, dots, dashes and underscores; unique.
        scope: What it may ever request; empty for a client without a grant.
        default_scope: What it gets if it requests none; all of `scope` if that is one resource's.
        access_token_seconds: The lifetime of its tokens in seconds; None for the server's setting.
        auth_method: The only method by which it may authenticate; None for any, or with keys for private_key_jwt,
            or with a trust for federated_jwt.
        grant_types: `client_credentials`, or empty for a client that never gets a token.
        token_format: `jwt` or `opaque`.
        resource_server: The audience of the API that it is, which may introspect its tokens (RFC 7662, section 2.1).
        claims: Added to its tokens as they are.
        keys: Its public keys: then it has no secret.
        jwks_uri: Where its keys are, instead: then it has no secret either.
        trust: What tokens of another issuer must say: then it has no secret.

    Returns:
        The client, and its secret in plaintext: shown once, stored only as a digest. None if it needs none.

    Raises:
        RegistrationError: If a value is not valid or the name is taken; the text says which.

    See RFC 7591, section 2, for the names.
    """
    given = {
        "scope": scope,
        "default_scope": default_scope,
        "lifetime": access_token_seconds,
        "auth_method": method_for(auth_method, has_keys=bool(keys or jwks_uri), has_trust=trust is not None),
        "grant": bool(grant_types),
        "format": token_format,
        "resource_server": resource_server,
        "claims": claims or {},
    }
    rules.checked_client_name(name)
    values, faults = checked(given)
    if faults:
        raise RegistrationError("; ".join(faults.values()))
    client = new_client(new_id(), name, values)
    if jwks_uri:
        put_jwks_uri(client, checked_jwks_uri(jwks_uri))
    if keys or jwks_uri or trust:
        client.keys = [ClientKey(**each._asdict()) for each in keys]
        store(client, trust)
        return client, None
    return client, add(client, generate())


def method_for(method: str | None, *, has_keys: bool, has_trust: bool = False) -> str | None:
    """The method of a client that has keys, a trust, or a secret.

    Raises:
        RegistrationError: If it could not authenticate by the method that is given.
    """
    if has_keys and has_trust:
        if method not in (None, "any"):
            raise RegistrationError("with a key and a trust the method is `any`")
        return "any"
    for usual, has, what, options in (
        (KEY_METHOD, has_keys, "a key", "--jwks, --jwks-uri or --generate-key"),
        (TRUST_METHOD, has_trust, "a trust", "--issuer and --claim"),
    ):
        if has and method is None:
            return usual
        if has and method not in (usual, "any"):
            raise RegistrationError(
                f"with {what} the method is {usual}, or `any` for a client that gets a secret later"
            )
        if method == usual and not has:
            raise RegistrationError(f"{usual} needs {what}: give it with {options}")
    return method


def new_id() -> str:
    """A client id, made here: never a user's `sub` (RFC 9700, section 4.15.1)."""
    return unlike_a_secret(lambda: f"ktc_{secrets.token_urlsafe(16)}")


def add(client: ClientRow, plaintext: str) -> str:
    """Store a client with its first secret, which is returned.

    Raises:
        RegistrationError: If its name is taken.
    """
    client.secrets = [ClientSecret(name="secret-1", digest=digest(plaintext))]
    store(client)
    return plaintext


def store(client: ClientRow, trust: NewTrust | None = None) -> None:
    with transaction():
        refuse_taken(client.name)
        if trust:
            client_trust_changes.put(client, trust)
        db.session.add(client)
        record_created(client)


def record_created(client: ClientRow) -> None:
    """Record a new client, with the keys and trusts by which it authenticates."""
    named = [f"kid {each.kid}" for each in client.keys]
    named += [f"jwks_uri {client.jwks_uri}"] if client.jwks_uri else []
    named += [client_trust_changes.summary(each) for each in client.trusts]
    trail.record(Event.CLIENT_CREATED, client_id=client.client_id, reason="; ".join(named) or None)


def refuse_taken(name: str) -> None:
    """Refuse a name that is another client's name or id. Reliable only in a transaction: there is one at a time."""
    if (
        db.session.scalar(select(ClientRow.id).where(or_(ClientRow.name == name, ClientRow.client_id == name)))
        is not None
    ):
        raise RegistrationError(f"the name {name} is taken")
