"""What a request leaves for the metrics: one plain tuple, which a thread counts within a second.

Nothing here runs unless KEYTURN_METRICS_BIND is set. docs/metrics.md says how many Python calls a request has more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask, Response, g, request

from app.checks import making
from app.per_app import PerApp
from app.settings import current_settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BEGAN = "keyturn.began"
ISSUES_TOKENS = "oauth.token"
OPAQUE = b'"kta_'  # how an opaque access token begins in the body of its response
MAX_NOTES = 100_000  # if the thread that counts them hangs, the oldest are lost; some 20 MiB


class Note(NamedTuple):
    """A request: what it was for, its status, and how it ended.

    `client_id` and `body` belong to an issued token, `error`, `reason` and `check` to a refusal.
    """

    method: str
    route: str | None
    status: int
    seconds: float
    client_id: str | None
    is_opaque: bool
    error: str | None
    reason: str | None
    check: str | None


current_notes = PerApp[deque[tuple[Any, ...]]]("metrics_notes")


def init_app(app: Flask) -> None:
    if not current_settings.of(app).metrics_bind:
        return
    notes: deque[tuple[Any, ...]] = deque(maxlen=MAX_NOTES)
    current_notes.set(app, notes)
    app.wsgi_app = timed(app.wsgi_app)  # type: ignore[method-assign]

    @app.after_request
    def note(response: Response) -> Response:
        # As tuples, which cost no call; the thread makes each a Note.
        notes.append(facts(response))
        return response


def timed(wsgi_app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The WSGI app, with the moment at which each request began in its environment."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[BEGAN] = perf_counter()
        return wsgi_app(environ, start_response)

    return call


def facts(response: Response) -> tuple[Any, ...]:
    """The members of a Note, in order."""
    sent, known = request._get_current_object(), g._get_current_object()  # type: ignore[attr-defined]
    seconds = perf_counter() - sent.environ[BEGAN]
    route, status = sent.url_rule and sent.url_rule.rule, response._status_code
    if refusal := known.__dict__.get("refusal"):
        check = None if status == 500 else making.now.check.name  # a failure is of no check
        return sent.method, route, status, seconds, None, False, refusal.error or "no_token", refusal.reason, check
    if status == 200 and sent.url_rule.endpoint == ISSUES_TOKENS:
        return sent.method, route, status, seconds, known.client_id, OPAQUE in response.data, None, None, None
    return sent.method, route, status, seconds, None, False, None, None, None
