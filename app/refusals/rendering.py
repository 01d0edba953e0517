"""Error handlers: any exception becomes a JSON error response that never exposes an internal cause.

The exceptions in `app/refusals/errors.py` are translated and rendered here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, current_app, g, json, request
from sqlalchemy import exc
from werkzeug.exceptions import BadRequestKeyError, HTTPException, SecurityError

from app.audit import trail
from app.audit.event import Budget, Event
from app.logs import log, shown, shown_path
from app.refusals.codes import CODES
from app.refusals.errors import AccessRefusedError, RefusedError
from app.refusals.hints import missing_from_request, no_credentials, unknown_address, unsupported_grant
from app.settings import current_settings
from app.storage.failures import cause, meaning

View = TypeVar("View", bound=Callable[..., Any])
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
WERKZEUG_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
NOT_IN_ERRORS = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749, section 5.2
MAX_DESCRIPTION_CHARACTERS = 200


def as_refused(error: OAuth2Error) -> RefusedError:
    """Translate an error that Authlib raised, without its description, which may repeat the request."""
    if isinstance(error, RefusedError):
        return error
    code = error.error if error.error in CODES else "invalid_request"
    if code == "unsupported_grant_type":
        return RefusedError(code, reason=unsupported_grant(request.form.get("grant_type", ""), "client_credentials"))
    if code == "invalid_client":
        return RefusedError(code, reason=no_credentials(request.form))
    return RefusedError(code, reason=LEFT_TO_AUTHLIB.get(code, type(error).__name__))


def from_http(error: HTTPException) -> RefusedError:
    """Translate what Flask or Werkzeug raised, or a view by `abort`."""
    status = error.code or 500
    text = text_of_view(error)
    reason = text or missing_from_request(error) or f"{status} {error.name}"
    if status == 404 and not text:
        rules = (rule.rule for rule in current_app.url_map.iter_rules())
        reason = unknown_address(request.environ.get("PATH_INFO", ""), rules)
    elif status == 413:
        parts = ", or has too many parts" if request.mimetype == "multipart/form-data" else ""
        reason = f"the body is longer than {current_settings().max_body_bytes} bytes (KEYTURN_MAX_BODY_BYTES){parts}"
    code = CODES_OF_STATUS.get(status) or ("server_error" if status >= 500 else "invalid_request")
    description = text or DESCRIPTIONS.get(status) or (error.name if code in TOO_SPECIFIC else None)
    kind = AccessRefusedError if status == 401 else RefusedError  # at an API: the challenge is for a token
    return kind(code, description, reason=reason, status=status)


def text_of_view(error: HTTPException) -> str | None:
    """The text of `abort(404, "…")`, in the characters of RFC 6749, section 5.2; None if it is Werkzeug's."""
    if isinstance(error, WORDED_BY_WERKZEUG) or error.code in WITH_WERKZEUG_TEXT:
        return None
    if error.description in (None, type(error).description):
        return None
    return NOT_IN_ERRORS.sub("'", str(error.description))[:MAX_DESCRIPTION_CHARACTERS]


def render(error: RefusedError) -> Response:
    """The response to a refused request, in JSON (RFC 6749, section 5.2)."""
    body = {"error": error.error, "error_description": error.description, "error_uri": error.page()}
    if not current_settings().is_production:
        body["hint"] = NOT_IN_ERRORS.sub("?", error.reason)
    text = json.dumps({name: value for name, value in body.items() if value})
    response = Response(text, error.status_code, mimetype="application/json")
    response.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
    if challenge := error.challenge():
        response.headers["WWW-Authenticate"] = challenge
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def refused_as(event: Event) -> Callable[[View], View]:
    """Name the event of a refusal at a route, below its `route` decorator."""

    def name(view: View) -> View:
        vars(view)["refused_as"] = event
        return view

    return name


def event_of(error: RefusedError) -> Event:
    if error.status_code >= 500:
        return Event.REQUEST_FAILED
    if isinstance(error, AccessRefusedError):
        return Event.ACCESS_REFUSED
    view = current_app.view_functions.get(request.endpoint or "")
    usual = Event.ACCESS_REFUSED if error.status_code in (403, 429) else Event.REQUEST_REFUSED  # an API's rule, limit
    event: Event = getattr(view, "refused_as", usual)
    return event


def record_refusal(error: RefusedError) -> None:
    """Record why a request was refused, or failed; a 404 is only logged.

    `g.client_id` is a client that has authenticated, or whose token was checked; `g.claimed_client_id`
    is only claimed.
    """
    reason = f"{error.error or 'no token'}: {error.reason}"
    if error.status_code == 404:
        where = {"method": shown(request.method), "path": shown_path(request.path)}
        trail.log_line(Event.REQUEST_REFUSED, reason=reason, **where)
    elif "client_id" in g:
        trail.record_soon(event_of(error), client_id=g.client_id, reason=reason)
    else:
        client_id = g.get("claimed_client_id")
        trail.record_soon(event_of(error), client_id=client_id, reason=reason, budget=Budget.ANONYMOUS)


def recorded(refusal: RefusedError) -> Response:
    record_refusal(refusal)
    return render(refusal)


def refused(error: OAuth2Error) -> Response:
    return recorded(as_refused(error))


def refused_by_flask(error: HTTPException) -> Response:
    if original := getattr(error, "original_exception", None):
        return failed(original)  # it failed after the view, as when a view returns None
    response = recorded(from_http(error))
    # Headers that only Werkzeug can set, above all `Allow` (RFC 9110, section 15.5.6), which it writes in any order.
    for name, value in error.get_headers():
        if name in WERKZEUG_HEADERS:
            response.headers[name] = ", ".join(sorted(value.split(", "))) if name == "Allow" else value
    return response


def database_failed(error: exc.SQLAlchemyError) -> Response:
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return failed(error)  # the statement was at fault, not the database
    log.error("the database failed: %s", f"{cause(error)}. {meaning(error)}".rstrip())
    return recorded(RefusedError("temporarily_unavailable", reason="the database does not respond or is not prepared"))


def failed(error: BaseException) -> Response:
    log.error("unexpected failure at %s %s", request.method, request.url_rule, exc_info=error)
    return recorded(RefusedError("server_error", reason=of_failure(error)))


def of_failure(error: BaseException) -> str:
    """The type of a failure; its text only if it is Flask's, about a view that returns nothing."""
    text = str(error)
    return text if text.startswith("The view function") else type(error).__name__


def forbid_sniffing(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response


def init_app(app: Flask, translations: Mapping[type[Exception], str]) -> None:
    """Render and record whatever is raised in a request.

    Args:
        app: The app.
        translations: The code for each error of a package that does not depend on HTTP.
    """
    for kind, code in translations.items():
        app.register_error_handler(kind, lambda error, code=code: recorded(RefusedError(code, reason=str(error))))
    app.register_error_handler(OAuth2Error, refused)
    app.register_error_handler(HTTPException, refused_by_flask)
    for kind in (exc.DBAPIError, exc.TimeoutError):
        app.register_error_handler(kind, database_failed)
    app.register_error_handler(Exception, failed)
    app.after_request(forbid_sniffing)
