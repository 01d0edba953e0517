"""The requests that the stubs of WireMock match: the method, the address, the credentials and the form."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from conformance.cases import GRANT, TOKEN, Case
from tests.support import mock_tokens

Pattern = dict[str, Any]
ABSENT = {"absent": True}
EMPTY = {"or": [ABSENT, {"equalTo": ""}]}
FIELDS = (GRANT, "client_id", "client_secret", "client_assertion", "scope", "resource", "token")
NO_TOKEN_IN_URL = {"access_token": ABSENT}
TAIL = 24  # the characters at its end by which a token is recognized


def equal(value: str) -> Pattern:
    return {"equalTo": value}


def encoded(text: str, characters: str, form: str) -> str:
    return re.sub(characters, lambda found: form.format(ord(found[0])), text)


def spellings(text: str) -> list[str]:
    """How clients write an id or a secret in Basic (RFC 6749, section 2.3.1).

    As it is; with `-` and `_` percent-encoded, as openid-client and oauth4webapi do; or with every character so.
    """
    others = "[^A-Za-z0-9]"
    return [text, encoded(text, others, "%{:02X}"), encoded(text, others, "%{:02x}"), encoded(text, ".", "%{:02x}")]


def basic(*clients: tuple[str, str]) -> Pattern:
    """The header Authorization of any of these clients, in any spelling."""
    found = [
        b64encode(f"{first}:{second}".encode()).decode()
        for client_id, secret in clients
        for first, second in zip(spellings(client_id), spellings(secret), strict=True)
    ]
    return {"matches": f"(?i:basic) +({'|'.join(re.escape(each) for each in dict.fromkeys(found))})"}


def bearer(*tokens: str) -> Pattern:
    """The header Authorization with any of these tokens, each recognized by its end."""
    ends = "|".join(dict.fromkeys(re.escape(token[-TAIL:]) for token in tokens))
    return {"matches": rf"(?i:bearer) +\S*({ends})"}


def scope_of(words: str) -> Pattern:
    """A scope with exactly these words, in any order."""
    each = "|".join(re.escape(word) for word in words.split())
    present = "".join(rf"(?=(.* )?{re.escape(word)}( .*)?$)" for word in words.split())
    return {"matches": f"{present}({each})( ({each}))*"}


def by_client(*clients: tuple[str, str], path: str = TOKEN, **form: Pattern) -> Iterator[tuple[str, Pattern]]:
    """The two requests by which these clients authenticate, each with its name."""
    ids = [equal(client_id) for client_id, _ in clients]
    in_header = {"client_id": {"or": [*EMPTY["or"], *ids]}, "client_secret": EMPTY, "client_assertion": EMPTY}
    in_form = {"client_id": {"or": ids}, "client_secret": {"or": [equal(secret) for _, secret in clients]}}
    if len(clients) == 1:
        in_form = {"client_id": ids[0], "client_secret": equal(clients[0][1])}
    for name, header, fields in (("Basic", basic(*clients), in_header), ("the form", ABSENT, in_form)):
        yield (
            name,
            {
                "method": "POST",
                "urlPath": path,
                "headers": {"Authorization": header},
                "formParameters": fields | form,
            },
        )


def of_case(case: Case, fill: Callable[[str], str], tokens: dict[str, str]) -> Pattern:
    """The one request of a case.

    Args:
        case: The case.
        fill: Replaces the variables of a text.
        tokens: The token that each variable has.
    """
    path, _, query = fill(case.path).partition("?")
    sent = {name: equal(value) for name, value in parse_qsl(query)}
    headers = {name: equal(fill(value)) for name, value in case.headers.items()}
    if case.basic:
        headers["Authorization"] = basic((fill(f"{{{{{case.basic}_id}}}}"), fill(f"{{{{{case.basic}_secret}}}}")))
    if case.bearer:
        headers["Authorization"] = bearer(tokens[case.bearer])
    if case.json is not None:
        headers["Content-Type"] = {"contains": "json"}
    found = {"method": case.method, "urlPath": path, "queryParameters": NO_TOKEN_IN_URL | sent}
    return found | {"headers": {"Authorization": ABSENT} | headers, "formParameters": form_of(case, fill)}


def form_of(case: Case, fill: Callable[[str], str]) -> Pattern:
    if case.form is None:
        return {}
    sent: dict[str, list[str]] = {}
    for name, value in case.form:
        if name == "token_type_hint":  # which may be wrong
            continue
        sent.setdefault(name, []).append(fill(value))
    found = {name: has_exactly(*values) if values[1:] else sent_as(values[0]) for name, values in sent.items()}
    return dict.fromkeys(FIELDS, ABSENT) | found


def has_exactly(*values: str) -> Pattern:
    return {"hasExactly": [sent_as(value) for value in values]}


def sent_as(value: str) -> Pattern:
    """A value; the address of the mock itself is any address, except one that another API has."""
    if not value.startswith(mock_tokens.ISSUER):
        return equal(value)
    others = "|".join(re.escape(each.audience) for each in mock_tokens.RESOURCES if each.audience)
    return {"matches": f"(?!({others})$)https?://[^/?#]+{re.escape(value.removeprefix(mock_tokens.ISSUER))}"}
