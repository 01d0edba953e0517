"""This file is client secrets: how they are made, kept and compared.

A secret is 256 random bits, so one round of SHA-256 keeps it: there is nothing to guess. A slow
hash protects guessable secrets, and makes a token cost a hundred times what it costs here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ForeignKey, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.clock import now
from app.storage.database import Base

PREFIX = "kts_"
MAX_SECRETS = 8
NO_DIGEST = bytes(32)


class ClientSecret(Base):
    """One of a client's secrets, as a digest. All moments are in whole seconds since the epoch."""

    __tablename__ = "client_secrets"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_row: Mapped[int] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[int] = mapped_column(default=now)
    not_after: Mapped[int | None]
    last_used_at: Mapped[int | None]


class KnownSecret(NamedTuple):
    """A secret as a request meets it."""

    id: int
    name: str
    digest: bytes
    not_after: int | None


def has_ended(secret: ClientSecret | KnownSecret) -> bool:
    # Authlib lets a secret past its end authenticate; RFC 7591, section 3.2.1 does not.
    return secret.not_after is not None and secret.not_after <= now()


def generate() -> str:
    """A new secret: 32 random bytes, base64url, prefixed so that secret scanners find it.

    Only unreserved characters: it is the same with and without percent-encoding (RFC 6749, 2.3.1).
    """
    return PREFIX + secrets.token_urlsafe(32)


def digest(plaintext: str) -> bytes:
    # As bytes: `compare_digest` raises TypeError for text that is not ASCII.
    return hashlib.sha256(plaintext.encode("utf-8", "surrogatepass")).digest()


def find_matching(known: Sequence[KnownSecret], plaintext: str) -> KnownSecret | None:
    """The secret that this is the plaintext of.

    The work is the same for any number of secrets, none included: always MAX_SECRETS comparisons.
    """
    presented = digest(plaintext)
    kept = [each.digest for each in known] + [NO_DIGEST] * (MAX_SECRETS - len(known))
    matches = [hmac.compare_digest(presented, each) for each in kept]
    return known[matches.index(True)] if True in matches[: len(known)] else None
