"""Checks before any view runs: the path, the number of parameters, and the body, which is read whole.

They raise exceptions of Werkzeug only; `app/refusals/rendering.py` turns each into a response.
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
    """Werkzeug would drop all leading slashes but one, and so bypass a proxy's rule for the path."""
    if request.environ.get("PATH_INFO", "").startswith("//"):
        raise NotFound


def refuse_many_query_parameters() -> None:
    if request.query_string.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(TOO_MANY_PARAMETERS)


def read_body() -> None:
    """Read the body, if there is one; a broken body is the client's error."""
    announced = "CONTENT_LENGTH" in request.environ or "HTTP_TRANSFER_ENCODING" in request.environ
    if not announced and request.environ["SERVER_PROTOCOL"].startswith("HTTP/1"):
        return  # RFC 9112, section 6.3: there is no body
    limit = current_settings().max_body_bytes
    request.max_content_length = limit + 1  # Werkzeug silently truncates a body of unannounced length
    try:
        body = request.get_data()
    except HTTPException:
        raise
    except Exception as error:  # each server has its own errors for a body that is broken or stalls
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
    """Bound the work of parsing the form, and refuse bytes for which Werkzeug would drop the whole form."""
    if body.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(TOO_MANY_PARAMETERS)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8.") from error
