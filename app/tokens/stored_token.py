"""Tokens in the database: every opaque one, and the JWTs that were revoked.

The row of an opaque token has what a JWT has as claims, and the SHA-256 of the token instead of the
token: anyone who steals the table has no token.
"""

from __future__ import annotations

import base64
import secrets

from sqlalchemy import JSON, ColumnElement, LargeBinary, Text, insert
from sqlalchemy.orm import Mapped, mapped_column

import config
from app.audit import trail
from app.clients.secret import digest
from app.logs import looks_secret
from app.storage.database import Base
from app.storage.fast_statement import Statement
from app.tokens.granted import Granted

PREFIX = "kta_"
RANDOM_CHARACTERS = 43  # of 32 bytes
# A revocation outlives its token by this, so that no clock that is wrong by less than a day revives the token.
REVOKED_SECONDS = config.MAX_ACCESS_TOKEN_SECONDS


class IssuedToken(Base):
    """An opaque token. All times are in whole seconds since the epoch.

    A token with a `revoked_at`, whatever its value, is revoked; `generation` is the client's at issue.
    """

    __tablename__ = "issued_tokens"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    client_id: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text)
    audience: Mapped[str] = mapped_column(Text)
    claims: Mapped[dict[str, str]] = mapped_column(JSON)
    issued_at: Mapped[int]
    expires_at: Mapped[int] = mapped_column(index=True)
    revoked_at: Mapped[int | None]
    generation: Mapped[int] = mapped_column(default=0)


class RevokedToken(Base):
    """A JWT that was revoked, until REVOKED_SECONDS after it would have expired by itself."""

    __tablename__ = "revoked_tokens"

    jti: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[int] = mapped_column(index=True)

    @classmethod
    def is_of_no_use(cls, moment: int) -> ColumnElement[bool]:
        """Which rows `flask cleanup` may remove."""
        return cls.expires_at <= moment - REVOKED_SECONDS


STORE = Statement(insert(IssuedToken))


def issue(granted: Granted) -> str:
    """Create an opaque token and store its row, in a single autocommitted statement.

    Returns:
        32 random bytes, base64url, with a prefix by which we and secret scanners recognize it, and behind it
        what its `jti` begins with.

    Raises:
        DBAPIError: If the database does not store it.
        TooManyWaitError: If too many threads wait for the database already.
    """
    issue = trail.begin_issue(client_id=granted.client.client_id, scope=granted.scope)
    while True:
        token = PREFIX + issue.prefix + secrets.token_urlsafe(32)
        found = digest(token)
        issue.jti = jti(token, found)
        if not looks_secret(issue.jti):  # no log would have it
            break
    STORE.run(
        digest=found,
        client_id=granted.client.client_id,
        scope=granted.scope,
        audience=granted.audience,
        claims=granted.client.claims_json,
        issued_at=granted.issued_at,
        expires_at=granted.issued_at + granted.lifetime,
        revoked_at=None,
        generation=granted.client.generation,
    )
    return token


def jti(token: str, token_digest: bytes) -> str:
    """The token's id, which grants nothing: its public beginning, and 96 bits of its digest, base64url.

    A token of an earlier release is all secret: its id is 128 bits of its digest.
    """
    public = token[len(PREFIX) : -RANDOM_CHARACTERS]
    bits = base64.urlsafe_b64encode(token_digest[: 12 if public else 16])
    return public + bits.rstrip(b"=").decode()
