"""Client secrets: how they are made, stored and compared.

A secret is 256 random bits, so it is stored as one round of SHA-256: there is nothing to guess. A slow
hash protects guessable secrets, and would make a token cost a hundred times as much.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ForeignKey, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.clients.credential import Credential
from app.storage.database import Base

PREFIX = "kts_"
MAX_SECRETS = 8
NO_DIGEST = bytes(32)


class ClientSecret(Credential, Base):
    """One of a client's secrets, as a digest."""

    __tablename__ = "client_secrets"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_row: Mapped[int] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary)


class KnownSecret(NamedTuple):
    """A secret as a request reads it."""

    id: int
    name: str
    digest: bytes
    not_after: int | None
    ended_at: int | None


def known_secrets(rows: Sequence[Any]) -> list[KnownSecret]:
    """The secrets in the rows of `registry.FIND_CLIENT`; a client without one has None there, by the outer join."""
    return [
        KnownSecret(
            id=row.secret_id,
            name=row.secret_name,
            digest=row.secret_digest,
            not_after=row.secret_not_after,
            ended_at=row.secret_ended_at,
        )
        for row in rows
        if row.secret_id is not None and row.key_id == rows[0].key_id
    ]


def generate() -> str:
    """A new secret: 32 random bytes, base64url, prefixed so that secret scanners find it.

    Only unreserved characters: percent-encoding does not change it (RFC 6749, section 2.3.1).
    """
    return PREFIX + secrets.token_urlsafe(32)


def digest(plaintext: str) -> bytes:
    """The SHA-256 of a secret or token: 32 bytes."""
    # As bytes: `compare_digest` raises TypeError for text that is not ASCII.
    return hashlib.sha256(plaintext.encode("utf-8", "surrogatepass")).digest()


def find_matching(known: Sequence[KnownSecret], plaintext: str) -> KnownSecret | None:
    """The secret with this plaintext, or None.

    The work is the same for any number of secrets, none included: always MAX_SECRETS comparisons.
    """
    presented = digest(plaintext)
    digests = [each.digest for each in known] + [NO_DIGEST] * (MAX_SECRETS - len(known))
    matches = [hmac.compare_digest(presented, each) for each in digests]
    return known[matches.index(True)] if True in matches[: len(known)] else None
