"""What was ordered since a backup: what a restore would bring back, and what it would lose.

A backup has the tokens, secrets, clients and keys of its time. What an operator or a client ended since then would
work again: it is named, and can be carried over before the backup takes the database's place.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from app.clients.client_row import ClientRow
from app.clients.secret import ClientSecret, has_ended
from app.clock import now
from app.keys.signing_key import SigningKey
from app.tokens.stored_token import IssuedToken, RevokedToken

REGISTRATION = ("scope", "default_scope", "token_endpoint_auth_method", "grant_types", "claims", "resource_server")
Secret = tuple[str, bytes]  # its client's id, and its digest


@dataclass(frozen=True, slots=True)
class Contents:
    """The clients, secrets and keys of a database, and the tokens that were revoked in it and have not expired."""

    clients: Mapping[str, Row[Any]]
    secrets: Mapping[Secret, Row[Any]]
    keys: Mapping[str, Row[Any]]
    revoked: frozenset[str]
    opaque: frozenset[str]

    def works(self, secret: Secret) -> bool:
        return secret in self.secrets and not has_ended(self.secrets[secret])  # type: ignore[arg-type]

    def name(self, client_id: str) -> str:
        return str(self.clients[client_id].name)


def read_contents(connection: Connection, moment: int) -> Contents:
    """What a database has; its schema must have the columns of this release.

    Args:
        connection: To the database.
        moment: Tokens that have expired by then do not count.
    """
    clients = {row.client_id: row for row in connection.execute(select(ClientRow.__table__))}
    owners = {row.id: client_id for client_id, row in clients.items()}
    secrets = connection.execute(select(ClientSecret.__table__))
    keys = connection.execute(select(SigningKey.__table__))
    jwts = connection.scalars(select(RevokedToken.jti).where(RevokedToken.expires_at > moment))
    alive = IssuedToken.expires_at > moment
    opaque = connection.execute(select(IssuedToken.digest, IssuedToken.revoked_at).where(alive)).all()
    return Contents(
        clients=clients,
        secrets={(owners[row.client_row], row.digest): row for row in secrets},
        keys={row.kid: row for row in keys},
        revoked=frozenset(jwts) | {shown_id(token) for token, revoked_at in opaque if revoked_at is not None},
        opaque=frozenset(shown_id(token) for token, revoked_at in opaque if revoked_at is None),
    )


@dataclass(frozen=True, slots=True)
class Names:
    """Tuples of names, by what they are names of."""

    def as_dict(self) -> dict[str, tuple[str, ...]]:
        """Those that are not empty."""
        return {field: names for field, names in asdict(self).items() if names}


@dataclass(frozen=True, slots=True)
class Orders(Names):
    """What would work again: clients by their names, secrets as `CLIENT SECRET`, keys by their `kid`.

    A JWT is named by its `jti`, an opaque token by what its `jti` ends with.

    Attributes:
        tokens: Tokens that were revoked.
        clients_tokens: Clients whose tokens were all revoked at once.
        disabled: Clients that were disabled.
        deleted: Clients that were deleted.
        secrets: Secrets that were ended or have run out, or were removed.
        withdrawn_keys: Signing keys that were withdrawn.
        registrations: Clients whose registration was changed, such as their scope.
    """

    tokens: tuple[str, ...]
    clients_tokens: tuple[str, ...]
    disabled: tuple[str, ...]
    deleted: tuple[str, ...]
    secrets: tuple[str, ...]
    withdrawn_keys: tuple[str, ...]
    registrations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Losses(Names):
    """What would not work any more, in the same words."""

    clients: tuple[str, ...]
    enabled: tuple[str, ...]
    secrets: tuple[str, ...]
    signing_keys: tuple[str, ...]
    opaque_tokens: tuple[str, ...]


def find_orders(present: Contents, backup: Contents) -> Orders:
    both = [(present.clients[each], old) for each, old in backup.clients.items() if each in present.clients]
    ended = [each for each in backup.secrets if backup.works(each) and not present.works(each)]
    return Orders(
        tokens=tuple(sorted(present.revoked - backup.revoked)),
        clients_tokens=tuple(old.name for new, old in both if new.generation > old.generation),
        disabled=tuple(old.name for new, old in both if new.disabled_at and not old.disabled_at),
        deleted=tuple(old.name for each, old in backup.clients.items() if each not in present.clients),
        secrets=names(backup, (each for each in ended if each[0] in present.clients)),
        withdrawn_keys=tuple(
            kid for kid, key in backup.keys.items() if key.withdrawn_at is None and is_withdrawn(present, kid)
        ),
        registrations=tuple(
            old.name for new, old in both if any(getattr(new, each) != getattr(old, each) for each in REGISTRATION)
        ),
    )


def find_losses(present: Contents, backup: Contents) -> Losses:
    both = [(new, backup.clients[each]) for each, new in present.clients.items() if each in backup.clients]
    added = [each for each in present.secrets if present.works(each) and not backup.works(each)]
    return Losses(
        clients=tuple(new.name for each, new in present.clients.items() if each not in backup.clients),
        enabled=tuple(new.name for new, old in both if old.disabled_at and not new.disabled_at),
        secrets=names(present, (each for each in added if each[0] in backup.clients)),
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


def names(contents: Contents, secrets: Iterable[Secret]) -> tuple[str, ...]:
    return tuple(f"{contents.name(each[0])} {contents.secrets[each].name}" for each in secrets)
