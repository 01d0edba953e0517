"""This file is the guard: `@require_oauth("read:logs")` above a route, and the route has a checked token.

The guide writes a middleware here. Authlib's `ResourceProtector` is one; `current_token`, beside it
in Authlib, is the `AccessToken` that it let in. Two scopes in one string must both be there; of two
strings in a list one is enough: `"a b"` means and, `["a", "b"]` means or.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, NoReturn

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Request, current_app, g, request

from app.refusals.errors import AccessRefusedError, NoTokenError
from app.settings import current_settings
from app.tokens import checking
from app.tokens.access_token import AccessToken, InvalidTokenError

ONE_WAY = "Send the access token in one way only: the Authorization header."
ONE_TOKEN = "Send the access token as Authorization: Bearer TOKEN, and nothing behind it."


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
        if current_settings().audience not in token.audience:
            raise AccessRefusedError("invalid_token", reason="the token is meant for another API")
        if self.scope_insufficient(token.scope, scopes):
            wanted = (scopes or [""])[0]
            raise AccessRefusedError("insufficient_scope", reason=f"the token has not the scope {wanted}", scope=wanted)


def synchronous(view: Callable[..., Any]) -> Callable[..., Any]:
    """An `async def` view as a plain one, as Flask makes it; the guard calls its view itself."""
    if not iscoroutinefunction(view):
        return view

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> Any:
        return current_app.ensure_sync(view)(*args, **kwargs)

    return run


class BearerProtector(ResourceProtector):
    def __call__(self, scopes: str | list[str] | None = None, **more: Any) -> Callable[..., Any]:
        guard = super().__call__(scopes, **more)
        return lambda view: guard(synchronous(view))

    def acquire_token(self, scopes: str | list[str] | None = None, **_: object) -> AccessToken:
        """As Authlib's own, but with Flask's request: Authlib's decodes the whole URL for each token, for nothing."""
        received = request._get_current_object()  # type: ignore[attr-defined]  # itself, not its proxy
        token: AccessToken = self.validate_request([scopes] if isinstance(scopes, str) else scopes, received)
        g.authlib_server_oauth2_token = token  # where `current_token` finds it
        return token

    def parse_request_authorization(self, received: Request) -> tuple[BearerTokenValidator, str]:
        """Find the token (RFC 6750, section 2), and refuse what section 3.1 calls malformed."""
        # RFC 9700, section 4.3.2: a token in a URL ends in logs.
        if "access_token" in request.args or (request.mimetype and "access_token" in request.form):
            raise AccessRefusedError("invalid_request", ONE_WAY, reason="access_token stood in URL or form", status=400)
        scheme, _, token = received.headers.get("Authorization", "").strip(" ").partition(" ")
        token = token.lstrip(" ")
        if scheme.lower() != "bearer":
            raise NoTokenError(reason="there is no Authorization header with the scheme Bearer")
        if not token or " " in token:
            raise AccessRefusedError("invalid_request", ONE_TOKEN, reason="Bearer is not followed by one word")
        return self.get_token_validator("bearer"), token

    def raise_error_response(self, error: OAuth2Error) -> NoReturn:
        raise error  # to the one place where errors are rendered; Authlib's 403 would have no challenge


require_oauth = BearerProtector()
# Authlib keeps the first validator of a token type and ignores any later one: there is only this.
require_oauth.register_token_validator(AccessTokenValidator())
