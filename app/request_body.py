"""What every request must be before anything looks at it: its path, how many parameters, its body read whole.

Raises exceptions of Werkzeug only, as each becomes a response in `app/refusals/rendering.py`.
"""

from __future__ import annotations

from flask import Flask, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound, RequestEntityTooLarge

from app.settings import current_settings

FORM = "application/x-www-form-urlencoded"
MAX_PARAMETERS = 100
TOO_MANY_PARAMETERS = f"The request has more than {MAX_PARAMETERS} parameters."
COMPRESSED = "The body is compressed. Send it without a Content-Encoding, and no Transfer-Encoding but chunked."


def init_app(app: Flask) -> None:
    app.config["MAX_FORM_PARTS"] = MAX_PARAMETERS  # of a multipart form, which Werkzeug parses
    for step in (refuse_doubled_slash, refuse_many_query_parameters, read_body):
        app.before_request(step)


def refuse_doubled_slash() -> None:
    """Werkzeug would drop all slashes in front but one, and so lead past a proxy's rule for the path."""
    if request.environ.get("PATH_INFO", "").startswith("//"):
        raise NotFound


def refuse_many_query_parameters() -> None:
    if request.query_string.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(TOO_MANY_PARAMETERS)


def read_body() -> None:
    """Read the body, if there is one; a fault in it is the client's."""
    announced = "CONTENT_LENGTH" in request.environ or "HTTP_TRANSFER_ENCODING" in request.environ
    if not announced and request.environ["SERVER_PROTOCOL"].startswith("HTTP/1"):
        return  # RFC 9112, section 6.3: there is none
    limit = current_settings().max_body_bytes
    request.max_content_length = limit + 1  # Werkzeug cuts off what was not announced, without a word
    try:
        body = request.get_data()
    except HTTPException:
        raise
    except Exception as error:  # each server has errors of its own for a body that is broken or stalls
        raise BadRequest from error
    if len(body) > limit:
        raise RequestEntityTooLarge
    if len(body) < (request.content_length or 0):
        raise BadRequest
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
    """Bound the work of whatever parses the form, and refuse bytes that Werkzeug would drop with the whole form."""
    if body.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(TOO_MANY_PARAMETERS)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8.") from error
