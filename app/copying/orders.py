"""What was ordered since a backup: what a restore would bring back, and what it would lose.

A backup has the tokens, clients, secrets and keys of its time. What an operator or a client ended since then would
work again: it is named, and can be carried over before the backup takes the database's place.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.credential import has_ended
from app.clients.secret import ClientSecret
from app.clock import now
from app.keys.signing_key import SigningKey
from app.tokens.stored_token import IssuedToken, RevokedToken

REGISTRATION = (
    *("scope", "default_scope", "token_endpoint_auth_method", "grant_types", "claims", "resource_server", "jwks_uri"),
)
# Secrets, keys or trusts of clients, each by its client's id and what it is: `what`.
Credentials = Mapping[tuple[str, object], Row[Any]]


@dataclass(frozen=True, slots=True)
class Contents:
    """The clients, credentials and keys of a database, and the tokens that were revoked in it and have not expired."""

    clients: Mapping[str, Row[Any]]
    secrets: Credentials
    client_keys: Credentials
    trusts: Credentials
    keys: Mapping[str, Row[Any]]
    revoked: frozenset[str]
    opaque: frozenset[str]


def read_contents(connection: Connection, moment: int) -> Contents:
    """What a database has; its schema must have the columns of this release.

    Args:
        connection: To the database.
        moment: Tokens that have expired by then do not count.
    """
    clients = {row.client_id: row for row in connection.execute(select(ClientRow.__table__))}
    owners = {row.id: client_id for client_id, row in clients.items()}
    secrets = connection.execute(select(ClientSecret.__table__))
    client_keys = connection.execute(select(ClientKey.__table__, ClientKey.kid.label("name")))
    trusts = connection.execute(select(ClientTrust.__table__))
    keys = connection.execute(select(SigningKey.__table__))
    jwts = connection.scalars(select(RevokedToken.jti).where(RevokedToken.expires_at > moment))
    alive = IssuedToken.expires_at > moment
    opaque = connection.execute(select(IssuedToken.digest, IssuedToken.revoked_at).where(alive)).all()
    return Contents(
        clients=clients,
        secrets=by_what_they_are((owners[row.client_row], row) for row in secrets),
        client_keys=by_what_they_are((owners[row.client_row], row) for row in client_keys),
        trusts=by_what_they_are((owners[row.client_row], row) for row in trusts),
        keys={row.kid: row for row in keys},
        revoked=frozenset(jwts) | {shown_id(token) for token, revoked_at in opaque if revoked_at is not None},
        opaque=frozenset(shown_id(token) for token, revoked_at in opaque if revoked_at is None),
    )


def what(row: Row[Any]) -> object:
    """What a secret, a key or a trust of a client is, in any database: ids and names may differ."""
    if "digest" in row._fields:
        return row.digest
    return (row.kid, row.jwk) if "jwk" in row._fields else (row.issuer, json.dumps(row.claims, sort_keys=True))


def by_what_they_are(rows: Iterable[tuple[str, Row[Any]]]) -> Credentials:
    """Credentials, each given with its client's id; of a trust that was ended and is there again the one that works."""
    found: dict[tuple[str, object], Row[Any]] = {}
    for client_id, row in rows:
        if not works(found.get((client_id, what(row)))):
            found[client_id, what(row)] = row
    return found


@dataclass(frozen=True, slots=True)
class Names:
    """Tuples of names, by what they are names of."""

    def as_dict(self) -> dict[str, tuple[str, ...]]:
        """Those that are not empty."""
        return {field: names for field, names in asdict(self).items() if names}


@dataclass(frozen=True, slots=True)
class Orders(Names):
    """What would work again: clients by their names, secrets as `CLIENT SECRET`, their keys as `CLIENT KID`,
    their trusts as `CLIENT TRUST`.

    A JWT is named by its `jti`, an opaque token by what its `jti` ends with.

    Attributes:
        tokens: Tokens that were revoked.
        clients_tokens: Clients whose tokens were all revoked at once.
        disabled: Clients that were disabled.
        deleted: Clients that were deleted.
        secrets: Secrets that were ended or have run out, or were removed.
        client_keys: Keys of clients, likewise.
        trusts: Trusts of clients, likewise.
        withdrawn_keys: Signing keys that were withdrawn.
        registrations: Clients whose registration was changed, such as their scope.
    """

    tokens: tuple[str, ...]
    clients_tokens: tuple[str, ...]
    disabled: tuple[str, ...]
    deleted: tuple[str, ...]
    secrets: tuple[str, ...]
    client_keys: tuple[str, ...]
    trusts: tuple[str, ...]
    withdrawn_keys: tuple[str, ...]
    registrations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Losses(Names):
    """What would not work any more, in the same words."""

    clients: tuple[str, ...]
    enabled: tuple[str, ...]
    secrets: tuple[str, ...]
    client_keys: tuple[str, ...]
    trusts: tuple[str, ...]
    signing_keys: tuple[str, ...]
    opaque_tokens: tuple[str, ...]


def find_orders(present: Contents, backup: Contents) -> Orders:
    both = [(present.clients[each], old) for each, old in backup.clients.items() if each in present.clients]
    names = {old.client_id: old.name for _, old in both}
    return Orders(
        tokens=tuple(sorted(present.revoked - backup.revoked)),
        clients_tokens=tuple(old.name for new, old in both if new.generation > old.generation),
        disabled=tuple(old.name for new, old in both if new.disabled_at and not old.disabled_at),
        deleted=tuple(old.name for each, old in backup.clients.items() if each not in present.clients),
        secrets=only_here(names, backup.secrets, present.secrets),
        client_keys=only_here(names, backup.client_keys, present.client_keys),
        trusts=only_here(names, backup.trusts, present.trusts),
        withdrawn_keys=tuple(
            kid for kid, key in backup.keys.items() if key.withdrawn_at is None and is_withdrawn(present, kid)
        ),
        registrations=tuple(
            old.name for new, old in both if any(getattr(new, each) != getattr(old, each) for each in REGISTRATION)
        ),
    )


def find_losses(present: Contents, backup: Contents) -> Losses:
    both = [(new, backup.clients[each]) for each, new in present.clients.items() if each in backup.clients]
    names = {new.client_id: new.name for new, _ in both}
    return Losses(
        clients=tuple(new.name for each, new in present.clients.items() if each not in backup.clients),
        enabled=tuple(new.name for new, old in both if old.disabled_at and not new.disabled_at),
        secrets=only_here(names, present.secrets, backup.secrets),
        client_keys=only_here(names, present.client_keys, backup.client_keys),
        trusts=only_here(names, present.trusts, backup.trusts),
        signing_keys=tuple(
            kid
            for kid, key in present.keys.items()
            if kid not in backup.keys and key.withdrawn_at is None and key.signs_from <= now()
        ),
        opaque_tokens=tuple(sorted(present.opaque - backup.opaque)),
    )


def shown_id(digest: bytes) -> str:
    """What the `jti` of an opaque token ends with: 96 bits of its digest, base64url."""
    return base64.urlsafe_b64encode(digest[:12]).decode()


def is_withdrawn(contents: Contents, kid: str) -> bool:
    return kid in contents.keys and contents.keys[kid].withdrawn_at is not None


def only_here(names: Mapping[str, str], here: Credentials, there: Credentials) -> tuple[str, ...]:
    """`CLIENT NAME` of each that works in one database and not in the other, of the clients with these names."""
    return tuple(
        f"{names[client_id]} {row.name}"
        for (client_id, what), row in here.items()
        if client_id in names and works(row) and not works(there.get((client_id, what)))
    )


def works(row: Row[Any] | None) -> bool:
    return row is not None and not has_ended(row)
