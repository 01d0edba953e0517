"""The check of a token of either kind: that it is ours, and was not revoked.

The prefix tells the kind. For either kind one statement reads what can change after a token was issued:
its revocation, its client's generation, and whether the client exists. For a JWT it also reads the number
of the keys: if they have changed, they are read again, so a key is refused as soon as it is withdrawn.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Text, bindparam, cast, select

from app.checks import Check, making
from app.clients.client_row import ClientRow
from app.clients.secret import digest
from app.clock import duration, now
from app.keys import keystore
from app.settings import current_settings
from app.storage.fast_statement import Statement
from app.tokens import stored_token
from app.tokens.access_token import AccessToken, InvalidTokenError, with_generation
from app.tokens.jwt_check import EXPIRY, check_moments, current_verified_jwts
from app.tokens.stored_token import IssuedToken, RevokedToken

STORED = Check("stored", "The opaque token is stored here, and its client is registered.", "RFC 7662, section 4")
CLIENT_KNOWN = Check("token_client_known", "The client of the token is still registered.", "our own")
NOT_REVOKED = Check("not_revoked", "The token was not revoked.", "RFC 7009, section 2")
CLIENT_ENABLED = Check("token_client_enabled", "The client of the token is not disabled.", "our own")
GENERATION = Check("generation", "The client's tokens were not all revoked since.", "our own")
KEY_IN_USE = Check("key_in_use", "The key was not withdrawn.", "RFC 9068, section 4")

CLIENT = (
    ClientRow.disabled_at,
    ClientRow.generation.label("client_generation"),
    ClientRow.tokens_not_before,
    ClientRow.ended_until,
)
FIND_CLIENT_OF_JWT = Statement(
    select(*CLIENT, RevokedToken.jti.is_not(None).label("is_revoked"), keystore.GENERATION)
    .outerjoin(RevokedToken, RevokedToken.jti == bindparam("jti"))
    .where(ClientRow.client_id == bindparam("client_id"))
)
FIND_OPAQUE = Statement(
    select(
        *CLIENT,
        IssuedToken.revoked_at.is_not(None).label("is_revoked"),
        IssuedToken.digest,
        IssuedToken.client_id,
        IssuedToken.scope,
        IssuedToken.audience,
        IssuedToken.issued_at,
        IssuedToken.expires_at,
        IssuedToken.generation,
        cast(IssuedToken.claims, Text).label("claims"),
    )
    .join(ClientRow, ClientRow.client_id == IssuedToken.client_id)
    .where(IssuedToken.digest == bindparam("digest"))
)


def check(text: str) -> AccessToken:
    """Check everything except the audience.

    Args:
        text: The token as it was sent.

    Raises:
        InvalidTokenError: If it is not ours, has expired or was revoked.

    See RFC 9068, section 4.
    """
    return check_opaque(text) if text.startswith(stored_token.PREFIX) else check_jwt(text)


def identify(text: str) -> AccessToken:
    """A token of ours, whether or not it is still valid; only revocation needs that.

    Raises:
        InvalidTokenError: If it is not ours.
    """
    if text.startswith(stored_token.PREFIX):
        return AccessToken.from_claims(as_claims(text, find_opaque(text)))
    return current_verified_jwts().verify(text)


def check_jwt(text: str) -> AccessToken:
    token = current_verified_jwts().verify(text)
    try:
        check_moments(token.claims)
        making.now.check = CLIENT_KNOWN
        found = FIND_CLIENT_OF_JWT.run(jti=token.jti, client_id=token.client_id)
        if not found:
            raise InvalidTokenError("the client of the token does not exist")
        refuse_revoked(found[0], token)
        keystore.current_keystore().notice(found[0].key_generation)
        making.now.check = KEY_IN_USE
        if token.kid is None or keystore.find_public(token.kid) is None:
            raise InvalidTokenError("the token's key was withdrawn")
    except InvalidTokenError as error:
        error.token = token
        raise
    return token


def check_opaque(text: str) -> AccessToken:
    row = find_opaque(text)
    token = AccessToken.from_claims(as_claims(text, row))
    making.now.check = EXPIRY
    try:
        if token.expires_at <= now():
            raise InvalidTokenError(f"the token expired {duration(now() - token.expires_at)} ago")
        refuse_revoked(row, token)
    except InvalidTokenError as error:
        error.token = token
        raise
    return token


def find_opaque(text: str) -> Any:
    making.now.check = STORED
    found = FIND_OPAQUE.run(digest=digest(text))
    if not found:
        raise InvalidTokenError("the opaque token is unknown, or its client does not exist")
    return found[0]


def refuse_revoked(row: Any, token: AccessToken) -> None:
    making.now.check = NOT_REVOKED
    if row.is_revoked:
        raise InvalidTokenError("the token was revoked")
    making.now.check = CLIENT_ENABLED
    if row.disabled_at is not None:
        raise InvalidTokenError("the client of the token is disabled")
    making.now.check = GENERATION
    if token.generation != row.client_generation:
        raise InvalidTokenError("all tokens issued to the client until then were revoked")
    # The previous release revoked by the clock.
    if row.tokens_not_before != row.ended_until and token.issued_at < row.tokens_not_before:
        raise InvalidTokenError("all tokens issued to the client until then were revoked")


def as_claims(text: str, row: Any) -> dict[str, Any]:
    """The token and its row as the claims of a JWT (RFC 9068, section 2.2)."""
    claims = {
        **json.loads(row.claims),
        "iss": current_settings().issuer,
        "aud": row.audience,
        "sub": row.client_id,
        "client_id": row.client_id,
        "iat": row.issued_at,
        "exp": row.expires_at,
        "jti": stored_token.jti(text, row.digest),
        "scope": row.scope,
    }
    return with_generation(claims, row.generation)
