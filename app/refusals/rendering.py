"""Error handlers: any exception becomes a JSON error response that never exposes an internal cause.

The exceptions in `app/refusals/errors.py` are rendered here, and nowhere else; `translation.py` makes one of any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, current_app, g, json, request
from sqlalchemy import exc
from werkzeug.exceptions import HTTPException

from app.audit import trail
from app.audit.event import Budget, Event
from app.checks import Check, making
from app.logs import log, shown, shown_path
from app.refusals.errors import AccessRefusedError, RefusedError, error_text
from app.refusals.translation import as_refused, from_http
from app.settings import current_settings
from app.storage.failures import cause, meaning

DATABASE = Check("database", "The database responds.", "RFC 9110, section 15.6.4")

View = TypeVar("View", bound=Callable[..., Any])
WERKZEUG_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


def render(error: RefusedError) -> Response:
    """The response to a refused request, in JSON (RFC 6749, section 5.2)."""
    body = {"error": error.error, "error_description": error.description, "error_uri": error.page()}
    if not current_settings().is_production:
        body["hint"] = error_text(error.reason, "?")
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
    where = {"method": shown(request.method), "path": shown_path(request.path)}
    if error.status_code == 404:
        trail.log_line(
            Event.REQUEST_REFUSED, client_id=g.get("client_id"), address=g.get("address"), reason=reason, **where
        )
    elif "client_id" in g:
        trail.record_soon(event_of(error), client_id=g.client_id, reason=reason, where=where)
    else:
        client_id, budget = g.get("claimed_client_id"), Budget.ANONYMOUS
        trail.record_soon(event_of(error), client_id=client_id, reason=reason, budget=budget, where=where)


def recorded(refusal: RefusedError) -> Response:
    g.refusal = refusal
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
    making.now.has_failed = True  # the check that needed it
    making.now.check = DATABASE
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
