"""The request as Authlib sees it, and the only parser of the form that the protocol's endpoints receive.

The parameters are those of the body; one without a value counts as absent (RFC 6749, section 3.2).
Authlib's own request also reads the query string, where a secret would end up in every log on the way.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from flask import g, request

from app.checks import Check, making
from app.refusals.errors import RefusedError
from app.settings import current_settings

PERCENT_ENCODING = Check("percent_encoding", "Percent-encoded bytes are UTF-8.", "RFC 6749, appendix B")


class FormRequest(OAuth2Request):
    """Flask's current request, for Authlib."""

    def __init__(self) -> None:
        # Our own address, not the one the client used: Authlib raises for plain http that is not loopback.
        super().__init__(request.method, current_settings().issuer + request.path)
        self.headers = request.headers
        form = {name: value for name, value in parameters() if value}
        self.payload = BasicOAuth2Payload(form)
        self.names_an_api = "resource" in form or "audience" in form

    @property
    def form(self) -> dict[str, str]:
        parameters: dict[str, str] = self.payload.data
        return parameters


def parameters() -> list[tuple[str, str]]:
    """The names and values in the body, in order, parsed once per request.

    Raises:
        RefusedError: `invalid_request`, if percent-encoded bytes are not UTF-8 (RFC 6749, appendix B).
    """
    if "parameters" not in g:
        making.now.check = PERCENT_ENCODING
        try:
            # `app/request_body.py` has bounded their number, and has checked that the body itself is UTF-8.
            g.parameters = parse_qsl(request.get_data(as_text=True), keep_blank_values=True, errors="strict")
        except UnicodeDecodeError as error:
            raise RefusedError("invalid_request", "The body is not UTF-8.") from error
    found: list[tuple[str, str]] = g.parameters
    return found
