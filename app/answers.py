"""This file is how whatever is raised in a request becomes its answer: in JSON, and never with a cause that is ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, json, request
from sqlalchemy import exc
from werkzeug.exceptions import BadRequest, HTTPException

import config
from app.errors import RefusedError
from app.explanations.codes import CODES
from app.logs import log, one_line


def as_refused(error: OAuth2Error) -> RefusedError:
    """An error that Authlib raised itself: its description may repeat the request, so it becomes the reason."""
    if isinstance(error, RefusedError):
        return error
    code = error.error if error.error in CODES else "invalid_request"
    # Whatever is wrong with credentials we say ourselves: what is left to Authlib is that there are none.
    missing = "neither Basic nor a secret in the form was sent" if code == "invalid_client" else None
    return RefusedError(code, reason=missing or error.get_error_description() or error.error)


def render(error: RefusedError) -> Response:
    """The answer to a refused request, in JSON (RFC 6749, section 5.2)."""
    body = {"error": error.error, "error_description": error.description, "error_uri": error.page()}
    if not config.current().is_production:
        body["hint"] = re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "?", error.reason)
    answer = Response(json.dumps({k: v for k, v in body.items() if v}), error.status_code, mimetype="application/json")
    answer.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
    if challenge := error.challenge():
        answer.headers["WWW-Authenticate"] = challenge
    if error.retry_after:
        answer.headers["Retry-After"] = str(error.retry_after)
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
