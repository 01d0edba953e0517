"""How a request carries its access token (RFC 6750, section 2), and how a view is guarded."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, NoReturn

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.requests import JsonRequest
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import current_app, request

from app.checks import Check, making
from app.refusals.errors import AccessRefusedError, NoTokenError

IN_HEADER = Check("token_in_header", "The token is in the Authorization header only.", "RFC 6750, section 2")
BEARER = Check("bearer", "The scheme of the Authorization header is Bearer.", "RFC 6750, section 2.1")
ONE_WORD = Check("one_word", "Bearer is followed by one word, the token.", "RFC 6750, section 2.1")

ONE_WAY = "Send the access token in one way only: the Authorization header."
ONE_TOKEN = "Send the access token as Authorization: Bearer TOKEN, with nothing after it."

View = Callable[..., Any]


class BearerProtector(ResourceProtector):
    def __call__(self, scopes: Any = None, optional: bool = False, **claims: Any) -> Any:
        """Guard a view, which may be an `async def`: Flask itself converts only the outermost function."""
        if callable(scopes):
            return super().__call__(as_plain(scopes))
        guard = super().__call__(scopes, optional, **claims)
        return lambda view: guard(as_plain(view))

    def parse_request_authorization(self, received: JsonRequest) -> tuple[BearerTokenValidator, str]:
        """Find the token, and refuse what RFC 6750, section 3.1 calls malformed."""
        making.now.check = IN_HEADER
        # RFC 9700, section 4.3.2: a token in a URL ends up in logs.
        if "access_token" in request.args or (request.mimetype and "access_token" in request.form):
            raise AccessRefusedError("invalid_request", ONE_WAY, reason="access_token is in URL or form", status=400)
        scheme, _, token = received.headers.get("Authorization", "").strip(" ").partition(" ")
        token = token.lstrip(" ")
        making.now.check = BEARER
        if scheme.lower() != "bearer":
            raise NoTokenError(reason="there is no Authorization header with the scheme Bearer")
        making.now.check = ONE_WORD
        if not token or " " in token:
            raise AccessRefusedError("invalid_request", ONE_TOKEN, reason="Bearer is not followed by one word")
        return self.get_token_validator("bearer"), token

    def raise_error_response(self, error: OAuth2Error) -> NoReturn:
        raise error  # to the one place where errors are rendered; Authlib's 403 would have no challenge


def as_plain(view: View) -> View:
    if not iscoroutinefunction(view):
        return view

    @wraps(view)
    def plain(*args: Any, **kwargs: Any) -> Any:
        return current_app.ensure_sync(view)(*args, **kwargs)

    return plain
