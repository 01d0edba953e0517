"""This file is how a guarded route reads a token of either kind: does it live, is it for us, is its scope enough?"""

from __future__ import annotations

from collections.abc import Sequence

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import g

import config
from app.refusals.errors import AccessRefusedError
from app.tokens import checking
from app.tokens.access_token import AccessToken, InvalidTokenError


class AccessTokenValidator(BearerTokenValidator):
    """Holds nothing: what it needs belongs to the app that answers now, so one serves every app."""

    def authenticate_token(self, token_string: str) -> AccessToken:
        try:
            token = checking.check(token_string)
        except InvalidTokenError as error:
            raise AccessRefusedError("invalid_token", reason=str(error)) from error
        g.client_id = token.client_id
        return token

    def validate_token(self, token: AccessToken, scopes: Sequence[str] | None, request: OAuth2Request) -> None:
        if config.current().audience not in token.audience:
            raise AccessRefusedError("invalid_token", reason="the token is meant for another API")
        if self.scope_insufficient(token.scope, scopes):
            wanted = (scopes or [""])[0]
            raise AccessRefusedError("insufficient_scope", reason=f"the token has not the scope {wanted}", scope=wanted)
