"""The WSGI layer in front of the app of a development server: it applies the fault that a request names.

The app sees the client `fault` and checks its secret; a fault is applied to what was granted, and never to a
refusal. The header `X-Keyturn-Fault` of a response says which fault was applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from werkzeug import Response

from app.checks import Check, making
from app.faults import bad_issuers, bad_responses, bad_tokens
from app.faults.bad_issuers import FOLDER, TOKEN, Place
from app.faults.fault_count import FaultCount, count_one
from app.faults.fault_id import PREFIX, FaultId, UnknownFaultError, read_id
from app.faults.renaming import rename
from app.faults.table import Kind
from app.journal.recording import FACTS
from app.logs import log, one_line
from app.refusals.errors import RefusedError
from app.settings import current_settings
from app.upkeep.removals import Removal, current_removals

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FAULT = Check("fault", "The fault that the request names exists, and can be applied.", "our own")

HEADER = "X-Keyturn-Fault"
CHECKS = "X-Keyturn-Checks"  # what the app checked, if it was recorded, is true of every response
# A response that depends on these would not be the whole document.
CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_RANGE")
UNCOUNTED = "the database does not count how often a fault was applied"


def init_app(app: Flask) -> None:
    """Put the layer in front of an app, in development only."""
    app.wsgi_app = FaultLayer(app)  # type: ignore[method-assign]
    current_removals.of(app)["fault counts"] = Removal(FaultCount, FaultCount.is_of_no_use)


class FaultLayer:
    def __init__(self, app: Flask) -> None:
        settings = current_settings.of(app)
        self._app = app
        self._next = app.wsgi_app
        self._issuer = settings.issuer
        self._base = urlsplit(settings.issuer).path
        self._endpoints = self._base + "/oauth/"
        self._max_body_bytes = settings.max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if FOLDER in path and (place := bad_issuers.find_place(path, self._base)):
            respond = partial(self.of_issuer, environ, place)
        elif path.startswith(self._endpoints) and (sent := rename(environ, self._max_body_bytes)):
            respond = partial(self.of_client, environ, sent)
        else:
            return self._next(environ, start_response)
        return self.refusing(environ, respond)(environ, start_response)

    def refusing(self, environ: WSGIEnvironment, respond: Callable[[], Response]) -> Response:
        """The response, or a refusal if there is no such fault or it cannot be applied."""
        try:
            return respond()
        except UnknownFaultError as error:
            code = "not_found" if FOLDER in environ["PATH_INFO"] else "invalid_client"
            return self.refused(environ, RefusedError(code, reason=str(error)))
        except RefusedError as error:
            return self.refused(environ, error)
        except SQLAlchemyError:
            return self.refused(environ, RefusedError("temporarily_unavailable", reason=UNCOUNTED))

    def refused(self, environ: WSGIEnvironment, error: RefusedError) -> Response:
        """The refusal as the app itself renders and records it, with a request id."""
        if isinstance(environ["wsgi.input"], BytesIO):
            environ["wsgi.input"].seek(0)  # the app may have read it
        with self._app.request_context(environ):
            try:
                self._app.preprocess_request()
                making.now.check = FAULT
                raise error
            except Exception as raised:
                response = self._app.make_response(self._app.handle_user_exception(raised))
            return self._app.process_response(response)

    def of_client(self, environ: WSGIEnvironment, sent: str | None, issuer: str | None = None) -> Response:
        """The response to a client at one of the endpoints.

        Args:
            environ: The request, in which the client is `fault`.
            sent: What followed `fault-` in its id; None for a client without a fault.
            issuer: The issuer that its token names, if it is another one.
        """
        fault_id = read_id(sent, Kind.RESPONSE, Kind.TOKEN) if sent else None
        response = Response.from_app(self._next, environ, buffered=True)
        if fault_id:
            note(environ, client_id=one_line(PREFIX + fault_id.text), fault=fault_id.name)
        if not environ["PATH_INFO"].endswith(TOKEN) or response.status_code != 200:
            return response
        if issuer:
            with self._app.app_context():
                response = bad_tokens.with_token(response, partial(bad_tokens.from_issuer, issuer=issuer))
        if fault_id is None:
            return response
        if make := bad_tokens.MAKERS.get(fault_id.fault.name):
            return self.applied(environ, fault_id, response, lambda: bad_tokens.with_token(response, make))
        change = bad_responses.CHANGES[fault_id.fault.name]
        return self.applied(environ, fault_id, response, lambda: change(response, environ))

    def of_issuer(self, environ: WSGIEnvironment, place: Place) -> Response:
        """A document of a faulty issuer, or a token that names it."""
        fault_id = read_id(place.name, Kind.ISSUER)
        issuer = self._issuer + FOLDER + place.name
        note(environ, fault=fault_id.name)
        environ["PATH_INFO"] = place.real
        if place.document == TOKEN:
            return self.of_client(environ, rename(environ, self._max_body_bytes), issuer)
        plain = {name: value for name, value in environ.items() if name not in CONDITIONS}
        if plain["REQUEST_METHOD"] == "HEAD":
            plain["REQUEST_METHOD"] = "GET"
        response = Response.from_app(self._next, plain, buffered=True)
        if response.status_code != 200:
            return response
        response = bad_issuers.under_its_name(response, place.document, issuer)
        if not bad_issuers.is_about(fault_id.fault.name, place.document):
            return response
        return self.applied(environ, fault_id, response, lambda: bad_issuers.changed(response, fault_id.fault.name))

    def applied(
        self, environ: WSGIEnvironment, fault_id: FaultId, response: Response, apply: Callable[[], Response]
    ) -> Response:
        """The response with the fault, if this request should have it."""
        with self._app.app_context():
            if fault_id.first and count_one(f"{fault_id.fault.kind} {fault_id.text}") > fault_id.first:
                return response
            if fault_id.seconds:
                bad_responses.sleep(fault_id.seconds)
            request_id = response.headers.get("X-Request-Id", "")
            checks = {name: value for name, value in response.headers if name == CHECKS}
            faulty = apply()
        faulty.headers.setdefault("X-Content-Type-Options", "nosniff")
        faulty.headers.update({"X-Request-Id": request_id, HEADER: fault_id.name, **checks})
        note(environ, **as_received(faulty), reason=f"as requested: {fault_id.fault.happens}")
        fields = {"fault": fault_id.name, "request_id": request_id}
        log.info("a fault was applied, as requested", extra={"fields": fields})
        return faulty


def note(environ: WSGIEnvironment, **facts: str) -> None:
    """Add facts to the entry of the journal, if there is one."""
    environ.get(FACTS, {}).update(facts)


def as_received(response: Response) -> dict[str, str]:
    """What a client received, which the app itself did not send."""
    if not response.is_sequence:  # a body that is cut off can be read only once
        return {}
    body = response.get_json(silent=True)
    members = body if isinstance(body, dict) else {}
    issued = {} if "access_token" in members else {"granted": "", "token": ""}
    return {"error": str(members.get("error", ""))} | issued
