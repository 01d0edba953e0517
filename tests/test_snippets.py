"""The snippets of "take it home": each tool sends the request that is in the bench, whatever characters it has."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support import snippets
from tests.support.echo import FORM, Arrived, Echo, echo

HOSTILE = "a b'c\"d\\e$(id)`id`!f;g|h&i=j%20k+l#m~n{o}[p]*?<q>\té€😀"
CREDENTIALS = ("client", 'kts_it\'s "a" $HOME: secret%41+é')
POST, JSON = "POST", "application/json"


def basic(client_id: str, secret: str) -> str:
    return "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()


def request(method: str = POST, path: str = "/oauth/token", body: str = "", **headers: str) -> dict[str, Any]:
    pairs = [[name.replace("_", "-"), value] for name, value in headers.items()]
    return {"method": method, "path": path, "headers": pairs, "body": body}


def form(*pairs: tuple[str, str], **headers: str) -> dict[str, Any]:
    return request(body=urlencode(pairs), Content_Type=FORM, **headers)


REQUESTS = {
    "token": form(("grant_type", "client_credentials"), ("scope", "a:b c:d"), Authorization=basic("id", "kts_x")),
    "hostile-secret": form(("grant_type", "client_credentials"), Authorization=basic(*CREDENTIALS)),
    "hostile-form": form(("grant_type", "x"), ("scope", HOSTILE), ("odd name&=", "1"), ("empty", ""), ("at", "@file")),
    "newline": form(("client_id", "x"), ("client_secret", "one\ntwo\r\nthree\n")),
    "twice": form(("scope", "a"), ("scope", "b")),
    "not-utf8": request(body="grant_type=x&scope=%E9", Content_Type=FORM),
    "no-equals": request(body="grant_type&=x&&", Content_Type=FORM),
    "json": request("PUT", "/inventory/pallet-7", '{"quantity": 12, "no": null, "yes": [true]}', Content_Type=JSON),
    "json-hostile": request(POST, "/admin/logs", json.dumps({"message": HOSTILE}), Content_Type=JSON),
    "text": request(body=f"@{HOSTILE}\n'"),
    "bearer": request("GET", "/admin/logs?limit=5&event=a%20b", Authorization="Bearer eyJ.a-b_c.d~e+f/g=="),
    "odd-bearer": request("GET", "/admin/logs", Authorization="Bearer \"a b'c"),
    "odd-headers": request("GET", "/x", X_Odd='it\'s \\ "é" $HOME', X_Empty="", Authorisation="Basic x"),
    "delete": request("DELETE", "/inventory"),
    "options": request("OPTIONS"),
    "head": request("HEAD", "/inventory"),
    "post-nothing": request(),
    "odd-path": request("GET", "/a'b;c$d(e)[f]?x={y}&z='w'"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Echo]:
    with echo() as found:
        yield found


def expected(sent: dict[str, Any]) -> tuple[object, ...]:
    """What the page sends."""
    headers = {name.lower(): value for name, value in sent["headers"]}
    return Arrived(sent["method"], sent["path"], headers, sent["body"].encode()).said(*headers)


def read(said: tuple[Any, ...]) -> tuple[Any, ...]:
    """JSON as its value: libraries differ in the spaces."""
    return (*said[:-1], json.loads(said[-1])) if said[2] == JSON else said


@pytest.mark.parametrize("tool", ["curl", "requests", "fetch"])
@pytest.mark.parametrize("name", REQUESTS)
def test_each_tool_sends_the_request_as_it_is(server: Echo, tmp_path: Path, name: str, tool: str) -> None:
    sent = REQUESTS[name]
    text = snippets.generated(sent, server.url)[tool]
    assert text is not None

    done = snippets.run(tool, text, tmp_path)

    assert done.returncode == 0, f"{text}\n{done.stderr}"
    found = server.take().said(*(header for header, _ in sent["headers"]))
    assert read(found) == read(expected(sent)), text
