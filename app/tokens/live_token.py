"""This file is what is asked of every token wherever it is shown: is it ours, and has nobody withdrawn it?

The prefix says which kind it is. For either kind one statement asks everything that can change after
a token was issued: its revocation, that of all its client's tokens, and whether there is the client.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, select

import config
from app.clients.client import Client
from app.clock import now
from app.database import run_alone
from app.explanations.causes import duration
from app.tokens import issued_token
from app.tokens.access_token import AccessToken, InvalidTokenError, check_jwt
from app.tokens.issued_token import IssuedToken, RevokedToken

CLIENT = (Client.tokens_not_before, Client.disabled_at)
# Built once, like every statement of the hot path: building one costs more than running it.
FIND_CLIENT_OF_JWT = (
    select(*CLIENT, RevokedToken.jti.is_not(None).label("is_revoked"))
    .outerjoin(RevokedToken, RevokedToken.jti == bindparam("jti"))
    .where(Client.client_id == bindparam("client_id"))
)
FIND_OPAQUE = (
    select(*CLIENT, IssuedToken.revoked_at.is_not(None).label("is_revoked"), IssuedToken.__table__)
    .join(Client, Client.client_id == IssuedToken.client_id)
    .where(IssuedToken.digest == bindparam("digest"))
)


def check(text: str) -> AccessToken:
    """Check everything about a token but whether its audience is the one who asks.

    Raises:
        InvalidTokenError: If it is not ours, or no longer.
    """
    if text.startswith(issued_token.PREFIX):
        return check_opaque(text)
    token = check_jwt(text)
    row = run_alone(FIND_CLIENT_OF_JWT, {"jti": token.jti, "client_id": token.client_id})
    if row is None:
        raise InvalidTokenError("the client of the token does not exist")
    refuse_withdrawn(row, token.issued_at)
    return token


def check_opaque(text: str) -> AccessToken:
    row = run_alone(FIND_OPAQUE, {"digest": issued_token.digest(text)})
    if row is None:
        raise InvalidTokenError("the opaque token is unknown, or its client does not exist")
    if row.expires_at <= now():
        raise InvalidTokenError(f"the token expired {duration(now() - row.expires_at)} ago")
    refuse_withdrawn(row, row.issued_at)
    return AccessToken.from_claims(as_claims(row))


def refuse_withdrawn(row: Row[Any], issued_at: int) -> None:
    if row.is_revoked:
        raise InvalidTokenError("the token was revoked")
    if row.disabled_at is not None:
        raise InvalidTokenError("the client of the token is disabled")
    if issued_at < row.tokens_not_before:
        raise InvalidTokenError("the client's tokens of that time were revoked, all of them")


def as_claims(row: Row[Any]) -> dict[str, Any]:
    """The row in the words of a JWT (RFC 9068, section 2.2)."""
    return {
        "iss": config.current().issuer,
        "aud": row.audience,
        "sub": row.client_id,
        "client_id": row.client_id,
        "iat": row.issued_at,
        "exp": row.expires_at,
        "jti": issued_token.jti(row.digest),
        "scope": row.scope,
        **row.claims,
    }
