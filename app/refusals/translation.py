"""Translation: what Authlib, Flask, Werkzeug or a view's `abort` raised, as one of our own errors.

No text of theirs that may repeat the request is taken over.
"""

from __future__ import annotations

from authlib.oauth2 import OAuth2Error
from flask import current_app, request
from werkzeug.exceptions import BadRequestKeyError, HTTPException, MethodNotAllowed, SecurityError

from app.refusals.codes import CODES
from app.refusals.errors import AccessRefusedError, RefusedError, error_text
from app.refusals.hints import (
    NO_CREDENTIALS,
    missing_from_request,
    unknown_address,
    unsupported_grant,
    unsupported_method,
)
from app.settings import current_settings

# All other client errors are raised by our own code.
LEFT_TO_AUTHLIB = {"unauthorized_client": "the client was registered without a grant"}
# Codes for what Werkzeug and a view refuse with a status alone: our own choice, no RFC defines any.
CODES_OF_STATUS = {
    401: "invalid_token",
    403: "access_denied",
    404: "not_found",
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
}
DESCRIPTIONS = {
    400: "The request is malformed, or its body is incomplete or not what was announced.",
    405: "This address does not support this method. The Allow header lists the methods that it supports.",
    413: "The request body is too long.",
    415: "The request body has the wrong media type.",
}
TOO_SPECIFIC = ("invalid_request", "invalid_token")  # their usual texts claim more than a status does
WITH_WERKZEUG_TEXT = (405, 413, 415)  # it fills in texts of its own
WORDED_BY_WERKZEUG = (SecurityError, BadRequestKeyError)  # likewise; the first repeats the Host header
MAX_DESCRIPTION_CHARACTERS = 200


def as_refused(error: OAuth2Error) -> RefusedError:
    """Translate an error that Authlib raised, without its description, which may repeat the request."""
    if isinstance(error, RefusedError):
        return error
    code = error.error if error.error in CODES else "invalid_request"
    if code == "unsupported_grant_type":
        return RefusedError(code, reason=unsupported_grant(request.form.get("grant_type", ""), "client_credentials"))
    if code == "invalid_client":
        return RefusedError(code, reason=NO_CREDENTIALS)
    return RefusedError(code, reason=LEFT_TO_AUTHLIB.get(code, type(error).__name__))


def from_http(error: HTTPException) -> RefusedError:
    """Translate what Flask or Werkzeug raised, or a view by `abort`."""
    status = error.code or 500
    text = text_of_view(error)
    reason = text or missing_from_request(error) or f"{status} {error.name}"
    if status == 404 and not text:
        reason = unknown_address(request.environ.get("PATH_INFO", ""), addresses(), request.method)
    elif isinstance(error, MethodNotAllowed):
        reason = unsupported_method(request.method, request.path, error.valid_methods)
    elif status == 413:
        parts = ", or has too many parts" if request.mimetype == "multipart/form-data" else ""
        reason = f"the body is longer than {current_settings().max_body_bytes} bytes (KEYTURN_MAX_BODY_BYTES){parts}"
    code = CODES_OF_STATUS.get(status) or ("server_error" if status >= 500 else "invalid_request")
    description = text or DESCRIPTIONS.get(status) or (error.name if code in TOO_SPECIFIC else None)
    kind = AccessRefusedError if status == 401 else RefusedError  # at an API: the challenge is for a token
    return kind(code, description, reason=reason, status=status)


def addresses() -> dict[str, set[str]]:
    """The path of each route, with its methods; without HEAD, which every GET has too."""
    found: dict[str, set[str]] = {}
    for rule in current_app.url_map.iter_rules():
        found.setdefault(rule.rule, set()).update((rule.methods or set()) - {"HEAD", "OPTIONS"})
    return found


def text_of_view(error: HTTPException) -> str | None:
    """The text of `abort(404, "…")`, in the characters of RFC 6749, section 5.2; None if it is Werkzeug's."""
    if isinstance(error, WORDED_BY_WERKZEUG) or error.code in WITH_WERKZEUG_TEXT:
        return None
    if error.description in (None, type(error).description):
        return None
    return error_text(str(error.description), "'")[:MAX_DESCRIPTION_CHARACTERS]
