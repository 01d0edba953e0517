"""Client keys: the public keys by which a client proves who it is (RFC 7523). Private keys are never stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.clock import now
from app.storage.database import Base

MAX_KEYS = 8


class ClientKey(Base):
    """One of a client's public keys. All times are in whole seconds since the epoch.

    `kid` is what the headers of its assertions name: that of its JWK, or else the thumbprint of RFC 7638. `jwk` is
    the key as JSON, with the members that it needs and no other. `not_after` is its planned end. An operator has
    ended a key with an `ended_at`: no clock undoes that.
    """

    __tablename__ = "client_keys"
    __table_args__ = (UniqueConstraint("client_row", "kid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    client_row: Mapped[int] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    kid: Mapped[str] = mapped_column(Text)
    alg: Mapped[str] = mapped_column(Text)
    jwk: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(default=now)
    not_after: Mapped[int | None]
    last_used_at: Mapped[int | None]
    ended_at: Mapped[int | None]

    def end(self, moment: int) -> None:
        """End it now, for good."""
        self.ended_at = moment if self.ended_at is None else self.ended_at
        self.not_after = moment if self.not_after is None else min(self.not_after, moment)


class KnownKey(NamedTuple):
    """A key as a request reads it."""

    id: int
    kid: str
    alg: str
    jwk: str
    not_after: int | None
    ended_at: int | None


def known_keys(rows: Sequence[Any]) -> list[KnownKey]:
    """The keys in the rows of `registry.FIND_CLIENT`, of which each has one secret, or none, with one key."""
    return [
        KnownKey(
            id=row.key_id,
            kid=row.key_kid,
            alg=row.key_alg,
            jwk=row.key_jwk,
            not_after=row.key_not_after,
            ended_at=row.key_ended_at,
        )
        for row in rows
        if row.secret_id == rows[0].secret_id
    ]


def has_ended(key: ClientKey | KnownKey) -> bool:
    """Whether an operator has ended the key, or its planned end has passed."""
    return key.ended_at is not None or (key.not_after is not None and key.not_after <= now())
