"""The guard: a view below `@require_oauth("read:logs")` runs only with a valid access token.

The guide writes a middleware here; Authlib's `ResourceProtector` is one, and Authlib's `current_token`
is the `AccessToken` that it accepted. A token needs all scopes of a string, and one string of a list:
`"a b"` means and, `["a", "b"]` means or.
"""

from __future__ import annotations

from collections.abc import Sequence

from authlib.oauth2.rfc6749.requests import JsonRequest
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Response, after_this_request, g

from app.api.bearer_protector import BearerProtector
from app.authentication import limits
from app.checks import Check, making
from app.refusals.errors import AccessRefusedError
from app.settings import current_settings
from app.tokens import checking
from app.tokens.access_token import AccessToken, InvalidTokenError

AUDIENCE = Check("aud", "The token is for this API.", "RFC 9068, section 4")
SCOPE = Check("scope", "The token has the scope that the route needs.", "RFC 6750, section 3.1")
ROUTE = Check("route", "The rules of the route itself are met.", "our own")


class AccessTokenValidator(BearerTokenValidator):
    """Has no state: what it needs belongs to the app that handles the request, so one serves every app."""

    def authenticate_token(self, token_string: str) -> AccessToken:
        try:
            token = checking.check(token_string)
        except InvalidTokenError as error:
            g.token, g.claimed_client_id = error.token, error.token and error.token.client_id
            raise AccessRefusedError("invalid_token", reason=str(error)) from error
        g.client_id, g.token = token.client_id, token
        limits.count_call(token.client_id)
        after_this_request(forbid_storing)
        return token

    def validate_token(self, token: AccessToken, scopes: Sequence[str] | None, request: JsonRequest) -> None:
        making.now.check = AUDIENCE
        if current_settings().audience not in token.audience:
            raise AccessRefusedError("invalid_token", reason="the token is meant for another API")
        making.now.check = SCOPE
        if self.scope_insufficient(token.scope, scopes):
            wanted = (scopes or [""])[0]
            raise AccessRefusedError("insufficient_scope", reason=f"the token lacks the scope {wanted}", scope=wanted)
        making.now.check = ROUTE


def forbid_storing(response: Response) -> Response:
    """The response is for the token's client alone; a route may say otherwise (RFC 9111, section 5.2.2)."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response


require_oauth = BearerProtector()
# Authlib uses the first validator of a token type and ignores any later one: there is only this.
require_oauth.register_token_validator(AccessTokenValidator())
