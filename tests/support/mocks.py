"""Makes the stubs of `mocks/wiremock/` from the table of cases, the table of faults and the demo clients.

Where two stubs match a request, the one with the smaller `priority` responds: a fault, then the very request of a
case, then a token, then any other request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import config
from conformance.cases import CASES, CC, GRANT, INTROSPECT, REVOKE, TOKEN, Case
from tests.support import collection, mock_faults, mock_requests, mock_tokens
from tests.support.house import ROOT
from tests.support.mock_faults import Stub, stub
from tests.support.mock_requests import ABSENT, bearer, by_client, equal, scope_of, sent_as
from tests.support.mock_responses import instead, real, with_token

FOLDER = ROOT / "mocks" / "wiremock" / "mappings"
CASE, GRANTED, CLOSE, ANY, LAST = 4, 5, 6, 8, 9  # priorities; 1 and 2 are for faults
DEMOS = [demo for demo in config.DEMO_CLIENTS if demo.secret]  # WireMock cannot check a signature
CLIENTS = {demo.client_id: demo for demo in DEMOS if demo.scope}
KNOWN = [(demo.client_id, demo.secret) for demo in DEMOS]
APIS = [(demo.client_id, demo.secret) for demo in DEMOS if demo.resource_server]
FILES = {"/oauth/token": "token-endpoint", "/oauth/introspect": "introspection", "/oauth/revoke": "introspection"}
# The cases whose response is another one after an earlier request: a stub's token is the same before and after.
NEED_A_STATE = {"introspect the revoked JWT", "the revoked opaque token"}
# A stub for each scope of several APIs, and each API that it is narrowed to, would be hundreds.
NARROWED = "a scope of two APIs, narrowed by resource"
# Of a route: the case with its response, and the scopes that open it.
ROUTES = (
    ("GET", "/admin/logs", "the audit trail", "read:logs read:all_data"),
    ("POST", "/admin/logs", "an entry for the audit trail", "write:logs"),
    ("GET", "/internal/reports", "a report", "reports:read read:all_data"),
    ("GET", "/inventory", "reading the stock", "inventory:read read:all_data"),
    ("PUT", "/inventory/[^/]+", "changing the stock", "inventory:write"),
)
ROUTE = "/(admin/logs|internal/reports|inventory(/[^/]+)?)"
# A template must not end before a brace: }}} would be the end of another kind.
STOCK = '{"quantity": {{jsonPath request.body \'$.quantity\'}}, "sku": "{{request.path.[1]}}"}'


def token_of(demo: config.DemoClient, scope: str) -> str:
    if demo.token_format == "opaque":
        return mock_tokens.opaque(demo.client_id, scope)
    if demo.access_token_seconds:
        return mock_tokens.living(demo.client_id, scope, demo.access_token_seconds)
    return mock_tokens.token(demo.client_id, scope)


def default_of(demo: config.DemoClient) -> str:
    return demo.default_scope or demo.scope


def tokens() -> Iterator[Stub]:
    """A token for each client, and each scope that it may request."""
    for demo in CLIENTS.values():
        for words in mock_tokens.subsets(demo.scope):
            scope = scope_of(words)
            if set(words.split()) == set(default_of(demo).split()):
                scope = {"or": [ABSENT, equal(""), scope]}
            response = with_token(token_of(demo, words), words, demo.access_token_seconds or 3600)
            form = {
                GRANT: equal(CC),
                "scope": scope,
                "resource": {"or": [ABSENT, sent_as(mock_tokens.audience_of(words))]},
            }
            for how, request in by_client((demo.client_id, demo.secret), **form):
                yield stub(f"{demo.client_id}, with {how}: {words}", GRANTED, request, response)


def narrowed() -> Iterator[Stub]:
    """A token for each client and each API that `resource` names, without a scope."""
    for demo in CLIENTS.values():
        for resource in mock_tokens.RESOURCES:
            there = [word for word in demo.scope.split() if word in resource.scopes]
            words = " ".join([word for word in there if word in default_of(demo).split()] or there)
            if words and set(words.split()) != set(default_of(demo).split()):
                form = {GRANT: equal(CC), "scope": ABSENT, "resource": sent_as(resource.audience or mock_tokens.ISSUER)}
                response = with_token(token_of(demo, words), words, demo.access_token_seconds or 3600)
                for how, request in by_client((demo.client_id, demo.secret), **form):
                    yield stub(f"{demo.client_id}, with {how}, by resource: {words}", GRANTED, request, response)


def refusals() -> Iterator[Stub]:
    """What anyone else gets at the token endpoint."""
    for how, request in by_client(*KNOWN, **{GRANT: ABSENT}):
        yield stub(f"no grant_type, with {how}", CLOSE, request, real("no grant_type"))
    for how, request in by_client(*KNOWN, **{GRANT: {"not": equal(CC)}}):
        yield stub(f"another grant, with {how}", CLOSE + 1, request, real("another grant"))
    for how, request in by_client(*KNOWN, **{GRANT: equal(CC)}):
        yield stub(f"any other scope, with {how}", CLOSE + 1, request, real("an unknown scope"))
    for how, request in by_client(*KNOWN, **{GRANT: equal(CC), "resource": {"matches": ".+"}}):
        yield stub(f"any other resource, with {how}", CLOSE, request, real("an unknown resource"))
    long = {"method": "POST", "urlPath": TOKEN, "bodyPatterns": [{"matches": r"[\s\S]{16385,}"}]}
    yield stub("any body that is too long", CASE - 1, long, real("a body that is too long"))
    anyone = {"method": "POST", "urlPath": TOKEN}
    yield stub("anyone else", LAST, anyone, real("an unknown client"))


def introspection() -> Iterator[Stub]:
    """What is inactive, what is revoked, and what anyone else gets at these two endpoints."""
    present = {"token": {"matches": ".+"}}
    for how, request in by_client(*APIS, path=INTROSPECT, **present):
        yield stub(f"any other token, with {how}", CLOSE, request, real("introspect garbage"))
    for how, request in by_client(*KNOWN, path=INTROSPECT, **present):
        name = f"a client that is no API, with {how}"
        yield stub(name, ANY, request, real("introspect as a client that is no API"))
    for how, request in by_client(*KNOWN, path=REVOKE, **present):
        yield stub(f"any token is revoked, with {how}", CLOSE, request, real("revoke garbage"))
    for path in (INTROSPECT, REVOKE):
        yield stub(
            f"anyone else at {path}", LAST, {"method": "POST", "urlPath": path}, real("revoke without credentials")
        )


def api() -> Iterator[Stub]:
    """The guarded routes: opened by each token with the scope, closed to all others."""
    words_of = {token_of(demo, words): words for demo in CLIENTS.values() for words in mock_tokens.subsets(demo.scope)}
    for_this = {token: words for token, words in words_of.items() if "shipments" not in words and "{{" not in token}
    for_this[mock_tokens.BAD["no-scope"](mock_tokens.jwt(mock_faults.CLIENT, mock_faults.SCOPE))] = ""
    for method, path, case, scopes in ROUTES:
        name = f"{method} {path}"
        request = {"method": method, "urlPathPattern": path}
        openers = [token for token, words in for_this.items() if set(words.split()) & set(scopes.split())]
        response = instead(real(case), body=STOCK) if method == "PUT" else real(case)
        yield stub(f"{name}, with the scope", GRANTED, request | with_bearer(bearer(*openers)), response)
        refused = json.dumps(real("a token without the scope")).replace("read:logs", scopes.partition(" ")[0])
        yield stub(f"{name}, without the scope", CLOSE, request | with_bearer(bearer(*for_this)), json.loads(refused))
    anyone = {"method": "ANY", "urlPathPattern": ROUTE}
    yield stub("any other token", ANY, anyone | with_bearer({"matches": r"(?i:bearer) +\S+"}), real("garbage"))
    yield stub("no token", LAST, anyone, real("no token"))
    yield stub(
        "any other address", LAST + 1, {"method": "ANY", "urlPattern": ".*"}, real("an address that does not exist")
    )


def with_bearer(pattern: dict[str, Any]) -> dict[str, Any]:
    return {"headers": {"Authorization": pattern}}


def variables() -> dict[str, str]:
    """The variables of the cases, with the tokens of the mocks."""
    found = collection.variables(mock_tokens.ISSUER)
    for name, case in collection.SAVERS.items():
        form = dict(case.form or [])
        demo = CLIENTS[found[f"{case.basic}_id"] if case.basic else fill(form["client_id"], found)]
        found[name] = token_of(demo, form.get("scope") or default_of(demo))
    return found


def fill(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: known[found[1]], text)


def of_cases() -> Iterator[tuple[str, Stub]]:
    """The very request of each case that no other stub is for, with the file that it is in."""
    known = variables()
    requests: list[dict[str, Any]] = []
    for case in CASES:
        if is_signed(case):
            continue
        path = case.path.partition("?")[0]
        request = mock_requests.of_case(case, lambda text: fill(text, known), known)
        if case.name in NEED_A_STATE or is_general(case, path) or request in requests:
            continue
        requests.append(request)
        file = FILES.get(path) or ("documents" if path.startswith("/.well-known/") else "api")
        # What is in the URL is refused before the rest is read.
        yield file, stub(case.name, CASE - ("?" in case.path), request, response_to(case))


def is_signed(case: Case) -> bool:
    """Whether the request has an assertion, which is another one each time."""
    return "{{assertion}}" in str(case.form)


def is_general(case: Case, path: str) -> bool:
    """Whether a stub that is for more than this case has the same response."""
    if path == TOKEN:
        return case.name == "a body that is too long" or (case.status == 200 and case.basic != "encoded")
    return bool(case.bearer and "?" not in case.path and not case.form and case.method != "HEAD")


def response_to(case: Case) -> dict[str, Any]:
    if case.basic == "encoded":
        demo = CLIENTS["demo-admin"]
        return with_token(token_of(demo, demo.scope), demo.scope)
    response = real(case.name)
    if case.name == "the keys":
        keys = mock_tokens.jwks()
        tag = {"ETag": f'"{keys["keys"][0]["kid"]}"'}
        return instead(response, jsonBody=keys) | {"headers": response["headers"] | tag}
    return response


def documents() -> dict[Path, str]:
    """The files with the stubs."""
    files: dict[str, list[Stub]] = {
        "tokens": [*tokens(), *narrowed()],
        "token-endpoint": [],
        "introspection": [],
        "api": [],
    }
    for file, each in of_cases():
        files.setdefault(file, []).append(each)
    for file, found in (("token-endpoint", refusals()), ("introspection", introspection()), ("api", api())):
        files[file] += found
    files |= {"faults": list(mock_faults.of_clients()), "issuers-at-fault": list(mock_faults.of_issuers())}
    return {FOLDER / f"{name}.json": text(stubs) for name, stubs in files.items()}


def text(stubs: list[Stub]) -> str:
    """A file of stubs: of each a line with its name, one with its request, and one with its response."""
    return '{"mappings": [\n' + ",\n".join(lines(each) for each in stubs) + "\n]}\n"


def lines(each: Stub) -> str:
    response = {"response": each["response"]}
    request = {"request": each["request"]}
    rest = {name: value for name, value in each.items() if name not in ("request", "response")}
    return ",\n ".join(json.dumps(part, ensure_ascii=False)[1:-1] for part in (rest, request, response)).join("{}")
