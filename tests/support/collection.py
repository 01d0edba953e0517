"""Makes the Postman collection and its environment from the table of cases.

Each request has its own auth, and a request fetches the token, not Postman's own feature: that survives
import into Insomnia and Bruno, and newman can run it.
"""

from __future__ import annotations

import base64
import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import config
from conformance.cases import CASES, Case

FOLDER = Path(__file__).parent.parent.parent / "postman"
COLLECTION = FOLDER / "OAuth2_Client_Credentials_Flow.postman_collection.json"
ENVIRONMENT = FOLDER / "Keyturn.postman_environment.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
ABOUT = (
    "The client-credentials grant (RFC 6749, section 4.4), step by step and refusal by refusal. "
    "Start the server with `make run`, choose the environment Keyturn, and press Run. "
    "Every request is named with the clauses that it shows."
)


def variables(base_url: str) -> dict[str, str]:
    """The variables that the cases read, except the tokens that they save."""
    found = {"base_url": base_url}
    for demo in config.DEMO_CLIENTS:
        name = demo.client_id.removeprefix("demo-")
        found |= {f"{name}_id": demo.client_id, f"{name}_secret": demo.secret}
    secret = found["admin_secret"]
    found |= {"wrong_id": found["admin_id"], "wrong_secret": "kts_wrong"}
    found |= {"encoded_id": found["admin_id"].replace("-", "%2D"), "encoded_secret": secret.replace("k", "%6B")}
    found["admin_basic"] = base64.b64encode(f"{found['admin_id']}:{secret}".encode()).decode()
    return found


def collection(examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The collection, with the saved response to each case (`examples.py`)."""
    folders = [
        {"name": folder, "item": [item(case, examples[case.title]) for case in cases]}
        for folder, cases in groupby(CASES, key=lambda case: case.folder)
    ]
    return {
        "info": {"name": "OAuth2 Client Credentials Flow", "description": ABOUT, "schema": SCHEMA},
        "item": folders,
        "variable": [{"key": case.saves, "value": ""} for case in CASES if case.saves],
    }


def environment() -> dict[str, Any]:
    values = variables("http://127.0.0.1:8000")
    listed = [{"key": key, "value": value, "type": "default", "enabled": True} for key, value in values.items()]
    return {"name": "Keyturn", "values": listed, "_postman_variable_scope": "environment"}


def item(case: Case, example: dict[str, Any]) -> dict[str, Any]:
    events = [script("test", tests(case))]
    if case.waits:
        events.append(script("prerequest", [f"setTimeout(function () {{}}, {case.waits * 1000});"]))
    saved = {"name": example["name"], "originalRequest": request(case), **example}
    return {"name": case.title, "event": events, "request": request(case), "response": [saved]}


def request(case: Case) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": case.teaches,
        "method": case.method,
        "auth": auth(case),
        "header": [{"key": key, "value": value} for key, value in case.headers.items()],
        "url": url(case.path),
    }
    if case.form is not None:
        pairs = [{"key": key, "value": value, "type": "text"} for key, value in case.form]
        made["body"] = {"mode": "urlencoded", "urlencoded": pairs}
    if case.json is not None:
        made["body"] = {"mode": "raw", "raw": json.dumps(case.json), "options": {"raw": {"language": "json"}}}
        made["header"].append({"key": "Content-Type", "value": "application/json"})
    return made


def url(path: str) -> dict[str, Any]:
    place, _, query = path.partition("?")
    made: dict[str, Any] = {
        "raw": "{{base_url}}" + path,
        "host": ["{{base_url}}"],
        "path": place.removeprefix("/").split("/"),
    }
    if query:
        made["query"] = [dict(zip(("key", "value"), pair.split("=", 1), strict=True)) for pair in query.split("&")]
    return made


def auth(case: Case) -> dict[str, Any]:
    if case.basic:
        pair = {"username": f"{{{{{case.basic}_id}}}}", "password": f"{{{{{case.basic}_secret}}}}"}
        return {"type": "basic", "basic": listed(pair)}
    if case.bearer:
        return {"type": "bearer", "bearer": listed({"token": f"{{{{{case.bearer}}}}}"})}
    return {"type": "noauth"}


def listed(pair: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value, "type": "string"} for key, value in pair.items()]


def script(when: str, lines: list[str]) -> dict[str, Any]:
    return {"listen": when, "script": {"type": "text/javascript", "exec": lines}}


def tests(case: Case) -> list[str]:
    """Assertions in JavaScript: status, headers, members of the body."""
    lines = [f"pm.test('status {case.status}', function () {{ pm.response.to.have.status({case.status}); }});"]
    for name, wanted in case.headers_are.items():
        lines.append(assertion(f"header {name}", f"pm.response.headers.get({js(name)})", wanted))
    if case.body or case.absent:
        lines.append("const body = pm.response.json();")
    for name, wanted in case.body.items():
        lines.append(assertion(name, f"body[{js(name)}]", wanted))
    for name in case.absent:
        lines.append(
            f"pm.test({js('no ' + name)}, function () {{ pm.expect(body).to.not.have.property({js(name)}); }});"
        )
    if case.saves:
        lines.append(f"pm.collectionVariables.set({js(case.saves)}, body.access_token);")
    return lines


def assertion(name: str, value: str, wanted: object) -> str:
    if isinstance(wanted, re.Pattern):
        check = f"to.be.a('string').and.match(new RegExp({js(wanted.pattern)}))"
    elif isinstance(wanted, type):
        check = {list: "to.be.an('array')", int: "to.be.a('number')"}[wanted]
    elif "{{" in js(wanted):
        check = f"to.eql(JSON.parse(pm.variables.replaceIn({js(js(wanted))})))"
    else:
        check = f"to.eql({js(wanted)})"
    return f"pm.test({js(name)}, function () {{ pm.expect({value}).{check}; }});"


def js(value: object) -> str:
    return json.dumps(value)


def text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
