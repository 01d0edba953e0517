"""This file is refusals: what the caller reads, what only the log reads, and how both are rendered.

A refusal has two texts. The description is constant: nothing of the request is reflected.
The reason is the truth; it goes to the log and the audit trail, and in development also to the
caller, as `hint`. Whoever refuses raises `RefusedError`; it is rendered here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, current_app, json, request
from sqlalchemy import exc
from werkzeug.exceptions import BadRequest, HTTPException

import config
from app.logs import log, one_line

REALM = "keyturn"
RESOURCE_METADATA = "RESOURCE_METADATA"  # the address that RFC 9728 wants in a challenge, in `app.config`
RETRY_SECONDS = 5
MAX_REASON_CHARACTERS = 200

# Every error code that this server answers: its status, and its description where no better one is given.
CODES = {
    "invalid_request": (400, "The request is malformed."),
    "invalid_client": (401, "Client authentication failed. Check the client id, the secret and the method."),
    "unauthorized_client": (400, "This client is not registered for the grant type client_credentials."),
    "unsupported_grant_type": (400, "This server supports one grant type: client_credentials."),
    "invalid_scope": (400, "The scope is malformed, unknown, or more than this client is registered for."),
    "invalid_token": (401, "The access token is expired, malformed, or not meant for this API. Ask for a new one."),
    "insufficient_scope": (403, "The access token does not have the scope that this request needs."),
    "not_found": (404, "There is nothing at this address."),
    "temporarily_unavailable": (503, "The server cannot answer right now. Try again in a few seconds."),
    "server_error": (500, "The server failed. Its log has the cause, under the request id of this answer."),
}
NO_TOKEN = "This needs an access token. Send it as Authorization: Bearer TOKEN."


class RefusedError(OAuth2Error):
    """A request that is not granted (RFC 6749, section 5.2).

    Args:
        code: One of `CODES`.
        description: What the caller reads: constant, in the characters of RFC 6749, section 5.2.
        reason: What the log and the audit trail read, where the description is not the whole truth.
        status: The HTTP status, where it is not the code's usual one.
    """

    def __init__(
        self, code: str, description: str | None = None, *, reason: str | None = None, status: int | None = None
    ) -> None:
        usual_status, usual_description = CODES[code]
        super().__init__(description or usual_description, status_code=status or usual_status, error=code)
        self.reason = one_line(reason or self.description)[:MAX_REASON_CHARACTERS]

    def challenge(self) -> str | None:
        """The `WWW-Authenticate` that RFC 9110, section 15.5.2 wants with every 401."""
        return f'Basic realm="{REALM}", charset="UTF-8"' if self.status_code == 401 else None


class AccessRefusedError(RefusedError):
    """A refusal at a guarded route (RFC 6750, section 3).

    Args:
        scope: The scope that would have sufficed, for `insufficient_scope`.
    """

    def __init__(
        self,
        code: str,
        description: str | None = None,
        *,
        reason: str | None = None,
        status: int | None = None,
        scope: str = "",
    ) -> None:
        super().__init__(code, description, reason=reason, status=status)
        self.scope = scope

    def challenge(self) -> str:
        # Authlib's own 403 has no challenge at all.
        parts = [f'realm="{REALM}"', f'error="{self.error}"', f'error_description="{self.description}"']
        if self.scope:
            parts.append(f'scope="{self.scope}"')
        return "Bearer " + ", ".join(parts + self.where_tokens_come_from())

    def where_tokens_come_from(self) -> list[str]:
        """RFC 9728, section 5.1."""
        address = current_app.config.get(RESOURCE_METADATA)
        return [f'resource_metadata="{address}"'] if address and self.status_code == 401 else []


class NoTokenError(AccessRefusedError):
    """No token was sent: RFC 6750, section 3.1 wants no error code then. Authlib sends one, and no code of the RFC."""

    def __init__(self, *, reason: str) -> None:
        super().__init__("invalid_token", NO_TOKEN, reason=reason)
        self.error = None

    def challenge(self) -> str:
        return "Bearer " + ", ".join([f'realm="{REALM}"', *self.where_tokens_come_from()])


def as_refused(error: OAuth2Error) -> RefusedError:
    """An error that Authlib raised itself: its description may repeat the request, so it becomes the reason."""
    if isinstance(error, RefusedError):
        return error
    return RefusedError(error.error, reason=error.get_error_description() or error.error)


def render(error: RefusedError) -> Response:
    """The answer to a refused request, in JSON (RFC 6749, section 5.2)."""
    body = {"error": error.error, "error_description": error.description}
    if not config.current().is_production:
        body["hint"] = re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "?", error.reason)
    answer = Response(json.dumps({k: v for k, v in body.items() if v}), error.status_code, mimetype="application/json")
    answer.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
    if challenge := error.challenge():
        answer.headers["WWW-Authenticate"] = challenge
    if error.status_code == 503:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def init_app(app: Flask, record: Callable[[RefusedError], None]) -> None:
    """Render whatever is raised in a request.

    Args:
        app: Whose requests.
        record: Called once for every refusal; failures of our own are logged here.
    """
    app.before_request(read_body)

    @app.errorhandler(OAuth2Error)
    def refused(error: OAuth2Error) -> Response:
        refusal = as_refused(error)
        record(refusal)
        return render(refusal)

    @app.errorhandler(HTTPException)
    def refused_by_flask(error: HTTPException) -> Response:
        refusal = from_http(error)
        record(refusal)
        answer = render(refusal)
        # What Werkzeug knows better, `Allow` above all (RFC 9110, section 15.5.6).
        answer.headers.extend([h for h in error.get_headers() if h[0] in ("Allow", "Retry-After")])
        return answer

    @app.errorhandler(exc.DBAPIError)
    @app.errorhandler(exc.TimeoutError)
    def database_failed(error: exc.DBAPIError | exc.TimeoutError) -> Response:
        if isinstance(error, exc.IntegrityError | exc.DataError):
            return failed(error)  # the database is well: the statement was not
        # Any other error may mean that a table is missing, and each driver says so in its own way.
        log.error("the database does not answer, or `flask prepare` was not run: %s", cause(error))
        return render(RefusedError("temporarily_unavailable", reason="the database does not answer or is not prepared"))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("unexpected failure at %s %s", request.method, request.url_rule, exc_info=error)
        return render(RefusedError("server_error", reason=type(error).__name__))


def read_body() -> None:
    """Read the body whole, before anything acts on a part of it; a fault in it is the client's."""
    try:
        body = request.get_data()
    except HTTPException:
        raise
    except Exception as error:  # each server has errors of its own for a body that is broken or stalls
        raise BadRequest from error
    if len(body) < (request.content_length or 0):
        raise BadRequest


def cause(error: Exception) -> str:
    """What a database's driver said, in one line; it names hosts and users, never passwords or values."""
    return one_line(str(getattr(error, "orig", None) or error).strip().partition("\n")[0])


def from_http(error: HTTPException) -> RefusedError:
    """What Flask and Werkzeug refuse by themselves; codes by our own choice, no RFC names any."""
    known: dict[int | None, Any] = {
        400: ("invalid_request", "The request is malformed, or its body is incomplete or not what was announced."),
        404: ("not_found", None),
        405: ("invalid_request", "This address does not answer this method. The Allow header names those it answers."),
        413: ("invalid_request", "The request body is too long."),
        415: ("invalid_request", "The request body has the wrong media type."),
        503: ("temporarily_unavailable", None),
    }
    code, description = known.get(error.code, ("invalid_request", None))
    return RefusedError(code, description, reason=f"{error.code} {error.name}", status=error.code)
