"""Makes the Postman collection and its environment from the table of cases.

Each request has its own auth, and each folder's first request fetches the tokens that the folder uses. Both survive
the import into Bruno, and newman runs them; Postman's own tab for OAuth 2.0, which newman cannot use, is shown once.
"""

from __future__ import annotations

import base64
import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import config
from app.operations.demo_clients import private_key
from conformance.cases import CASES, FOLDERS, Case
from tests.support import fault_folder, scripts

FOLDER = Path(__file__).parent.parent.parent / "postman"
COLLECTION = FOLDER / "OAuth2_Client_Credentials_Flow.postman_collection.json"
ENVIRONMENT = FOLDER / "Keyturn.postman_environment.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
BASE_URL = "http://127.0.0.1:8000"
ABOUT = """\
The client-credentials grant (RFC 6749, section 4.4): how a program without a user gets a token and uses it.

1. Start the server with `make run`. This file has its address and its demo clients as variables.
2. Open *Start here* and send its five requests: they are the flow.
3. The other folders have what else a client or an API may send, and every refusal. Each runs alone: \
its first request fetches the tokens that the others use.

Every refusal says what is wrong in `error_description`, and in `hint` if the server runs in development. \
`flask explain` with the `X-Request-Id` of a response says what the server recorded. \
The numbers below a description, such as R012, are those of `docs/conformance.md`.

For a server of your own, run `.venv/bin/python -m postman.own_clients` where its `flask` commands run: \
it registers the clients and writes an environment, which overrides the variables.

The demo clients: `demo-partner` (a shop: inventory:read inventory:write shipments:read), `demo-reporting` \
(reports:read), `demo-admin` (read:logs write:logs read:all_data), `demo-brief` (its tokens are valid for two \
seconds), `demo-opaque` (opaque tokens), `demo-shipments` (an API that introspects tokens), `demo-signer` \
(it has a private key in place of a secret), `fault` (it provokes faults: see the last folder).
"""
HIDDEN = ("_secret", "_key")
SAVERS = {case.saves: case for case in CASES if case.saves}


def own_variables(base_url: str) -> dict[str, str]:
    """The variables that differ from server to server: an environment has the same."""
    found = {"base_url": base_url}
    for demo in config.DEMO_CLIENTS:
        name = demo.client_id.removeprefix("demo-")
        proof = {f"{name}_key": json.dumps(private_key(demo))} if demo.key_file else {f"{name}_secret": demo.secret}
        found |= {f"{name}_id": demo.client_id} | proof
    (audience,) = {demo.resource_server for demo in config.DEMO_CLIENTS if demo.resource_server}
    return found | {"shipments_audience": audience}


def variables(base_url: str) -> dict[str, str]:
    """The variables that the cases read, except the tokens that they save: own ones, and those that a script sets."""
    found = own_variables(base_url)
    secret = found["admin_secret"]
    found |= {"wrong_id": found["admin_id"], "wrong_secret": "kts_wrong", "padding": "x" * 17_000}
    found |= {"encoded_id": found["admin_id"].replace("-", "%2D"), "encoded_secret": secret.replace("k", "%6B")}
    found["admin_basic"] = base64.b64encode(f"{found['admin_id']}:{secret}".encode()).decode()
    return found


def collection(examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The collection, with the saved response to each case (`examples.py`)."""
    grouped = groupby(CASES, key=lambda case: case.folder)
    folders = [folder(name, list(cases), examples) for name, cases in grouped]
    return around([*folders, fault_folder.folder(examples)])


def around(items: list[dict[str, Any]]) -> dict[str, Any]:
    """What a collection has besides its requests: the description, the variables, and the tests of every response."""
    listed = own_variables(BASE_URL) | {"origin": BASE_URL, "path": ""} | dict.fromkeys([*SAVERS, "assertion"], "")
    listed |= fault_folder.OWN_VARIABLES
    return {
        "info": {"name": "OAuth2 Client Credentials Flow", "description": ABOUT, "schema": SCHEMA},
        "item": items,
        "event": [scripts.event("test", scripts.read("every_response"))],
        "variable": [{"key": key, "value": value} for key, value in listed.items()],
    }


def folder(name: str, cases: list[Case], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    first = scripts.fetched(needed(cases), SAVERS)
    items = [item(case, examples[case.title], first if case is cases[0] else []) for case in cases]
    return {"name": name, "description": FOLDERS[name], "item": items}


def needed(cases: list[Case]) -> list[str]:
    """The tokens that the cases of a folder use, without those that they save themselves or fetch just before."""
    used: list[str] = []
    saved: set[str] = {"brief_token"}
    for case in cases:
        texts = [case.path, *case.headers.values(), *(value for _, value in case.form or [])]
        names = [case.bearer, *re.findall(r"\{\{(\w+)\}\}", " ".join(texts)), *scripts.USES.get(case.shows, ())]
        used += [name for name in names if name in SAVERS and name not in saved and name not in used]
        saved.add(case.saves)
    return used


def environment() -> dict[str, Any]:
    """The environment of `make run`; in an environment Postman shows a secret as dots."""
    listed = [
        {"key": key, "value": value, "type": "secret" if key.endswith(HIDDEN) else "default", "enabled": True}
        for key, value in own_variables(BASE_URL).items()
    ]
    return {"name": "Keyturn", "values": listed, "_postman_variable_scope": "environment"}


def item(case: Case, example: dict[str, Any], first: list[str]) -> dict[str, Any]:
    before = first + scripts.before(case)
    events = [scripts.event("prerequest", before)] if before else []
    saved = {"name": example["name"], "originalRequest": {"method": case.method, "url": url(case.path)}, **example}
    return {
        "name": case.name,
        "event": [*events, scripts.event("test", scripts.after(case))],
        "request": request(case),
        "response": [saved],
    }


def request(case: Case) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": f"{case.teaches}\n\nClauses: {case.clauses}",
        "method": case.method,
        "auth": auth(case),
        "header": [{"key": key, "value": value} for key, value in case.headers.items()],
        "url": url(case.path),
    }
    if case.form is not None:
        made["body"] = {"mode": "urlencoded", "urlencoded": [{"key": key, "value": value} for key, value in case.form]}
    if case.json is not None:
        made["body"] = {"mode": "raw", "raw": json.dumps(case.json), "options": {"raw": {"language": "json"}}}
        made["header"].append({"key": "Content-Type", "value": "application/json"})
    return made


def url(path: str) -> str:
    """With a path in the issuer, the well-known part goes before the path (RFC 8414, section 3.1)."""
    if path.startswith("/.well-known/oauth-"):
        return "{{origin}}" + path + "{{path}}"
    return "{{base_url}}" + path


def auth(case: Case) -> dict[str, Any]:
    if case.own_oauth2:
        return {"type": "oauth2", "oauth2": listed(own_oauth2(case.bearer.removesuffix("_token"), case.bearer))}
    if case.basic == "wrong":
        return {"type": "basic", "basic": listed({"username": "{{admin_id}}", "password": "kts_wrong"})}
    if case.basic:
        pair = {"username": f"{{{{{case.basic}_id}}}}", "password": f"{{{{{case.basic}_secret}}}}"}
        return {"type": "basic", "basic": listed(pair)}
    if case.bearer:
        return {"type": "bearer", "bearer": listed({"token": f"{{{{{case.bearer}}}}}"})}
    return {"type": "noauth"}


def own_oauth2(client: str, token: str) -> dict[str, str]:
    """What Postman's tab for OAuth 2.0 shows: everything that it needs to request a token, and one to begin with."""
    return {
        "tokenName": "Keyturn",
        "grant_type": "client_credentials",
        "accessTokenUrl": "{{base_url}}/oauth/token",
        "clientId": f"{{{{{client}_id}}}}",
        "clientSecret": f"{{{{{client}_secret}}}}",
        "client_authentication": "header",
        "addTokenTo": "header",
        "headerPrefix": "Bearer",
        "accessToken": f"{{{{{token}}}}}",
    }


def listed(pair: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value, "type": "string"} for key, value in pair.items()]


def text(document: dict[str, Any]) -> str:
    return formatted(document) + "\n"


def formatted(value: Any, indent: str = "") -> str:
    """JSON in which whatever fits in a line is in one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= 110 or not isinstance(value, dict | list):
        return flat
    deeper = indent + " "
    if isinstance(value, list):
        rows = [formatted(each, deeper) for each in value]
        return "[\n" + ",\n".join(deeper + row for row in rows) + f"\n{indent}]"
    rows = [f"{json.dumps(key)}: {formatted(each, deeper)}" for key, each in value.items()]
    return "{\n" + ",\n".join(deeper + row for row in rows) + f"\n{indent}}}"
