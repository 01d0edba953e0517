"""This file is how a request is read: its body whole, its form once, and what it asks for checked.

What cannot be read is refused with the name of what is wrong.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from flask import Request, request
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge
from werkzeug.utils import cached_property

import config
from app.refusals.errors import RefusedError

FORM = "application/x-www-form-urlencoded"


class WholeRequest(Request):
    @cached_property
    def form(self) -> ImmutableMultiDict[str, str]:
        """The parameters of the body; Werkzeug would build a parser for each request, at twice the cost."""
        if self.mimetype != FORM:
            return super().form
        return ImmutableMultiDict(parse_qsl(self.get_data().decode(), keep_blank_values=True))

    def read_body(self) -> None:
        """Read the body, if there is one; a fault in it is the client's."""
        announced = "CONTENT_LENGTH" in self.environ or "HTTP_TRANSFER_ENCODING" in self.environ
        if not announced and self.environ["SERVER_PROTOCOL"].startswith("HTTP/1"):
            return  # RFC 9112, section 6.3: there is none, and to read it would cost more than to check a token
        limit = config.current().max_body_bytes
        self.max_content_length = limit + 1  # Werkzeug cuts off what was not announced, without a word
        try:
            body = self.get_data()
        except HTTPException:
            raise
        except Exception as error:  # each server has errors of its own for a body that is broken or stalls
            raise BadRequest from error
        if len(body) > limit:
            raise RequestEntityTooLarge
        if len(body) < (self.content_length or 0):
            raise BadRequest
        if self.mimetype == FORM and not body.isascii() and "\ufffd" in body.decode(errors="replace"):
            raise RefusedError("invalid_request", "The body is not UTF-8.")  # Werkzeug would drop the whole form


def whole_number(name: str, *, default: int, high: int) -> int:
    """A parameter of the URL, 1 to `high`."""
    given = request.args.get(name, str(default))
    if not re.fullmatch("[0-9]{1,19}", given) or not 1 <= int(given) <= high:
        raise bad_request(f"The parameter {name} must be a whole number from 1 to {high}.")
    return int(given)


def text(name: str) -> str | None:
    """A parameter of the URL; None if there is none."""
    given = request.args.get(name)
    if given is not None and not re.fullmatch("[ -~]*", given):
        raise bad_request(f"The parameter {name} must be printable ASCII.")
    return given


def json_member(name: str) -> object:
    """A member of the JSON object in the body; None if there is none."""
    try:
        body = request.get_json()
    except RecursionError as error:  # thousands of brackets in a row are JSON too
        raise bad_request("The JSON is nested too deeply.") from error
    return body.get(name) if isinstance(body, dict) else None


def json_whole_number(name: str, *, high: int) -> int:
    """A member of the JSON object in the body, 0 to `high`; in JSON 5.0 is a whole number, and true is none."""
    given = json_member(name)
    if type(given) not in (int, float) or not 0 <= given <= high or given != int(given):  # type: ignore[operator, call-overload]
        raise bad_request(f"The member {name} must be a whole number from 0 to {high}.")
    return int(given)  # type: ignore[call-overload, no-any-return]


def bad_request(description: str) -> RefusedError:
    return RefusedError("invalid_request", description)
