"""The folder of the Postman collection that has one request for each fault (`app/faults/table.py`).

A fault of a token response is the response to its request. A fault of a token is in the token that a script gets
and the request sends to the API. A fault of an issuer is in one of the documents below `/faults/NAME`. What each
request checks is in `fault_checks.py`.
"""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

import config
from app.faults.fault_id import CLIENT
from app.faults.table import FAULTS, Fault, Kind
from conformance.cases import CC, GRANT, TOKEN
from tests.support import fault_checks, scripts

FOLDER = "8. Simulate token errors"
ABOUT = (
    "What a client or an API meets on a bad day, one request for each fault, and what a good one does then. Give your "
    "own client the id and the secret of such a request, and see whether it copes. Only a server in development has "
    "faults: with an environment for a server of your own, the folder skips its requests. Two of them have no whole "
    "response, and need the variable `connection_faults`."
)
# The request of such a fault is skipped while the variable is empty: newman counts a broken connection as a failure.
CONNECTION = ("drop", "cut")
OWN_VARIABLES = {"connection_faults": ""}
ROLES = {Kind.RESPONSE: "A good client", Kind.TOKEN: "A good API", Kind.ISSUER: "A good client or API"}
ROUTE = "/internal/reports"
LESS_SCOPE = "inventory:read reports:read"
SECRET = next(demo.secret for demo in config.DEMO_CLIENTS if demo.client_id == CLIENT)


def seconds_1(name: str) -> str:
    """A fault that is slow, for one second."""
    return name.replace("-5s", "-1s")


def name_of(fault: Fault) -> str:
    return seconds_1(fault.used_as.removeprefix("/faults/") if fault.kind is Kind.ISSUER else fault.used_as)


NAMES = [name_of(fault) for fault in FAULTS.values()]
SENT = [name_of(fault) for fault in FAULTS.values() if fault.name not in CONNECTION]


def folder(examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The folder, with the saved response to each request."""
    skipped = scripts.event("prerequest", scripts.read("fault_skipped"))
    items = [item(fault, examples[fault.name]) for fault in FAULTS.values()]
    return {"name": FOLDER, "description": ABOUT, "event": [skipped], "item": items}


def item(fault: Fault, example: dict[str, Any]) -> dict[str, Any]:
    lines = before(fault)
    events = [scripts.event("prerequest", lines)] if lines else []
    made = request(fault)
    saved = {"name": example["name"], "originalRequest": {"method": made["method"], "url": made["url"]}, **example}
    behaviour = {"protocolProfileBehavior": {"followRedirects": False}} if fault.name == "redirect" else {}
    return {
        "name": name_of(fault),
        **behaviour,
        "event": [*events, scripts.event("test", fault_checks.after(fault, seconds_1(fault.name)))],
        "request": made,
        "response": [saved],
    }


def before(fault: Fault) -> list[str]:
    """The script that gets the faulty token, or meets the fault of the connection."""
    if fault.name in CONNECTION:
        return filled("fault_connection", address=TOKEN, suffix=f"-{fault.name}")
    if fault.kind is Kind.TOKEN:
        return filled("fault_token", address=TOKEN, suffix=f"-{fault.name}")
    if fault.name == "jwks-rotated":
        return filled("fault_token", address=f"{fault.used_as}{TOKEN}", suffix="")
    return []


def filled(name: str, *, address: str, suffix: str) -> list[str]:
    address = "{{base_url}}" + address
    return [line.replace("ADDRESS", address).replace("SUFFIX", suffix) for line in scripts.read(name)]


def request(fault: Fault) -> dict[str, Any]:
    happens = fault.happens.replace("5 seconds", "1 second")
    made: dict[str, Any] = {
        "description": f"What happens: {happens}.\n\n{ROLES[fault.kind]}: {fault.good.strip()}",
        "method": "POST" if fault.kind is Kind.RESPONSE else "GET",
        "auth": auth(fault),
        "header": [],
        "url": "{{base_url}}" + path(fault),
    }
    if fault.kind is Kind.RESPONSE:
        pairs = form(fault).items()
        made["body"] = {"mode": "urlencoded", "urlencoded": [{"key": key, "value": value} for key, value in pairs]}
    return made


def form(fault: Fault) -> dict[str, str]:
    return {GRANT: CC} | ({"scope": LESS_SCOPE} if fault.name == "less-scope" else {})


def path(fault: Fault) -> str:
    if fault.kind is Kind.RESPONSE:
        return TOKEN
    return ROUTE if fault.kind is Kind.TOKEN else f"/faults/{seconds_1(fault.name)}{fault_checks.document(fault)}"


def auth(fault: Fault) -> dict[str, Any]:
    if fault.kind is Kind.ISSUER:
        return {"type": "noauth"}
    if fault.kind is Kind.TOKEN:
        return {"type": "bearer", "bearer": listed({"token": "{{faulty_token}}"})}
    pair = {"username": "{{fault_id}}" + suffix_of(fault), "password": "{{fault_secret}}"}
    return {"type": "basic", "basic": listed(pair)}


def suffix_of(fault: Fault) -> str:
    """What the request itself adds to the client id: after a fault of the connection it is the second attempt."""
    return "" if fault.name in CONNECTION else f"-{seconds_1(fault.name)}"


def send(app: Flask, fault: Fault) -> TestResponse:
    """The response to the request of a fault, as the client of the folder gets it."""
    client = app.test_client()
    headers = {}
    if fault.kind is Kind.TOKEN:
        names = (f"{CLIENT}-{fault.name}", SECRET)
        issued = client.post(TOKEN, data={GRANT: CC}, auth=names)
        headers["Authorization"] = f"Bearer {issued.json['access_token']}"
    if fault.kind is not Kind.RESPONSE:
        return client.get(path(fault), headers=headers)
    return client.post(TOKEN, data=form(fault), auth=(CLIENT + suffix_of(fault), SECRET))


def listed(pair: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value, "type": "string"} for key, value in pair.items()]
