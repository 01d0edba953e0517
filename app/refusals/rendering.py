"""Error handlers: any exception becomes a JSON response that never exposes a cause of ours.

What `app/refusals/errors.py` draws is translated and rendered here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, g, json, request
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException, SecurityError

from app.audit import trail
from app.logs import log
from app.refusals.codes import CODES
from app.refusals.errors import AccessRefusedError, RefusedError
from app.refusals.hints import nothing_at
from app.settings import current_settings
from app.storage.database import cause

# All other client errors are raised by our own code.
LEFT_TO_AUTHLIB = {
    "invalid_client": "neither Basic nor a secret in the form was sent",
    "unauthorized_client": "the client was registered without a grant",
}
# What Werkzeug and a view refuse with a status alone: codes by our own choice, no RFC names any.
CODES_OF_STATUS = {
    401: "invalid_token",
    403: "insufficient_scope",
    404: "not_found",
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
}
DESCRIPTIONS = {
    400: "The request is malformed, or its body is incomplete or not what was announced.",
    405: "This address does not answer this method. The Allow header names those it answers.",
    413: "The request body is too long.",
    415: "The request body has the wrong media type.",
}
WERKZEUG_KNOWS = ("Allow", "Retry-After", "WWW-Authenticate")
MAX_DESCRIPTION_CHARACTERS = 200


def as_refused(error: OAuth2Error) -> RefusedError:
    """An error that Authlib raised itself: its description may repeat the request, so it becomes the reason."""
    if isinstance(error, RefusedError):
        return error
    code = error.error if error.error in CODES else "invalid_request"
    return RefusedError(code, reason=LEFT_TO_AUTHLIB.get(code) or error.get_error_description() or error.error)


def from_http(error: HTTPException) -> RefusedError:
    """What Flask and Werkzeug refuse by themselves, and what a view refuses with `abort`."""
    status = error.code or 500
    code = CODES_OF_STATUS.get(status) or ("server_error" if status >= 500 else "invalid_request")
    text = own_text(error)
    reason = text or f"{status} {error.name}"
    if status == 404 and not text:
        reason = nothing_at(request.environ.get("PATH_INFO", ""))
    elif status == 413 and not text:
        longest = f"{current_settings().max_body_bytes} bytes (KEYTURN_MAX_BODY_BYTES)"
        parts = ", or has too many parts" if request.mimetype == "multipart/form-data" else ""
        reason = f"the body is longer than {longest}{parts}"
    kind = AccessRefusedError if status in (401, 403) else RefusedError
    return kind(code, text or DESCRIPTIONS.get(status), reason=reason, status=status)


def own_text(error: HTTPException) -> str | None:
    """The text that `abort` was given, in the characters of RFC 6749, section 5.2; Werkzeug's own is none."""
    if isinstance(error, SecurityError) or error.description in (None, type(error).description):
        return None  # a SecurityError repeats the Host header
    return in_error_characters(str(error.description))[:MAX_DESCRIPTION_CHARACTERS]


def in_error_characters(text: str) -> str:
    return re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "?", text)


def render(error: RefusedError) -> Response:
    """The response to a refused request, in JSON (RFC 6749, section 5.2)."""
    body = {"error": error.error, "error_description": error.description, "error_uri": error.page()}
    if not current_settings().is_production:
        body["hint"] = in_error_characters(error.reason)
    text = json.dumps({name: value for name, value in body.items() if value})
    response = Response(text, error.status_code, mimetype="application/json")
    response.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
    if challenge := error.challenge():
        response.headers["WWW-Authenticate"] = challenge
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


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


def recorded(refusal: RefusedError) -> Response:
    note_refusal(refusal)
    return render(refusal)


def refused(error: OAuth2Error) -> Response:
    return recorded(as_refused(error))


def refused_by_flask(error: HTTPException) -> Response:
    if original := getattr(error, "original_exception", None):
        return failed(original)  # it failed after the view, as when a view returns None
    response = recorded(from_http(error))
    # What Werkzeug knows better, `Allow` above all (RFC 9110, section 15.5.6), which it writes in any order.
    for name, value in error.get_headers():
        if name in WERKZEUG_KNOWS:
            response.headers[name] = ", ".join(sorted(value.split(", "))) if name == "Allow" else value
    return response


def database_failed(error: exc.SQLAlchemyError) -> Response:
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return failed(error)  # the database is well: the statement was not
    # Any other error may mean that a table is missing, and each driver says so in its own way.
    log.error("the database does not answer, or `flask prepare` was not run: %s", cause(error))
    return recorded(RefusedError("temporarily_unavailable", reason="the database does not answer or is not prepared"))


def failed(error: BaseException) -> Response:
    log.error("unexpected failure at %s %s", request.method, request.url_rule, exc_info=error)
    return recorded(RefusedError("server_error", reason=type(error).__name__))


def forbid_sniffing(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


def init_app(app: Flask, translations: Mapping[type[Exception], str]) -> None:
    """Render whatever is raised in a request, and note it.

    Args:
        app: The app.
        translations: The code of each error of another room, which knows nothing of HTTP.
    """
    for kind, code in translations.items():
        app.register_error_handler(kind, lambda error, code=code: recorded(RefusedError(code, reason=str(error))))
    app.register_error_handler(OAuth2Error, refused)
    app.register_error_handler(HTTPException, refused_by_flask)
    for kind in (exc.DBAPIError, exc.TimeoutError):
        app.register_error_handler(kind, database_failed)
    app.register_error_handler(Exception, failed)
    app.after_request(forbid_sniffing)
