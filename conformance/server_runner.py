"""Sends the cases to any server, as one client of it, over HTTP alone.

A clause that needs two clients, another time, the storage or an operator cannot be tried from outside, and
is reported as such; some clauses can be tried in part.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, quote, quote_plus

from conformance import challenges, endpoints, exchange, judging, published
from conformance.cases import CASES, CC, GRANT, INTROSPECT, LOGS, REVOKE, TOKEN, Case
from conformance.exchange import CannotRunError, Response
from conformance.finding import Finding, told
from conformance.results import Results

METADATA, JWKS = "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"
MEMBERS = {
    TOKEN: "token_endpoint",
    INTROSPECT: "introspection_endpoint",
    REVOKE: "revocation_endpoint",
    JWKS: "jwks_uri",
    LOGS: "api",
}
WITH_BASIC, WITH_FORM = "a token, with HTTP Basic", "a token, with the form"
METHODS = {WITH_BASIC: "client_secret_basic", WITH_FORM: "client_secret_post"}
# They send the client's own id and secret by Basic, which is what they test.
NEEDS_BASIC = {
    WITH_BASIC,
    "the scheme in capitals",
    "a percent-encoded secret",
    "Basic, and the same id in the form",
    "Basic, and another id in the form",
    "Basic and a secret in the form",
}
LIMITED = "429: a limit of the server was passed; try again later, or with a client without limits"
WRONG_SECRET = "kts_wrong"


class Outside:
    """A server and one of its clients, or none."""

    def __init__(self, base_url: str, client_id: str, secret: str, options: Mapping[str, str] | None = None) -> None:
        self.options = options or {}
        self.pair = {"id": client_id, "secret": secret}
        self.known = {"base_url": base_url.rstrip("/"), "wrong_secret": WRONG_SECRET}
        self.known["admin_basic"] = basic(client_id, secret)
        self.extra = parse_qsl(self.options.get("FORM", ""))
        self.methods: set[str] = set()
        self.found = endpoints.Endpoints("", {}, "", {})

    def run(self) -> Results:
        """Send every case that this client can try.

        Raises:
            CannotRunError: If the server or the client cannot be used.
            OSError: If the server cannot be reached.
        """
        self.found = endpoints.find(self.known["base_url"], self.options)
        if self.pair["id"]:
            self.methods = set(self.usable_methods())
        results = Results(self.found, self.pair["secret"])
        for case in CASES:
            if case.outside:
                self.try_one(case, results)
        return results

    def usable_methods(self) -> Iterator[str]:
        """By which methods the client gets a token: it may be registered for one alone."""
        responses = {case.name: self.send(case) for case in CASES if case.name in METHODS}
        if all(response.status != 200 for response in responses.values()):
            if any(response.status == 429 for response in responses.values()):
                raise CannotRunError(LIMITED)
            each = "; ".join(f"with {name[14:]} {told(response)}" for name, response in responses.items())
            raise CannotRunError(f"the client gets no token: {each}. FORM='scope=…' adds what it must send")
        return (METHODS[name] for name, response in responses.items() if response.status == 200)

    def try_one(self, case: Case, results: Results) -> None:
        reason = self.cannot_try(case)
        if reason:
            results.leave_out(case, reason)
            return
        response = self.response(case)
        listed = published.names(self.found.metadata, "token_endpoint_auth_methods_supported", [])
        leeway = judging.allowed(case, listed)
        if response.status == 429:
            results.leave_out(case, LIMITED)
        elif response.status >= 400 and response.members.get("error") in leeway.untold:
            results.leave_out(case, f"the response {told(response)} does not tell")
        else:
            shows_all = judging.shows(case, response, leeway)
            results.add(case, response, list(self.findings(case, response, leeway)), shows_all=shows_all)

    def cannot_try(self, case: Case) -> str:
        """Why a case cannot be tried at this server by this client; empty if it can."""
        path = case.path.partition("?")[0]
        needs_client = "{{" in f"{case.form}{case.headers}" or bool(case.basic)
        if path == METADATA:
            return "" if self.found.metadata_url else "the server publishes no metadata"
        if path in MEMBERS and MEMBERS[path] not in self.found.addresses:
            return "no API is known: API_URL=… names one" if path == LOGS else f"the server names no {MEMBERS[path]}"
        if path not in MEMBERS and not self.found.has_sample_api:
            return "it is a route of Keyturn's sample API"
        if needs_client and not self.pair["id"] and path != LOGS:
            return "it needs CLIENT_ID and CLIENT_SECRET"
        if case.name in NEEDS_BASIC and METHODS[WITH_BASIC] not in self.methods:
            return "the client is not registered for HTTP Basic"
        if case.name == WITH_FORM and METHODS[WITH_FORM] not in self.methods:
            return "the client is not registered for the form"
        if self.extra and any(value == "" for _, value in case.form or []):
            return "FORM=… sends what this case leaves out"
        return ""

    def findings(self, case: Case, response: Response, leeway: judging.Leeway) -> Iterable[Finding]:
        path, form = case.path.partition("?")[0], dict(case.form or []) | dict(self.extra)
        if path == METADATA:
            return published.metadata(response, self.found, self.methods)
        if path == JWKS:
            return published.keys(response)
        if path == LOGS:
            return challenges.access_refused(case, response)
        if "access_token" in case.body:
            return judging.issued(case, response, form.get("scope", ""))
        if "error" in case.body:
            return judging.refused(case, response, leeway, by_header=self.is_by_header(case))
        return judging.as_it_is(case, response)

    def response(self, case: Case) -> Response:
        """The response; one with status 0 if the server closes the connection but is still there."""
        try:
            return self.send(case)
        except OSError:
            exchange.send(self.found.metadata_url or self.found.issuer)
            return Response(0)

    def is_by_header(self, case: Case) -> bool:
        return bool(self.request(case)[1].get("Authorization"))

    def send(self, case: Case) -> Response:
        url, headers, body = self.request(case)
        return exchange.send(url, case.method, headers=headers, body=body)

    def request(self, case: Case) -> tuple[str, dict[str, str], bytes | None]:
        """The address, the headers and the body of a case."""
        case = self.adapted(case)
        headers = {name: self.fill(text) for name, text in case.headers.items()}
        body = None
        if case.basic:
            name, secret = (self.value(f"{case.basic}_{part}") for part in ("id", "secret"))
            headers["Authorization"] = f"Basic {basic(name, secret, encoded=case.basic == 'encoded')}"
        if case.form is not None:
            body = "&".join(f"{name}={quote_plus(self.fill(text))}" for name, text in case.form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if case.json is not None:
            body, headers["Content-Type"] = json.dumps(case.json).encode(), "application/json"
        return self.address(case), headers, body

    def adapted(self, case: Case) -> Case:
        """The case as this client can send it."""
        if case.path == LOGS and case.basic:  # no API is sent the client's secret
            case = replace(case, basic="wrong")
        form = case.form
        if form is not None and (GRANT, CC) in form:
            form = [*form, *((name, value) for name, value in self.extra if name not in dict(form))]
        if case.basic not in {"", "wrong"} and form is not None and self.methods == {METHODS[WITH_FORM]}:
            own = [("client_id", "{{admin_id}}"), ("client_secret", "{{admin_secret}}")]
            form = [*((name, value) for name, value in form if name not in dict(own)), *own]
            case = replace(case, basic="")
        return replace(case, form=form)

    def address(self, case: Case) -> str:
        path, _, query = quote(self.fill(case.path), safe="/?&=%.").partition("?")
        if path == METADATA:
            return self.found.metadata_url
        url = self.found.addresses.get(MEMBERS.get(path, ""), self.known["base_url"] + path)
        return f"{url}{'&' if '?' in url else '?'}{query}" if query else url

    def fill(self, text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.value(found[1]), text)

    def value(self, name: str) -> str:
        if name.startswith("encoded_"):  # every character is percent-encoded
            return "%" + self.pair[name.partition("_")[2]].encode().hex("%")
        # Any demo client that a case names is this client here.
        return self.known.get(name) or self.pair[name.rpartition("_")[2]]


def basic(client_id: str, secret: str, *, encoded: bool = False) -> str:
    """The credentials, form-encoded as RFC 6749, section 2.3.1, requires, unless they are already."""
    pair = (text if encoded else quote_plus(text) for text in (client_id, secret))
    return base64.b64encode(":".join(pair).encode()).decode()
