"""Sends the cases to any server, as one client of it, over HTTP alone.

A clause that needs two clients, another time, the storage or an operator cannot be tried from outside, and
is reported as such; some clauses can be tried in part.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from conformance.cases import CASES, Case
from conformance.clauses import CLAUSES, NOT_SUPPORTED

# Clauses of which one client sees only a part: one of two responses, one of several faults, one of many places.
IN_PART = set(
    "R022 R024 R029 R054 R056 R061 R069 R076 R078 R082 R083 R086 R087 R092 R093 R094 R100 R101 R106".split(" ")
)
# Whatever the client's scope and format.
ANY_TOKEN = {
    "access_token": re.compile(r"^[A-Za-z0-9._~+/-]+=*$"),
    "token_type": "Bearer",
    "expires_in": int,
    "scope": re.compile("^[^ ]"),
}


class UnfitClientError(Exception):
    """The client cannot try the cases; the text says why."""


class Outside:
    """A server and one of its clients."""

    def __init__(self, base_url: str, client_id: str, secret: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.pair = {"id": client_id, "secret": secret}
        self.known = {"base_url": self.base_url, "wrong_secret": "kts_wrong"}
        self.known |= {f"encoded_{name}": "%" + text.encode().hex("%") for name, text in self.pair.items()}
        self.known["admin_basic"] = basic(client_id, secret)

    def fill(self, text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.value(found[1]), text)

    def value(self, name: str) -> str:
        # Whichever demo client a case names, it is this client here.
        return self.known.get(name) or self.pair[name.rpartition("_")[2]]

    def refuse_an_unfit_client(self) -> None:
        """Raises UnfitClientError unless the client gets a token, with Basic and with the form."""
        for case in [case for case in CASES if case.name.startswith("a token, with ")]:
            status, _, body = self.send(case)
            if status != 200:
                how = case.name.rpartition(" with ")[2]
                raise UnfitClientError(
                    f"the client must get tokens, with HTTP Basic and with the form; with {how} "
                    f"the response was {status} {body.get('error')}"
                )

    def faults(self, case: Case) -> list[str]:
        """How the response differs from what the case expects."""
        status, headers, body = self.send(case)
        if status == 429 != case.status:
            return ["429: a limit of the server was passed; try again later, or with a client without limits"]
        wanted = ANY_TOKEN if "access_token" in case.body else case.body
        found = [] if status == case.status else [f"status {status} instead of {case.status}"]
        for name, value in case.headers_are.items():
            if not self.fits(headers.get(name, ""), value):
                found.append(f"header {name}: {headers.get(name)}")
        for name, value in wanted.items():
            if not self.fits(body.get(name), value):
                found.append(f"member {name} is {'wrong' if name in body else 'missing'}")
        return found + [f"member {name} must not be there" for name in case.absent if name in body]

    def fits(self, found: object, wanted: object) -> bool:
        if isinstance(wanted, re.Pattern):
            return isinstance(found, str) and bool(wanted.search(found))
        if isinstance(wanted, type):
            return type(found) is wanted
        return bool(found == json.loads(self.fill(json.dumps(wanted))))

    def send(self, case: Case) -> tuple[int, Any, dict[str, Any]]:
        headers = {name: self.fill(text) for name, text in case.headers.items()}
        data = None
        if case.basic:
            pair = (self.value(f"{case.basic}_{name}") for name in ("id", "secret"))
            headers["Authorization"] = f"Basic {basic(*pair)}"
        if case.form is not None:
            data = "&".join(f"{name}={quote_plus(self.fill(text))}" for name, text in case.form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if case.json is not None:
            data, headers["Content-Type"] = json.dumps(case.json).encode(), "application/json"
        request = urllib.request.Request(self.address(case), data, headers, method=case.method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.headers, members(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, members(error.read())

    def address(self, case: Case) -> str:
        path, parts = quote(self.fill(case.path), safe="/?&=%."), urlsplit(self.base_url)
        if path.startswith("/.well-known/oauth-"):  # before the issuer's path (RFC 8414, section 3.1)
            return f"{parts.scheme}://{parts.netloc}{path}{parts.path}"
        return self.base_url + path


def basic(client_id: str, secret: str) -> str:
    return base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def members(body: bytes) -> dict[str, Any]:
    """The members of a JSON object; empty for anything else."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def states(server: Outside) -> dict[str, str]:
    """The state of every clause, and a line on standard error for each fault."""
    server.refuse_an_unfit_client()
    seen: dict[str, list[bool]] = defaultdict(list)
    for case in CASES:
        if case.outside:
            faults = server.faults(case)
            for fault in faults:
                sys.stderr.write(f"{case.title}: {fault}\n")
            for clause in case.clauses.split():
                seen[clause].append(not faults)
    return {clause: state(clause, seen[clause]) for clause in CLAUSES}


def state(clause: str, seen: list[bool]) -> str:
    if not all(seen):
        return "FAIL"
    if clause in NOT_SUPPORTED:
        return "not supported"
    if not seen:
        return "not testable from outside"
    return "pass in part" if clause in IN_PART else "pass"
