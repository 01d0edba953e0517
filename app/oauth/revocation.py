"""`POST /oauth/revoke` (RFC 7009): a client revokes a token before it expires.

Once the response is sent, every worker refuses the token: each check reads the database.
"""

from __future__ import annotations

from typing import Any, cast

from authlib.oauth2 import rfc7009
from flask import Flask, Response
from sqlalchemy import CursorResult, update

from app.audit import trail
from app.audit.event import Event
from app.checks import Check, making
from app.clients.client import AUTH_METHODS, Client
from app.clients.secret import digest
from app.clock import now
from app.oauth.form_request import FormRequest
from app.oauth.request_rules import required
from app.oauth.server import current_server
from app.oauth.token_endpoint import blueprint
from app.refusals.errors import RefusedError
from app.refusals.rendering import refused_as
from app.storage.database import db, transaction
from app.tokens import checking, stored_token
from app.tokens.access_token import AccessToken, InvalidTokenError
from app.tokens.stored_token import IssuedToken, RevokedToken

OWN_TOKEN = Check("own_token", "The token was issued to the client that revokes it.", "RFC 7009, section 2.1")

NOT_YOURS = "The token was issued to another client: only its own client can revoke it."


class RevocationEndpoint(rfc7009.RevocationEndpoint):
    # Authlib's default is Basic only.
    CLIENT_AUTH_METHODS = AUTH_METHODS

    def authenticate_token(self, request: FormRequest, client: Client) -> AccessToken | None:
        """The token, if it is ours and valid by any machine's clock; RFC 7009, section 2.2 wants 200 for any other."""
        try:
            token = checking.identify(required("token"))
        except InvalidTokenError as error:
            making.now.has_failed = True
            trail.record_soon(Event.TOKEN_INACTIVE, client_id=client.client_id, reason=f"inactive: {error}")
            return None
        if token.expires_at <= now() - stored_token.REVOKED_SECONDS:  # this machine's clock may be ahead of another's
            return None
        making.now.check = OWN_TOKEN
        # Authlib would send invalid_grant, which is about codes and refresh tokens (RFC 6749, section 5.2).
        if token.client_id != client.client_id:
            raise RefusedError("unauthorized_client", NOT_YOURS)
        return token

    def revoke_token(self, token: AccessToken, request: FormRequest) -> None:
        revoke(request.form["token"], token)


def revoke(text: str, token: AccessToken) -> None:
    """Revoke a token: a JWT by its `jti`, an opaque one in its row."""
    with transaction():
        is_new = mark_opaque(text) if text.startswith(stored_token.PREFIX) else add_jti(token)
        if is_new:
            trail.record(Event.TOKEN_REVOKED, client_id=token.client_id, reason=f"jti {token.jti}")


def mark_opaque(text: str) -> bool:
    """Mark the row of an opaque token; False if it was revoked before."""
    is_live = (IssuedToken.digest == digest(text)) & IssuedToken.revoked_at.is_(None)
    marked = db.session.execute(update(IssuedToken).where(is_live).values(revoked_at=now()))
    return cast("CursorResult[Any]", marked).rowcount > 0


def add_jti(token: AccessToken) -> bool:
    """Store that a JWT is revoked; False if it was before."""
    if db.session.get(RevokedToken, token.jti) is not None:
        return False
    db.session.add(RevokedToken(jti=token.jti, expires_at=token.expires_at))
    return True


def init_app(app: Flask) -> None:
    current_server.of(app).register_endpoint(RevocationEndpoint)


@blueprint.post("/oauth/revoke")
@refused_as(Event.REVOCATION_REFUSED)
def revocation() -> Response:
    response: Response = current_server().create_endpoint_response(RevocationEndpoint.ENDPOINT_NAME)
    return response
