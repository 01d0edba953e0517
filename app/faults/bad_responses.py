"""The faults of a token response: each turns a good response into a bad one."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from werkzeug import Response

from app.discovery import error_pages
from app.faults.bad_tokens import Jwt
from app.refusals import rendering
from app.refusals.errors import RefusedError
from app.settings import current_settings
from app.storage.waiting import THREADS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

RETRY_SECONDS = 1
PAGE = "<!doctype html><title>Sign in</title><p>Please sign in to the network.</p>\n"
# One per process, not per app: threads belong to the process. The others serve what is not slow.
slow_threads = BoundedSemaphore(THREADS // 2)

Change = Callable[[Response, "WSGIEnvironment"], Response]


def sleep(seconds: int) -> None:
    """Block this thread.

    Raises:
        RefusedError: 503, if half of the worker's threads are already blocked so.
    """
    if not slow_threads.acquire(blocking=False):
        raise RefusedError("temporarily_unavailable", reason=f"{THREADS // 2} responses of this worker are slow now")
    try:
        time.sleep(seconds)
    finally:
        slow_threads.release()


def hang_up(environ: WSGIEnvironment) -> None:
    """Close the connection, in both directions; whatever is sent later is lost.

    Raises:
        ConnectionAbortedError: If the server does not pass its socket to the app.
    """
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if connection is None:
        raise ConnectionAbortedError("this server does not pass its socket to the app")
    connection.shutdown(socket.SHUT_RDWR)


def drop(response: Response, environ: WSGIEnvironment) -> Response:
    hang_up(environ)
    return response


def cut(response: Response, environ: WSGIEnvironment) -> Response:
    data = response.get_data()

    def half() -> Iterator[bytes]:
        yield data[: len(data) // 2]
        hang_up(environ)

    response.response = half()
    response.headers["Content-Length"] = str(len(data))
    return response


def with_status(status: int) -> Change:
    codes = {401: "invalid_client", 500: "server_error"}

    def change(_: Response, __: WSGIEnvironment) -> Response:
        code = codes.get(status, "temporarily_unavailable")
        refused = rendering.render(RefusedError(code, reason="the client id requested this", status=status))
        if status in (429, 503):
            refused.headers["Retry-After"] = str(RETRY_SECONDS)
        return refused

    return change


def with_body(body: str | None, media_type: str | None) -> Change:
    """Another body, or another type, or both; None leaves what is there."""

    def change(response: Response, _: WSGIEnvironment) -> Response:
        if body is not None:
            response.set_data(body)
        if media_type:
            response.headers["Content-Type"] = media_type
        return response

    return change


def truncated(response: Response, _: WSGIEnvironment) -> Response:
    data = response.get_data()
    response.set_data(data[: len(data) // 2])
    return response


def redirect(response: Response, _: WSGIEnvironment) -> Response:
    response.status_code = 302
    response.headers.update({"Location": current_settings().issuer + error_pages.PATH, "Content-Type": "text/html"})
    response.set_data("")
    return response


def with_member(name: str, value: object) -> Change:
    """Another value of a member of the JSON; None leaves the member out."""

    def change(response: Response, _: WSGIEnvironment) -> Response:
        members: dict[str, Any] = json.loads(response.get_data()) | {name: value}
        response.set_data(json.dumps({name: value for name, value in members.items() if value is not None}))
        return response

    return change


def text_expires_in(response: Response, environ: WSGIEnvironment) -> Response:
    seconds = json.loads(response.get_data())["expires_in"]
    return with_member("expires_in", str(seconds))(response, environ)


def less_scope(response: Response, _: WSGIEnvironment) -> Response:
    members = json.loads(response.get_data())
    members["scope"] = members["scope"].rpartition(" ")[0]
    token = Jwt.parse(members["access_token"])
    token.claims["scope"] = members["scope"]
    response.set_data(json.dumps(members | {"access_token": token.signed()}))
    return response


def as_it_is(response: Response, _: WSGIEnvironment) -> Response:
    return response


CHANGES: dict[str, Change] = {
    **{str(status): with_status(status) for status in (401, 429, 500, 503)},
    "slow-5s": as_it_is,  # the layer lets it wait
    "drop": drop,
    "cut": cut,
    "truncated": truncated,
    "html": with_body(PAGE, "text/html; charset=utf-8"),
    "redirect": redirect,
    "empty": with_body("", None),
    "wrong-type": with_body(None, "text/plain; charset=utf-8"),
    "no-access-token": with_member("access_token", None),
    "no-token-type": with_member("token_type", None),
    "no-expires-in": with_member("expires_in", None),
    "negative-expires-in": with_member("expires_in", -1),
    "text-expires-in": text_expires_in,
    "less-scope": less_scope,
}
