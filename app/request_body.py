"""This file is how a request is read: its body whole, its form once, and what it asks for checked.

What cannot be read is refused with the name of what is wrong.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from flask import Request
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge
from werkzeug.utils import cached_property

from app.refusals.errors import RefusedError
from app.settings import current_settings

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
        limit = current_settings().max_body_bytes
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
