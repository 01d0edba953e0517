"""This file is how whatever is raised in a request becomes its answer: in JSON, and never with a cause that is ours."""

from __future__ import annotations

import re
from typing import Any

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, g, json, request
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException

from app.audit import trail
from app.logs import log
from app.refusals.codes import CODES
from app.refusals.errors import AccessRefusedError, RefusedError
from app.settings import current_settings
from app.storage.database import cause

# Whatever else may be wrong with a client we say ourselves.
LEFT_TO_AUTHLIB = {
    "invalid_client": "neither Basic nor a secret in the form was sent",
    "unauthorized_client": "the client was registered without a grant",
}


def as_refused(error: OAuth2Error) -> RefusedError:
    """An error that Authlib raised itself: its description may repeat the request, so it becomes the reason."""
    if isinstance(error, RefusedError):
        return error
    code = error.error if error.error in CODES else "invalid_request"
    return RefusedError(code, reason=LEFT_TO_AUTHLIB.get(code) or error.get_error_description() or error.error)


def render(error: RefusedError) -> Response:
    """The answer to a refused request, in JSON (RFC 6749, section 5.2)."""
    body = {"error": error.error, "error_description": error.description, "error_uri": error.page()}
    if not current_settings().is_production:
        body["hint"] = re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "?", error.reason)
    answer = Response(json.dumps({k: v for k, v in body.items() if v}), error.status_code, mimetype="application/json")
    answer.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
    if challenge := error.challenge():
        answer.headers["WWW-Authenticate"] = challenge
    if error.retry_after:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def note_refusal(error: RefusedError) -> None:
    """Note why a request was refused, or failed; what is not at any address is a log line only."""
    reason = f"{error.error or 'no token'}: {error.reason}"
    if error.status_code == 404:
        trail.log_line("request_refused", reason=reason)
        return
    if error.status_code >= 500:
        event = "request_failed"
    elif isinstance(error, AccessRefusedError):
        event = "access_refused"
    elif request.blueprint == "oauth" and request.endpoint:
        event = f"{request.endpoint.removeprefix('oauth.')}_refused"
    else:
        event = "request_refused"
    trail.note(event, client_id=g.get("client_id"), reason=reason)


def init_app(app: Flask) -> None:
    """Render whatever is raised in a request, and note it."""
    app.before_request(lambda: request.read_body())  # type: ignore[attr-defined]

    def recorded(refusal: RefusedError) -> Response:
        note_refusal(refusal)
        return render(refusal)

    @app.errorhandler(OAuth2Error)
    def refused(error: OAuth2Error) -> Response:
        return recorded(as_refused(error))

    @app.errorhandler(HTTPException)
    def refused_by_flask(error: HTTPException) -> Response:
        answer = recorded(from_http(error))
        # What Werkzeug knows better, `Allow` above all (RFC 9110, section 15.5.6), which it writes in any order.
        known = [(name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After")]
        answer.headers.extend([(name, ", ".join(sorted(value.split(", ")))) for name, value in known])
        return answer

    @app.errorhandler(exc.DBAPIError)
    @app.errorhandler(exc.TimeoutError)
    def database_failed(error: exc.DBAPIError | exc.TimeoutError) -> Response:
        if isinstance(error, exc.IntegrityError | exc.DataError):
            return failed(error)  # the database is well: the statement was not
        # Any other error may mean that a table is missing, and each driver says so in its own way.
        log.error("the database does not answer, or `flask prepare` was not run: %s", cause(error))
        reason = "the database does not answer or is not prepared"
        return recorded(RefusedError("temporarily_unavailable", reason=reason))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("unexpected failure at %s %s", request.method, request.url_rule, exc_info=error)
        return recorded(RefusedError("server_error", reason=type(error).__name__))


def from_http(error: HTTPException) -> RefusedError:
    """What Flask and Werkzeug refuse by themselves, or a route by `abort`; the codes are our own choice."""
    known: dict[int | None, Any] = {
        400: ("invalid_request", "The request is malformed, or its body is incomplete or not what was announced."),
        403: ("access_denied", None),
        404: ("not_found", None),
        405: ("invalid_request", "This address does not answer this method. The Allow header names those it answers."),
        413: ("invalid_request", "The request body is too long."),
        415: ("invalid_request", "The request body has the wrong media type."),
        503: ("temporarily_unavailable", None),
    }
    # Whatever else is 500 or more is a failure of the server, and no fault of the request.
    is_ours = (error.code or 500) >= 500
    code, description = known.get(error.code, ("server_error", None) if is_ours else ("invalid_request", error.name))
    reason = f"{error.code} {error.name}"
    if error.code == 413:
        reason = f"the body is longer than {current_settings().max_body_bytes} bytes (KEYTURN_MAX_BODY_BYTES)"
    if said := said_by_route(error):
        description = reason = said
    if failure := getattr(error, "original_exception", None):
        reason = of_failure(failure)
    if error.code == 401:  # at an API, so the challenge is for a token
        return AccessRefusedError("invalid_token", description, reason=reason)
    return RefusedError(code, description, reason=reason, status=error.code)


def said_by_route(error: HTTPException) -> str | None:
    """The text of `abort(404, "…")`, in the characters of RFC 6749, section 5.2; None where Werkzeug speaks."""
    if error.code in (405, 413, 415) or error.description in (None, type(error).description):
        return None
    return re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "'", str(error.description))


def of_failure(failure: BaseException) -> str:
    """What a failure was; of its text only what Flask says of a route that returns nothing."""
    text = str(failure)
    return text if text.startswith("The view function") else type(failure).__name__
