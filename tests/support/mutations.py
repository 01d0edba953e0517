"""Recorded responses with one thing changed: the collection must notice each of these mutations.

The lists below name every header, member and claim of the profile (`conformance/clauses.py`), and what a fault of it
looks like. What a response may lack, or say in other words, is no mutation.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from conformance.cases import CASES, Case

# Each header that a clause names, and a value that no response to a case may have.
HEADERS = {
    "Content-Type": "text/html",
    "Cache-Control": "public, max-age=60",
    "Pragma": "cache",
    "WWW-Authenticate": "Digest",
    "Allow": "PATCH",
    "ETag": "no-quotes",
    "X-Request-Id": "",
}
CHALLENGE = ("realm", "error", "scope", "resource_metadata")  # parameters of WWW-Authenticate
# Each member that a clause names, or that the sample API is for, and a wrong value; None if any value may be right.
MEMBERS: dict[str, Any] = {
    "access_token": "a token",
    "token_type": "mac",
    "expires_in": 60,
    "scope": "another:scope",
    "error": "invalid_grant",
    "error_description": 'with a "quote"',
    "error_uri": "https://elsewhere.example/errors/invalid_client",
    "active": "no",
    "client_id": "somebody",
    "sub": "somebody",
    "aud": "https://elsewhere.example",
    "iss": "https://elsewhere.example",
    "exp": 1,
    "iat": 4_000_000_000,
    "jti": "1",
    "issuer": "https://elsewhere.example",
    "token_endpoint": "https://elsewhere.example/oauth/token",
    "introspection_endpoint": "https://elsewhere.example/oauth/introspect",
    "revocation_endpoint": "https://elsewhere.example/oauth/revoke",
    "jwks_uri": "https://elsewhere.example/jwks",
    "service_documentation": "https://elsewhere.example/",
    "response_types_supported": ["code"],
    "grant_types_supported": ["authorization_code"],
    "scopes_supported": [],
    "token_endpoint_auth_methods_supported": ["none"],
    "introspection_endpoint_auth_methods_supported": ["none"],
    "revocation_endpoint_auth_methods_supported": ["none"],
    "resource": "https://elsewhere.example",
    "authorization_servers": ["https://elsewhere.example"],
    "bearer_methods_supported": ["query"],
    "keys": [],
    "events": None,
    "hours": None,
    "items": None,
    "event": "token_issued",
    "reason": "something else",
    "sku": "pallet-8",
    "quantity": 13,
}
CLAIMS: dict[str, Any] = {
    "iss": "https://elsewhere.example",
    "aud": "https://elsewhere.example",
    "sub": "somebody",
    "client_id": "somebody",
    "scope": "another:scope",
    "iat": 1,
    "exp": 1,
    "jti": "1",
}
JWT_HEADER = {"typ": "JWT", "alg": "none", "kid": "1"}
KEY = {"kty": "oct", "n": "AQAB", "e": "AQ", "kid": "1", "use": "enc", "alg": "HS256"}
PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
BODIES = {"empty": "", "HTML": "<html></html>", "cut": '{"'}
# What must not be in a response: for each kind of response, by a member that only it has.
ADDED = {
    "access_token": {"refresh_token": "x"},
    "error": {"access_token": "x"},
    "grant_types_supported": {"authorization_endpoint": "https://elsewhere.example/authorize"},
}
INACTIVE = ("scope", "client_id", "token_type", "exp", "iat", "sub", "aud", "iss", "jti")


@dataclass(frozen=True)
class Recorded:
    """A response: its headers and, unless it has none, its JSON."""

    status: int
    headers: dict[str, str]
    body: str

    def members(self) -> dict[str, Any]:
        return dict(json.loads(self.body)) if self.body else {}

    def with_members(self, members: dict[str, Any]) -> Recorded:
        return replace(self, body=json.dumps(members))


@dataclass(frozen=True)
class Mutation:
    """One change of the response to a case; `variables` replaces variables of the collection instead."""

    kind: str
    what: str
    case: Case
    response: Recorded
    variables: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.what}, in: {self.case.name}"


def all_of(recorded: dict[str, Recorded], tokens: dict[str, str]) -> list[Mutation]:
    """Every mutation of the responses to the cases, by the names of the cases."""
    return [
        Mutation(kind, what, case, changed)
        for case in CASES
        for kind, make in KINDS.items()
        for what, changed in make(case, recorded[case.name])
    ] + list(of_signatures(recorded, tokens))


Changes = Iterator[tuple[str, Recorded]]


def of_status(_: Case, response: Recorded) -> Changes:
    yield "altered", replace(response, status=500 if response.status < 400 else 200)


def of_headers(case: Case, response: Recorded) -> Changes:
    # The caches of public documents are their own matter, apart from the keys' (R076).
    optional = {"Cache-Control", "ETag"} if case.path.startswith("/.well-known/oauth-") else set()
    for name, wrong in HEADERS.items():
        if name in response.headers and name not in optional:
            rest = {key: value for key, value in response.headers.items() if key != name}
            yield f"{name} dropped", replace(response, headers=rest)
            yield f"{name} altered", replace(response, headers=rest | {name: wrong})
    challenge = response.headers.get("WWW-Authenticate", "")
    for name in CHALLENGE:
        if re.search(rf"\b{name}=", challenge):
            less = re.sub(rf'\b{name}="[^"]*"(, )?', "", challenge)
            yield (
                f"{name} dropped from the challenge",
                replace(response, headers=response.headers | {"WWW-Authenticate": less}),
            )


def of_members(_: Case, response: Recorded) -> Changes:
    members = response.members()
    for name, wrong in MEMBERS.items():
        if name not in members:
            continue
        yield f"{name} dropped", response.with_members({key: members[key] for key in members if key != name})
        yield f"{name} of another type", response.with_members(members | {name: another_type(members[name])})
        if wrong is not None:
            wrong = not members[name] if name == "active" else wrong
            yield f"{name} altered", response.with_members(members | {name: wrong})


def another_type(value: object) -> object:
    return 7 if isinstance(value, str) else "true" if value is True else str(value)


def of_added_members(_: Case, response: Recorded) -> Changes:
    members = response.members()
    for name, added in ADDED.items():
        if name in members:
            yield f"{next(iter(added))} added", response.with_members(members | added)
    if members.get("active") is False:
        for name in INACTIVE:
            yield f"{name} added to an inactive token", response.with_members(members | {name: 1})


def of_bodies(case: Case, response: Recorded) -> Changes:
    if case.method != "HEAD":
        for name, body in BODIES.items():
            yield f"is {name}", replace(response, body=body)


def of_jwts(_: Case, response: Recorded) -> Changes:
    members = response.members()
    parts = str(members.get("access_token", "")).split(".")
    if len(parts) != 3:
        return
    for place, wrong_values in ((0, JWT_HEADER), (1, CLAIMS)):
        said = json.loads(base64.urlsafe_b64decode(parts[place] + "=="))
        for name, wrong in wrong_values.items():
            for how, changed in (
                ("dropped", {key: said[key] for key in said if key != name}),
                ("of another type", said | {name: another_type(said[name])}),
                ("altered", said | {name: wrong}),
            ):
                new = [*parts[:place], encoded(changed), *parts[place + 1 :]]
                yield f"{name} {how}", response.with_members(members | {"access_token": ".".join(new)})
    yield "signature dropped", response.with_members(members | {"access_token": f"{parts[0]}.{parts[1]}."})


def encoded(said: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def of_keys(_: Case, response: Recorded) -> Changes:
    members = response.members()
    if "keys" not in members:
        return
    key, *others = members["keys"]

    def publish(*keys: dict[str, Any]) -> Recorded:
        return response.with_members({"keys": [*keys, *others]})

    for name in PRIVATE:
        yield f"{name} published", publish(key | {name: "AQAB"})
    for name, wrong in KEY.items():
        yield f"{name} dropped", publish({each: key[each] for each in key if each != name})
        yield f"{name} altered", publish(key | {name: wrong})
    yield "twice", publish(key, key)


def of_lists(case: Case, response: Recorded) -> Changes:
    """Other clients' events among those of one client, and elements without what each element has."""
    members = response.members()
    for name, expected in case.every.items():
        if name == "keys":
            continue
        first, *rest = members[name]
        yield f"{name} empty", response.with_members(members | {name: []})
        for key, wanted in expected.items():
            less = {each: first[each] for each in first if each != key}
            yield f"{key} dropped from one of {name}", response.with_members(members | {name: [less, *rest]})
            if isinstance(wanted, str):
                other = first | {key: "of another client"}
                yield f"{key} of another among {name}", response.with_members(members | {name: [*rest, first, other]})


def of_signatures(recorded: dict[str, Recorded], tokens: dict[str, str]) -> Iterator[Mutation]:
    """A token whose signature, or whose signed part, is not what the key signed."""
    case = next(each for each in CASES if each.shows == "verified_signature")
    signed, _, signature = tokens["admin_token"].rpartition(".")
    header, claims = signed.split(".")
    wrong = {
        "destroyed": f"{signed}.{'A' * len(signature)}",
        "reversed": f"{signed}.{signature[::-1]}",
        "of other claims": f"{header}.{claims[:-1]}{'A' if claims[-1] != 'A' else 'B'}.{signature}",
    }
    for how, token in wrong.items():
        yield Mutation("signature", how, case, recorded[case.name], {"admin_token": token})


KINDS: dict[str, Callable[[Case, Recorded], Changes]] = {
    "status": of_status,
    "header": of_headers,
    "member": of_members,
    "surplus member": of_added_members,
    "body": of_bodies,
    "JWT": of_jwts,
    "key": of_keys,
    "list": of_lists,
}
