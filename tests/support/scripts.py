"""The scripts of the Postman collection: what is common is in `js/`, the assertions of a case are made from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from conformance.cases import ISSUED, OPAQUE, TOKEN, Case

FOLDER = Path(__file__).parent / "js"
USES = {"verified_signature": ("admin_token",)}  # the variables that a script of `js/` reads
ENCODED = 'pm.variables.replaceIn("{{%s}}").replace(/./g, (each) => "%%" + each.charCodeAt(0).toString(16))'
# What a script sets before the request, since no environment has it.
COMPUTED = {
    "admin_basic": 'require("btoa")(pm.variables.replaceIn("{{admin_id}}:{{admin_secret}}"))',
    "encoded_id": ENCODED % "admin_id",
    "encoded_secret": ENCODED % "admin_secret",
    "padding": '"x".repeat(17000)',
}
# `js/every_response.js` checks these in every response, and `token_type` in that of the token endpoint.
EVERYWHERE = {"Content-Type", "Cache-Control", "Pragma", "error_description", "token_type"}
# By RFC 9110 and 6585: those of Python's http.HTTPStatus differ between its versions.
PHRASES = {
    200: "OK",
    201: "Created",
    302: "Found",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
# What a pattern means, by how it begins; the tokens' patterns come first.
FORMS = {
    ISSUED["access_token"].pattern: "is a JWT",
    OPAQUE.pattern: "is an opaque token",
    "^Basic": "is a challenge for Basic, with a realm",
    "^Bearer": "is a challenge for Bearer, and says what is missing or wrong",
    '^"': "is in quotes",
    r"^[\w-]{24}$": "is an id of 24 characters",
    "max-age": "lets a cache keep it for 300 seconds",
    "GET": "has GET",
}


def read(name: str) -> list[str]:
    return (FOLDER / f"{name}.js").read_text(encoding="utf-8").splitlines()


def event(when: str, lines: list[str]) -> dict[str, Any]:
    return {"listen": when, "script": {"type": "text/javascript", "exec": lines}}


def fetched(needed: list[str], savers: dict[str, Case]) -> list[str]:
    """A script that fetches the tokens that a folder uses."""
    rows = []
    for name in needed:
        form = dict(savers[name].form or [])
        client = savers[name].basic or form["client_id"].strip("{}").removesuffix("_id")
        scope = form.get("scope", "")
        rows.append(f"    {{ variable: {js(name)}, client: {js(client)}, scope: {js(scope)} }},")
    place = "    NEEDED,"
    return [row for line in read("fetched_tokens") for row in (rows if line == place else [line])] if rows else []


def before(case: Case) -> list[str]:
    """What a script has to do before the request of a case."""
    texts = " ".join([f"{{{{{case.basic}_id}}}}{{{{{case.basic}_secret}}}}", *case.headers.values()])
    texts += " ".join(value for _, value in case.form or [])
    lines = [
        f"pm.variables.set({js(name)}, {value});" for name, value in COMPUTED.items() if f"{{{{{name}}}}}" in texts
    ]
    if case.path.startswith("/.well-known/oauth-"):
        lines += read("well_known")
    if case.signs:
        lines += [line.replace("AUDIENCE", case.signs) for line in [*read("rsa"), *read("signed_assertion")]]
    if case.bearer == "brief_token":
        lines += read("expired_token")
    elif case.waits:
        lines.append(f"setTimeout(() => {{}}, {case.waits * 1000}); // wait for {case.waits} seconds")
    return lines


def after(case: Case) -> list[str]:
    """The assertions of a case, each named by a sentence; and the token that it saves."""
    lines = [test(f"The status is {case.status} {PHRASES[case.status]}", f"pm.response.to.have.status({case.status})")]
    for name, wanted in case.headers_are.items():
        if name not in EVERYWHERE or isinstance(wanted, re.Pattern):
            lines.append(expects(f"The header {name}", f"pm.response.headers.get({js(name)})", wanted))
    if case.body or case.absent or case.saves:
        lines += ["", "const body = pm.response.json();", *members(case)]
    lines += read("rsa") if case.shows == "verified_signature" else []
    lines += read(case.shows) if case.shows else []
    lines += claims(case)
    if case.saves:
        saved = f"pm.collectionVariables.set({js(case.saves)}, body.access_token);"
        lines += ["", "// Other requests use this token.", saved]
    return lines


def members(case: Case) -> list[str]:
    lines = [
        expects(name, f"body.{name}", wanted)
        for name, wanted in case.body.items()
        if name not in EVERYWHERE or (name == "token_type" and case.path != TOKEN)
    ]
    if "scopes_supported" in case.body:  # no empty list (RFC 8414, section 3.2)
        lines.append(test("Among them is reports:read", 'pm.expect(body.scopes_supported).to.include("reports:read")'))
    lines += [test(f"There is no {name}", f"pm.expect(body).to.not.have.property({js(name)})") for name in case.absent]
    return lines + [line for name, each in case.every.items() for line in each_has(name, each)]


def claims(case: Case) -> list[str]:
    if not case.claims:
        return []
    decoded = 'JSON.parse(require("atob")(body.access_token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")))'
    # A script of `js/` that shows the claims has them decoded.
    lines = [""] if case.shows else ["", f"const claims = {decoded};"]
    return lines + [expects(f"The claim {name}", f"claims.{name}", wanted) for name, wanted in case.claims.items()]


def each_has(name: str, members: dict[str, Any]) -> list[str]:
    lines = [f"pm.test({js(f'There are {name}, and each has the right {listed(list(members))}')}, () => {{"]
    lines += [f'    pm.expect(body.{name}).to.be.an("array").and.not.empty;', f"    body.{name}.forEach((each) => {{"]
    lines += [f"        pm.expect(each.{key}).{matcher(wanted)};" for key, wanted in members.items()]
    return [*lines, "    });", "});"]


def listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def test(sentence: str, check: str) -> str:
    return f"pm.test({js(sentence)}, () => {check});"


def expects(what: str, value: str, wanted: object) -> str:
    return test(f"{what} {says(wanted)}", f"pm.expect({value}).{matcher(wanted)}")


def says(wanted: object) -> str:
    """The end of the sentence that names an assertion."""
    if isinstance(wanted, re.Pattern):
        return next(phrase for begin, phrase in FORMS.items() if wanted.pattern.startswith(begin))
    if isinstance(wanted, type):
        return {list: "is a list", int: "is a whole number"}[wanted]
    return "is " + re.sub(r"\{\{(\w+)\}\}", r"\1", wanted if isinstance(wanted, str) else js(wanted).replace('"', ""))


def matcher(wanted: object) -> str:
    if isinstance(wanted, re.Pattern):
        literal = re.sub(r"(?<!\\)/", r"\\/", wanted.pattern)
        return f'to.be.a("string").and.match(/{literal}/)'
    if isinstance(wanted, type):
        return {list: 'to.be.an("array")', int: "to.satisfy(Number.isInteger)"}[wanted]
    return f"to.eql({expression(wanted)})"


def expression(wanted: object) -> str:
    """A value in JavaScript. Bruno sees no variable of the collection in what it makes of `pm.variables.get`."""
    if isinstance(wanted, list):
        return f"[{', '.join(expression(each) for each in wanted)}]"
    return f"pm.variables.replaceIn({js(wanted)})" if "{{" in js(wanted) else js(wanted)


def js(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
