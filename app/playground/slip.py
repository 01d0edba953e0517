"""A slip: one mistake of a client, the request that makes it, and the response of the server.

The page fills the placeholders of a request with the values of the client that a slip names:
`{client_id}`, `{secret}`, `{encoded_secret}` (percent-encoded once more than needed), `{token}` and what is
made from it, `{half_token}`, `{tampered_token}`, `{expired_token}`, `{revoked_token}`; `{basic}`, the id and
the secret in Base64; `{padding}`, 17,000 characters. `{issuer}` and `{authority}` are in commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pairs = tuple[tuple[str, str], ...]
Group = Literal["request", "credentials", "scope", "token", "address", "server", "server_token"]

TOKEN, INTROSPECT, REVOKE = "/oauth/token", "/oauth/introspect", "/oauth/revoke"
GRANT = ("grant_type", "client_credentials")
IN_FORM = (("client_id", "{client_id}"), ("client_secret", "{secret}"))
CREDENTIALS = ("{client_id}", "{secret}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request of a slip, with placeholders.

    Args:
        method: The method.
        path: The path below the issuer, with a query if it has one.
        basic: The id and the secret of the header `Authorization: Basic`, before they are encoded.
        headers: Other headers.
        form: The names and values of the form, before they are percent-encoded.
        body: A body that is no form, or one that no form can express.
    """

    method: str = "POST"
    path: str = TOKEN
    basic: tuple[str, str] | None = None
    headers: Pairs = ()
    form: Pairs | None = None
    body: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """One thing that a client does wrong.

    Args:
        name: Its name in addresses and in the browser's memory.
        group: Where things go wrong.
        title: What the button says.
        question: What happens, and what the learner should guess.
        guesses: Three guesses, all of them plausible.
        right: The position of the right guess.
        request: The request.
        status: The HTTP status of the response; 0 if there is none, or if a browser hides it from a page.
        error: Its error code; None if it has none.
        check: The name of the check that fails; empty if none does.
        cause: The cause in the table of codes, by code and text; None if it is none of them.
        remedy: What to do, if the table of codes does not say it.
        client: The demo client whose id and secret are used.
        token_of: The demo client whose token is used; by default the same.
        scope: The scope that this token is requested with; empty for the default.
        acts_as: The client id that is sent instead of the client's own, which says what goes wrong at the server.
    """

    name: str
    group: Group
    title: str
    question: str
    guesses: tuple[str, str, str]
    right: int
    request: Request
    status: int
    error: str | None
    check: str = ""
    cause: tuple[str, str] | None = None
    remedy: str = ""
    client: str = "demo-reporting"
    token_of: str = ""
    scope: str = ""
    acts_as: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What goes wrong without any request that a page can send.

    Args:
        title: What goes wrong.
        why: Why no request from this page brings it about, in one sentence.
        command: A command that shows it; empty if there is none.
        prints: What that command prints, or the part of it that never varies.
        cause: The cause in the table of codes, by code and text; None if it is none of them.
    """

    title: str
    why: str
    command: str = ""
    prints: str = ""
    cause: tuple[str, str] | None = None


def to_server(*form: tuple[str, str], path: str = TOKEN, basic: tuple[str, str] | None = CREDENTIALS) -> Request:
    """A form for one of the protocol's endpoints."""
    return Request(path=path, basic=basic, form=form)


def to_api(authorization: str, *, method: str = "GET", path: str = "/internal/reports", body: str = "") -> Request:
    """A request to the sample API; the body is JSON."""
    headers = (("Authorization", authorization),) if authorization else ()
    if body:
        return Request(method=method, path=path, headers=(*headers, ("Content-Type", "application/json")), body=body)
    return Request(method=method, path=path, headers=headers)
