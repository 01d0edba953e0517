"""The response to what gunicorn cannot parse as a request: in JSON, and with nothing of the request in it."""

from __future__ import annotations

import json
import ssl

from gunicorn.http import errors

NO_HTTP = ("400 Bad Request", "The request is not valid HTTP.")
FAILED = ("500 Internal Server Error", "The server failed.")
# The status and the description for each error; an error that is not here has those of its base class.
REFUSALS: dict[type[BaseException], tuple[str, str]] = {
    errors.ParseException: NO_HTTP,
    ssl.SSLError: NO_HTTP,
    errors.LimitRequestLine: ("414 URI Too Long", "The request line is too long."),
    errors.LimitRequestHeaders: ("431 Request Header Fields Too Large", "The headers are too long, or too many."),
    errors.ExpectationFailed: ("417 Expectation Failed", "The only supported expectation is 100-continue."),
    errors.UnsupportedTransferCoding: ("501 Not Implemented", "The only supported transfer coding is chunked."),
    errors.ForbiddenProxyRequest: ("403 Forbidden", "The PROXY protocol is not accepted from this address."),
    errors.ConfigurationProblem: ("404 Not Found", "There is nothing at this address."),  # SCRIPT_NAME is set
    errors.InvalidResponseHeader: FAILED,
    errors.InvalidResponseHeaderName: FAILED,
}
CODES = {"404": "not_found", "500": "server_error"}


def is_ours(error: BaseException) -> bool:
    """Whether the fault is the server's, and not the client's."""
    return status_of(error) == FAILED


def status_of(error: BaseException) -> tuple[str, str]:
    return next((REFUSALS[each] for each in type(error).__mro__ if each in REFUSALS), FAILED)


def response_to(error: BaseException) -> bytes:
    """The bytes of a response, after which the connection is closed."""
    status, description = status_of(error)
    code = CODES.get(status[:3], "invalid_request")
    body = json.dumps({"error": code, "error_description": description})
    lines = (
        f"HTTP/1.1 {status}",
        "Connection: close",
        "Content-Type: application/json",
        "Cache-Control: no-store",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*lines, "", body]).encode()
