"""One request to a server anywhere, and its response."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

SECONDS = 30
MAX_BODY_BYTES = 1_000_000


class CannotRunError(Exception):
    """The server, the client or the options cannot be used; the text says why."""


@dataclass(frozen=True)
class Response:
    """A response; its status is 0 if the server closed the connection or sent no HTTP."""

    status: int
    headers: Message = field(default_factory=Message)
    body: bytes = b""

    @property
    def members(self) -> dict[str, Any]:
        """The members of the JSON object in the body; empty for anything else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def media_type(self) -> str:
        """Without parameters: a charset may be there (RFC 9110, section 8.3.1)."""
        return self.headers.get_content_type() if "Content-Type" in self.headers else ""

    @property
    def challenges(self) -> str:
        """All challenges: there may be several headers WWW-Authenticate (RFC 9110, section 11.6.1)."""
        return ", ".join(self.headers.get_all("WWW-Authenticate", []))

    def challenges_by(self, scheme: str) -> bool:
        return bool(re.search(rf"(?:^|,\s*){scheme}(?:[\s,]|$)", self.challenges, re.IGNORECASE))


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is the response: credentials follow none."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirects)


def send(
    url: str, method: str = "GET", *, headers: dict[str, str] | None = None, body: bytes | None = None
) -> Response:
    """Send a request.

    Raises:
        OSError: If the server cannot be reached, or does not respond within 30 seconds.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise CannotRunError(f"an address begins with https:// or http://, and this one does not: {url}")
    try:
        with OPENER.open(urllib.request.Request(url, body, headers or {}, method=method), timeout=SECONDS) as response:
            return Response(response.status, response.headers, response.read(MAX_BODY_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, error.headers, error.read(MAX_BODY_BYTES))
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(f"what came back is not HTTP: {type(error).__name__}") from error
