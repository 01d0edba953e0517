"""How whatever is raised in a request becomes a response: in JSON, and without the cause where that is ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, current_app, g, json, request
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException

from app.audit import trail
from app.audit.event import Budget, Event
from app.logs import log, shown, shown_path
from app.refusals import hints
from app.refusals.codes import CODES
from app.refusals.errors import AccessRefusedError, RefusedError
from app.refusals.hints import unsupported_grant
from app.settings import current_settings
from app.storage.failures import cause, meaning

View = TypeVar("View", bound=Callable[..., Any])
# Whatever else may be wrong with a client we say ourselves.
LEFT_TO_AUTHLIB = {
    "invalid_client": "neither Basic nor a secret in the form was sent",
    "unauthorized_client": "the client was registered without a grant",
}


def as_refused(error: OAuth2Error) -> RefusedError:
    """An error that Authlib raised itself, without its description: that may repeat the request."""
    if isinstance(error, RefusedError):
        return error
    code = error.error if error.error in CODES else "invalid_request"
    if code == "unsupported_grant_type":
        return RefusedError(code, reason=unsupported_grant(request.form.get("grant_type", ""), "client_credentials"))
    return RefusedError(code, reason=LEFT_TO_AUTHLIB.get(code, type(error).__name__))


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
    event: Event = getattr(view, "refused_as", Event.REQUEST_REFUSED)
    return event


def note_refusal(error: RefusedError) -> None:
    """Note why a request was refused, or failed; of what is not at any address there is a log line only.

    `g.client_id` is a client that has authenticated, or whose token was checked; `g.claimed_client_id`
    one that somebody claims to be.
    """
    reason = f"{error.error or 'no token'}: {error.reason}"
    if error.status_code == 404:
        where = {"method": shown(request.method), "path": shown_path(request.path)}
        trail.log_line(Event.REQUEST_REFUSED, reason=reason, **where)
    elif "client_id" in g:
        trail.note(event_of(error), client_id=g.client_id, reason=reason)
    else:
        client_id = g.get("claimed_client_id")
        trail.note(event_of(error), client_id=client_id, reason=reason, budget=Budget.ANONYMOUS)


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
        log.error("the database failed: %s", f"{cause(error)}. {meaning(error)}".rstrip())
        reason = "the database does not answer or is not prepared"
        return recorded(RefusedError("temporarily_unavailable", reason=reason))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("unexpected failure at %s %s", request.method, request.url_rule, exc_info=error)
        return recorded(RefusedError("server_error", reason=type(error).__name__))


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
    reason = f"{error.code} {error.name}"
    if error.code == 413:
        reason = f"the body is longer than {current_settings().max_body_bytes} bytes (KEYTURN_MAX_BODY_BYTES)"
    if error.code == 404 and request.url_rule is None:
        reason = hints.unknown_address(request.path, (rule.rule for rule in current_app.url_map.iter_rules()))
    return RefusedError(code, description, reason=reason, status=error.code)
