"""The revocation of one token by its `jti`, when the token itself is not at hand."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select

import config
from app.audit import trail
from app.audit.event import Event
from app.clock import LEEWAY_SECONDS, now
from app.storage.database import db, transaction
from app.tokens.stored_token import REVOKED_SECONDS, IssuedToken, RevokedToken

LONGEST_SECONDS = config.MAX_ACCESS_TOKEN_SECONDS + LEEWAY_SECONDS
# By the length of a `jti`: how many characters at its end are of an opaque token's digest, as `stored_token.jti` says.
OF_DIGEST = {24: 16, 22: 22}
FORM = re.compile(r"[A-Za-z0-9_-]*")
DIGEST_BYTES = 32


class JtiError(ValueError):
    """Text that is not the `jti` of a token; it may be a token, so no message repeats it."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """What was done about a token.

    Attributes:
        client_id: Whose it is; None if it is not an opaque token: no row says to whom a JWT was issued.
        expires_at: When it expires at the latest, in seconds since the epoch.
        result: `revoked`; `before` if it was revoked before; `expired` if it expired so long ago that no clock that is
            wrong by less than a day takes it for valid.
    """

    client_id: str | None
    expires_at: int
    result: Literal["revoked", "before", "expired"]


def revoke_jti(jti: str, *, expires_at: int | None = None) -> Revocation:
    """Revoke the token with this id: an opaque one in its row; otherwise it is a JWT, whether or not it was issued.

    Args:
        jti: The token's id.
        expires_at: When it expires, in seconds since the epoch; None if that is not known: then the revocation is
            stored for as long as any token that was issued until now may be valid.

    Raises:
        JtiError: If the text does not have the form of a `jti`.
    """
    if len(jti) not in OF_DIGEST or not FORM.fullmatch(jti):
        raise JtiError(
            "a jti is a claim of the token: 24 letters, digits, dashes and underscores, or 22 from earlier releases"
        )
    with transaction():
        row = find_opaque(jti)
        done = mark(row) if row else add(jti, expires_at)
        if done.result == "revoked":
            trail.record(Event.TOKENS_REVOKED, client_id=done.client_id, reason=f"jti {jti}")
    return done


def mark(row: IssuedToken) -> Revocation:
    if row.revoked_at is not None:
        return Revocation(row.client_id, row.expires_at, "before")
    row.revoked_at = now()
    return Revocation(row.client_id, row.expires_at, "revoked")


def add(jti: str, expires_at: int | None) -> Revocation:
    """Store that a JWT is revoked, or for longer than before."""
    longest = now() + LONGEST_SECONDS
    end = longest if expires_at is None else min(expires_at, longest)
    found = db.session.get(RevokedToken, jti)
    if found and (expires_at is None or end <= found.expires_at):
        return Revocation(None, found.expires_at, "before")
    if end <= now() - REVOKED_SECONDS:
        return Revocation(None, end, "expired")
    db.session.merge(RevokedToken(jti=jti, expires_at=end))
    return Revocation(None, end, "revoked")


def find_opaque(jti: str) -> IssuedToken | None:
    """The row of the opaque token with this id, which ends with the beginning of its digest."""
    text = jti[-OF_DIGEST[len(jti)] :]
    first = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    last = first + b"\xff" * (DIGEST_BYTES - len(first))
    return db.session.scalar(select(IssuedToken).where(IssuedToken.digest.between(first, last)))
