"""Checks before any view runs: the path, the number of parameters, and the body, which is read whole.

They raise exceptions of Werkzeug only; `app/refusals/rendering.py` turns each into a response.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, request
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge

from app.checks import Check, current_recorders, making
from app.settings import current_settings

BODY_COMPLETE = Check("body_complete", "The body is complete.", "RFC 9112, section 8")
BODY_LENGTH = Check("body_length", "The body is not too long.", "RFC 9110, section 15.5.14")
NOT_COMPRESSED = Check("not_compressed", "The body is not compressed.", "RFC 9110, section 8.4")
FORM_PARAMETERS = Check("form_parameters", "The form has at most 100 parameters.", "our own")
UTF8 = Check("utf8", "The form is UTF-8.", "RFC 6749, appendix B")
URL_PARAMETERS = Check("url_parameters", "The URL has at most 100 parameters.", "our own")
ADDRESS = Check(
    "address", "There is something at this address, for this method.", "RFC 9110, sections 15.5.5 and 15.5.6"
)

FORM = "application/x-www-form-urlencoded"
MAX_PARAMETERS = 100
TOO_MANY_PARAMETERS = f"The request has more than {MAX_PARAMETERS} parameters."
COMPRESSED = "The body is compressed. Send it without a Content-Encoding, and no Transfer-Encoding but chunked."


def init_app(app: Flask) -> None:
    app.config["MAX_FORM_PARTS"] = MAX_PARAMETERS  # of a multipart form, which Werkzeug parses
    recorders: dict[str, Callable[[], None]] = {}
    current_recorders.set(app, recorders)

    def begin() -> None:
        """Record the checks of this request if it has a header for that; refuse a path that begins with two slashes."""
        environ = request.environ
        making.now = making.unrecorded  # however this thread's last request ended
        for header in recorders:
            if header in environ:
                recorders[header]()
        # Werkzeug would drop all leading slashes but one, and so bypass a proxy's rule for the path.
        if environ.get("PATH_INFO", "").startswith("//"):
            making.now.check = ADDRESS
            raise NotFound

    for step in (begin, read_body, refuse_many_query_parameters):
        app.before_request(step)


def refuse_many_query_parameters() -> None:
    making.now.check = URL_PARAMETERS
    if request.query_string.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(TOO_MANY_PARAMETERS)
    making.now.check = ADDRESS  # by Flask: it raises next if no route was found


def read_body() -> None:
    """Read the body, if there is one; a broken body is the client's error."""
    announced = "CONTENT_LENGTH" in request.environ or "HTTP_TRANSFER_ENCODING" in request.environ
    if not announced and request.environ["SERVER_PROTOCOL"].startswith("HTTP/1"):
        return  # RFC 9112, section 6.3: there is no body
    limit = current_settings().max_body_bytes
    request.max_content_length = limit + 1  # Werkzeug silently truncates a body of unannounced length
    making.now.check = BODY_LENGTH
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        raise
    except Exception as error:  # each server has its own errors for a body that is broken or stalls
        making.now.check = BODY_COMPLETE
        raise BadRequest from error
    if len(body) > limit:
        raise RequestEntityTooLarge
    making.now.check = BODY_COMPLETE
    if len(body) < (request.content_length or 0):
        raise BadRequest
    making.now.check = NOT_COMPRESSED
    if body and is_compressed():
        raise BadRequest(COMPRESSED)
    if request.mimetype == FORM:
        check_form(body)


def is_compressed() -> bool:
    """Whether the body has a coding that nothing here decodes (RFC 9110, section 8.4; RFC 9112, section 6.1)."""
    content = request.environ.get("HTTP_CONTENT_ENCODING", "").lower()
    transfer = request.environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    return content not in ("", "identity") or transfer not in ("", "chunked")


def check_form(body: bytes) -> None:
    """Bound the work of parsing the form, and refuse bytes for which Werkzeug would drop the whole form."""
    making.now.check = FORM_PARAMETERS
    if body.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(TOO_MANY_PARAMETERS)
    making.now.check = UTF8
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8.") from error
