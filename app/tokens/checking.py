"""This file is what is asked of every token wherever it is shown: is it ours, and has nobody withdrawn it?

The prefix says which kind it is. For either kind one statement asks what can change after a token was
issued: its revocation, that of all its client's tokens, and whether there is the client. Only that its
signing key was withdrawn is known from the keystore, within seconds.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Text, bindparam, cast, select

from app.clients.client import Client
from app.clients.secret import digest
from app.clock import now
from app.refusals.hints import duration
from app.settings import current_settings
from app.storage.fast_statement import Statement
from app.tokens import stored_token
from app.tokens.access_token import AccessToken, InvalidTokenError
from app.tokens.jwt_check import check_jwt, current_verify
from app.tokens.stored_token import IssuedToken, RevokedToken

CLIENT = (Client.tokens_not_before, Client.disabled_at)
FIND_CLIENT_OF_JWT = Statement(
    select(*CLIENT, RevokedToken.jti.is_not(None).label("is_revoked"))
    .outerjoin(RevokedToken, RevokedToken.jti == bindparam("jti"))
    .where(Client.client_id == bindparam("client_id"))
)
FIND_OPAQUE = Statement(
    select(
        *CLIENT,
        IssuedToken.revoked_at.is_not(None).label("is_revoked"),
        *(IssuedToken.digest, IssuedToken.client_id, IssuedToken.scope, IssuedToken.audience),
        *(IssuedToken.issued_at, IssuedToken.expires_at, cast(IssuedToken.claims, Text).label("claims")),
    )
    .join(Client, Client.client_id == IssuedToken.client_id)
    .where(IssuedToken.digest == bindparam("digest"))
)


def check(text: str) -> AccessToken:
    """Check everything about a token but whether its audience is the one who asks.

    Raises:
        InvalidTokenError: If it is not ours, or no longer.
    """
    if text.startswith(stored_token.PREFIX):
        row = find_opaque(text)
        if row.expires_at <= now():
            raise InvalidTokenError(f"the token expired {duration(now() - row.expires_at)} ago")
        refuse_revoked(row, row.issued_at)
        return AccessToken.from_claims(as_claims(row))
    token = check_jwt(text)
    found = FIND_CLIENT_OF_JWT.run(jti=token.jti, client_id=token.client_id)
    if not found:
        raise InvalidTokenError("the client of the token does not exist")
    refuse_revoked(found[0], token.issued_at)
    return token


def identify(text: str) -> AccessToken:
    """What a token of ours says, whether it lives or not; only a revocation asks that way.

    Raises:
        InvalidTokenError: If it is not ours.
    """
    if text.startswith(stored_token.PREFIX):
        return AccessToken.from_claims(as_claims(find_opaque(text)))
    return current_verify()(text)[1]


def find_opaque(text: str) -> Any:
    found = FIND_OPAQUE.run(digest=digest(text))
    if not found:
        raise InvalidTokenError("the opaque token is unknown, or its client does not exist")
    return found[0]


def refuse_revoked(row: Any, issued_at: int) -> None:
    if row.is_revoked:
        raise InvalidTokenError("the token was revoked")
    if row.disabled_at is not None:
        raise InvalidTokenError("the client of the token is disabled")
    if issued_at < row.tokens_not_before:
        raise InvalidTokenError("the client's tokens of that time were revoked, all of them")


def as_claims(row: Any) -> dict[str, Any]:
    """The row in the words of a JWT (RFC 9068, section 2.2)."""
    return {
        **json.loads(row.claims),
        "iss": current_settings().issuer,
        "aud": row.audience,
        "sub": row.client_id,
        "client_id": row.client_id,
        "iat": row.issued_at,
        "exp": row.expires_at,
        "jti": stored_token.jti(row.digest),
        "scope": row.scope,
    }
