"""The stubs of the faults: one or more for each row of the table of faults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from flask import Flask

import config
from app.faults.bad_issuers import JWKS, METADATA
from app.faults.fault_id import CLIENT
from app.faults.fault_layer import HEADER
from app.faults.table import FAULTS, Fault, Kind
from conformance.cases import CC, GRANT, TOKEN
from tests.support import mock_tokens
from tests.support.examples import sample_app
from tests.support.mock_requests import Pattern, by_client, equal
from tests.support.mock_responses import as_stub, instead, with_token

FIRST, SECOND = 1, 2  # priorities
DEMO = next(demo for demo in config.DEMO_CLIENTS if demo.client_id == CLIENT)
SCOPE = DEMO.default_scope or DEMO.scope
SLOW = (1, 2, 5, 10, 30)  # of any number of seconds, these are in the stubs
AGAIN = "once was enough"
Stub = dict[str, Any]


def stub(name: str, priority: int, request: Pattern, response: Pattern, **more: Any) -> Stub:
    return {"name": name, "priority": priority, **more, "request": request, "response": response}


def good() -> Pattern:
    return with_token(mock_tokens.token(CLIENT, SCOPE), SCOPE)


def half() -> str:
    text = json.dumps(good()["jsonBody"])
    return text[: len(text) // 2]


def at_fault(fault: Fault, app: Flask) -> Pattern:
    """The response to a client at fault."""
    if make := mock_tokens.BAD.get(fault.name):
        found = with_token(make(mock_tokens.jwt(CLIENT, SCOPE)), SCOPE)
    elif fault.name == "drop":
        return {"fault": "EMPTY_RESPONSE"}
    elif fault.name == "cut":
        return {"fault": "MALFORMED_RESPONSE_CHUNK"}
    elif fault.name == "truncated":
        found = instead(good(), body=half())
    elif fault.name.startswith("slow"):
        found = good()
    else:
        form = {GRANT: CC, "scope": SCOPE}
        sent = app.test_client().post(TOKEN, data=form, auth=(fault.used_as, DEMO.secret))
        found = signed_again(as_stub(sent))
    return found | {"headers": found["headers"] | {HEADER: fault.name}}


def signed_again(found: Pattern) -> Pattern:
    """A response whose token, if it has one, is one of the mocks with the same scope."""
    text = json.dumps(found)
    words = re.search(r"scope\W+([a-z]+:[a-z: ]+)", text)
    token = mock_tokens.token(CLIENT, words[1] if words else SCOPE)
    return dict(json.loads(re.sub(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", token, text)))


def delayed(fault: Fault) -> list[tuple[str, dict[str, int]]]:
    """The names of a fault, and how long each waits."""
    if "slow" not in fault.name:
        return [(fault.used_as, {})]
    start = fault.used_as.removesuffix("5s")
    return [(f"{start}{seconds}s", {"fixedDelayMilliseconds": seconds * 1000}) for seconds in SLOW]


def of_clients() -> Iterator[Stub]:
    """A token response at fault, always or once, and the good one after it."""
    ids = []
    with sample_app() as app:
        for fault in FAULTS.values():
            if fault.kind is Kind.ISSUER:
                continue
            response = at_fault(fault, app)
            for client_id, delay in delayed(fault):
                if delay:
                    response["headers"] = response["headers"] | {HEADER: client_id.removeprefix("fault-")}
                once = {
                    "scenarioName": f"{client_id}-once",
                    "requiredScenarioState": "Started",
                    "newScenarioState": AGAIN,
                }
                yield from both(client_id, response | delay)
                yield from both(f"{client_id}-once", response | delay, **once)
                ids.append(f"{client_id}-once")
    for how, request in by_client(*[(each, DEMO.secret) for each in ids], **{GRANT: equal(CC)}):
        yield stub(f"after once, with {how}", SECOND, request, good())


def both(client_id: str, response: Pattern, **more: Any) -> Iterator[Stub]:
    for how, request in by_client((client_id, DEMO.secret), **{GRANT: equal(CC)}):
        yield stub(f"{client_id}, with {how}", FIRST, request, response, **more)


def of_issuers() -> Iterator[Stub]:
    """The metadata, the keys and the tokens of each issuer at fault."""
    with sample_app() as app:
        metadata = as_stub(app.test_client().get(f"{METADATA}/faults/jwks-empty"))
        for fault in (each for each in FAULTS.values() if each.kind is Kind.ISSUER):
            for path, delay in delayed(fault):
                keys = instead(metadata, jsonBody=mock_tokens.jwks())
                named = json.loads(json.dumps(metadata).replace("/faults/jwks-empty", path))
                documents = {"metadata": named, "jwks": keys}
                about = fault.name.partition("-")[0]
                documents[about] = document_at_fault(fault, app, documents[about]) | delay
                yield from issuer(path, documents["metadata"], documents["jwks"])


def document_at_fault(fault: Fault, app: Flask, right: Pattern) -> Pattern:
    if "slow" in fault.name:
        return right
    if fault.name == "jwks-rotated":
        return instead(right, jsonBody=mock_tokens.jwks("never published"))
    document = JWKS if fault.name.startswith("jwks") else METADATA
    return as_stub(app.test_client().get(fault.used_as + document))


def issuer(path: str, metadata: Pattern, keys: Pattern) -> Iterator[Stub]:
    places = f"{re.escape(METADATA + path)}|{re.escape(path + METADATA)}"
    yield stub(f"{path}: metadata", FIRST, {"method": "GET", "urlPathPattern": places}, metadata)
    yield stub(f"{path}: keys", FIRST, {"method": "GET", "urlPath": path + JWKS}, keys)
    token = mock_tokens.token(CLIENT, SCOPE, mock_tokens.ISSUER + path)
    for how, request in by_client((CLIENT, DEMO.secret), path=path + TOKEN, **{GRANT: equal(CC)}):
        yield stub(f"{path}: token, with {how}", FIRST, request, with_token(token, SCOPE))
