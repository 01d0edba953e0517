"""One request as the journal stores it, as an object and as a line of JSON.

No field holds a secret, a token or the value of a query. `recording.py` decides what is recorded of a request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields

from app.logs import redact

MAX_LINE_BYTES = 4_096
KEPT = ("at", "active")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A request and its response; or, with `command`, a note of a `flask` command.

    Args:
        at: When the request arrived, in seconds since the epoch.
        request_id: The `X-Request-Id` of the response.
        method: The method, or `[redacted]`.
        path: The path without its query, each segment as `logs.shown` returns it.
        status: The HTTP status of the response.
        milliseconds: How long the response took.
        issuer: The issuer of the server.
        endpoint: Flask's name of the route; empty if no route has this path and method.
        client_id: The client; empty if that is uncertain.
        is_authenticated: Whether the client's secret or token was valid, and not only its id known.
        auth: How it authenticated: `basic`, `post`, `assertion`, `bearer`, `none` or `other`.
        grant_type: The grant type that was requested.
        scope: The scope that was requested.
        granted: The scope of the token that was issued.
        token: The kind of the token that was issued or sent: `jwt`, `opaque` or `unknown`.
        active: The result of an introspection; None for any other request.
        error: The error code.
        reason: Why it was refused, or why a token is not active.
        challenge: The `WWW-Authenticate` of the response.
        from_playground: Whether the playground sent it.
        fault: The fault that the request named, which the response may have; empty if it named none.
        command: The name of a command, which has no response.
    """

    at: float
    request_id: str = ""
    method: str = ""
    path: str = ""
    status: int = 0
    milliseconds: float = 0.0
    issuer: str = ""
    endpoint: str = ""
    client_id: str = ""
    is_authenticated: bool = False
    auth: str = ""
    grant_type: str = ""
    scope: str = ""
    granted: str = ""
    token: str = ""
    active: bool | None = None
    error: str = ""
    reason: str = ""
    challenge: str = ""
    from_playground: bool = False
    fault: str = ""
    command: str = ""

    def as_json(self) -> dict[str, object]:
        """Its members without the empty ones; each text without anything that looks like a secret."""
        given = {name: value for name, value in asdict(self).items() if name in KEPT or value not in ("", None, 0)}
        return {
            name: redact(value) if isinstance(value, str) else value
            for name, value in given.items()
            if value is not None
        }

    def as_line(self) -> bytes:
        return json.dumps(self.as_json()).encode() + b"\n"


# By the annotations above, which are texts.
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "bool | None": (bool,),
}


def from_line(line: bytes) -> Entry | None:
    """The entry of a line; None for anything else, such as half a line. Unknown members are ignored."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if len(line) > MAX_LINE_BYTES or not isinstance(found, dict):
        return None
    known = {}
    for each in fields(Entry):
        value = found.get(each.name, each.default)
        if value is MISSING or (each.name in found and not is_of(str(each.type), value)):
            return None
        known[each.name] = value
    return Entry(**known)


def from_lines(lines: Iterable[bytes]) -> list[Entry]:
    """The entries among some lines."""
    return [entry for line in lines if (entry := from_line(line))]


def is_of(kind: str, value: object) -> bool:
    """Whether a value has the type of its field; a text must not move a terminal's cursor."""
    if isinstance(value, bool) and "bool" not in kind:
        return False
    return isinstance(value, TYPES[kind]) and (not isinstance(value, str) or value.isprintable())
