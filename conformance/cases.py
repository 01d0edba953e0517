"""The table of cases: a request, the response that is expected, and a sentence that teaches.

pytest runs every case on both databases (`test_cases.py`). The Postman collection is generated from the
same table (`make docs`), so a case also names the variables it reads, `{{like_this}}`, and the one it
saves. The first folder is the flow in five requests; the others follow the guide, and have every refusal.
Clauses that need another time, another worker or the storage are not here: only pytest tests them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

GRANT = "grant_type"
CC = "client_credentials"
LOGS = "/admin/logs"
TOKEN = "/oauth/token"
INTROSPECT = "/oauth/introspect"
REVOKE = "/oauth/revoke"

START, REQUEST, CALL, CHECK, TOKEN_ERRORS, API_ERRORS, DESCRIBE, SIGN = (
    "Start here",
    "1. Request a token",
    "2. Use the token",
    "3. Introspect and revoke a token",
    "4. Refused at the token endpoint",
    "5. Refused at the API",
    "6. Metadata and keys",
    "7. Sign with a private key",
)
FOLDERS = {
    START: "The flow in five requests: get a token, use it, and see the three ways in which an API refuses a request. "
    "Send them one after the other; the first one shows in *Visualize* what a token says.",
    REQUEST: "What a client may send to the token endpoint, and what it gets (RFC 6749, sections 2.3 and 4.4).",
    CALL: "The guarded routes of the sample API, and the two kinds of token (RFC 6750).",
    CHECK: "An API that cannot verify a signature introspects a token (RFC 7662); a client revokes its own (RFC 7009).",
    TOKEN_ERRORS: "Every way in which the token endpoint refuses a request (RFC 6749, section 5.2).",
    API_ERRORS: "Every way in which an API refuses a request (RFC 6750, section 3.1). One request waits for 3 seconds.",
    DESCRIBE: "What a client and an API find by themselves: endpoints (RFC 8414), the API's server (RFC 9728), "
    "and the keys that verify a token (RFC 7517).",
    SIGN: "A client without a secret (RFC 7523): before each request a script signs a new assertion with the private "
    "key in the variable `signer_key`. A real private key never leaves its client, and is in no collection.",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request and the response that is expected.

    `headers_are` maps headers of the response, and `body` members of its JSON, to what they must be: a
    value, a pattern for a string, or a type. `every` says the same for each element of a list in the body,
    which has at least one; `claims` says it for the claims of the JWT in `access_token`.
    `form` is a list of pairs, so that a name can be sent twice.
    `after` names the case that must have been sent before this one, if its response depends on that.
    `own_oauth2`: the collection shows Postman's own tab for OAuth 2.0, with this token in it.
    `shows` names a script of the collection that shows or checks more (`tests/support/js/`).
    `signs` is the audience of an assertion that the client `signer` signs before the request; it is `{{assertion}}`
    from then on.
    `outside` is true for what any one client of any server of this kind can try, whatever its scope
    (`server_runner.py`).
    """

    name: str
    clauses: str
    folder: str
    teaches: str
    method: str = "POST"
    path: str = TOKEN
    basic: str = ""
    bearer: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    form: list[tuple[str, str]] | None = None
    json: object = None
    status: int = 200
    headers_are: dict[str, str | re.Pattern[str]] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    every: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    shows: str = ""
    own_oauth2: bool = False
    saves: str = ""
    after: str = ""
    waits: int = 0
    signs: str = ""
    outside: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} ({self.clauses})"


def granted(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    return [(GRANT, CC), *pairs]


NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json"}
METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
ALGORITHMS = ["RS256", "ES256"]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Assertions of an unknown client, which any server refuses: unsigned, by an HMAC, and with a signature of no key.
NOT_SIGNED = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJub2JvZHkiLCJzdWIiOiJub2JvZHkifQ."
BY_HMAC = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJub2JvZHkiLCJzdWIiOiJub2JvZHkifQ.AAAA"
BY_NOBODY = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJub2JvZHkiLCJzdWIiOiJub2JvZHkifQ." + "A" * 86
QUOTED = re.compile('^"')
NAME = re.compile(r"^[\w.:-]+$")
OPAQUE = re.compile(r"^kta_[\w-]{51}$")
BASIC_CHALLENGE = re.compile(r'^Basic realm="[^"]+"')
TOO_SMALL = re.compile(r'^Bearer realm="[^"]+", error="insufficient_scope", .*scope="read:logs"$')
ISSUED: dict[str, Any] = {
    "access_token": re.compile(r"^[\w-]+\.[\w-]+\.[\w-]+$"),
    "token_type": "Bearer",
    "expires_in": 3600,
}


def refused(error: str) -> dict[str, Any]:
    return {"error": error, "error_description": re.compile(r"^[\x20\x21\x23-\x5b\x5d-\x7e]+$")}


def token_refused(name: str, clauses: str, teaches: str, error: str, status: int = 400, **more: Any) -> Case:
    headers = NO_STORE | ({"WWW-Authenticate": BASIC_CHALLENGE} if status == 401 else {}) | more.pop("headers_are", {})
    return Case(
        name=name, clauses=clauses, folder=TOKEN_ERRORS, teaches=teaches, status=status,
        headers_are=headers, body=refused(error), absent=("access_token",), **more,
    )  # fmt: skip


def access_refused(name: str, clauses: str, teaches: str, error: str | None, status: int, **more: Any) -> Case:
    where = r'resource_metadata="[^"]+/\.well-known/oauth-protected-resource[^"]*"$' if status == 401 else ""
    where = 'scope="[^"]+"$' if error == "insufficient_scope" else where
    pattern = '^Bearer realm="[^"]+", ' + (f'error="{error}", .*{where}' if error else where)
    challenge = {"WWW-Authenticate": re.compile(pattern)} | more.pop("headers_are", {})
    return Case(
        name=name, clauses=clauses, teaches=teaches, status=status,
        headers_are=challenge, body=refused(error) if error else {},
        absent=() if error else ("error",), **{"method": "GET", "path": LOGS, "folder": API_ERRORS} | more,
    )  # fmt: skip


SIGNED = [("client_assertion_type", ASSERTION), ("client_assertion", "{{assertion}}")]
ACTIVE = {
    "active": True, "token_type": "Bearer", "scope": "shipments:read",
    "aud": "{{shipments_audience}}", "iss": "{{base_url}}", "exp": int, "iat": int, "jti": re.compile(r"^[\w-]{24}$"),
}  # fmt: skip
OF_PARTNER = {"client_id": "{{partner_id}}", "sub": "{{partner_id}}"}
INACTIVE = {"active": False}


def introspected(name: str, clauses: str, teaches: str, token: str, body: dict[str, Any], **more: Any) -> Case:
    """The API behind shipments:read introspects a token; for an inactive one `active` is the only member."""
    absent = ("scope", "client_id", "token_type", "exp", "iat", "sub", "aud", "iss", "jti") if body is INACTIVE else ()
    return Case(
        name=name, clauses=clauses, folder=CHECK, teaches=teaches, path=INTROSPECT, basic="shipments",
        form=[("token", token), *more.pop("form", [])], headers_are=NO_STORE, body=body, absent=absent,
        shows="introspected" if "exp" in body else "", **more,
    )  # fmt: skip


def sign_refused(name: str, clauses: str, teaches: str, **more: Any) -> Case:
    return replace(token_refused(name, clauses, teaches, "invalid_client", 401, **more), folder=SIGN)


def revoked(name: str, clauses: str, teaches: str, basic: str, token: str, **more: Any) -> Case:
    return Case(
        name=f"revoke {name}", clauses=clauses, folder=CHECK, teaches=teaches, path=REVOKE, basic=basic,
        form=[("token", token), *more.pop("form", [])], headers_are=NO_STORE, **more,
    )  # fmt: skip


def check_refused(name: str, clauses: str, teaches: str, error: str, status: int, path: str, **more: Any) -> Case:
    return replace(token_refused(name, clauses, teaches, error, status, path=path, **more), folder=CHECK)


CASES = (
    Case(
        name="Get a token", clauses="R012 R052 R065 R066 R067 R068", folder=START, basic="reporting", form=granted(),
        teaches="The client sends its id and its secret, and gets a token for an hour. The token is a JWT: "
        "the tab Visualize and the console show what it says.",
        headers_are=NO_STORE, body=ISSUED | {"scope": "reports:read"}, saves="token", shows="decoded_token",
        claims={"client_id": "{{reporting_id}}", "sub": "{{reporting_id}}", "aud": "{{base_url}}"},
    ),
    Case(
        name="Call the API with it", clauses="R098", folder=START, method="GET", path="/internal/reports",
        bearer="token", teaches="The token goes into the Authorization header: Bearer, a space, the token. "
        "The report says how many tokens were issued and refused, per client and hour.", body={"hours": list},
    ),
    access_refused(
        "Without a token", "R100 R101", "401: the API does not know who is calling. The header WWW-Authenticate says "
        "what is missing, and where the metadata says which server issues the tokens.",
        None, 401, folder=START, path="/internal/reports",
    ),
    access_refused(
        "With a scope that is too small", "R101", "403: the token is good, but it is not for this. Another token "
        "would not help: somebody must register the client for the scope that the header names.",
        "insufficient_scope", 403, folder=START, bearer="token",
        headers_are={"WWW-Authenticate": TOO_SMALL},
    ),
    access_refused(
        "With a token that has expired", "R069 R101", "401 again: the client requests another token, and repeats the "
        "call. This token was valid for two seconds; the script that runs before the request gets it, and waits.",
        "invalid_token", 401, folder=START, bearer="brief_token", waits=3,
    ),
    Case(
        name="a token, with HTTP Basic", clauses="R012 R044 R051 R052 R053 R054 R056", folder=REQUEST,
        teaches="The client authenticates with its id and secret in the Authorization header, and gets a token "
        "for its default scope. There is no refresh token: the client requests another token.",
        basic="admin", form=granted(), headers_are=NO_STORE,
        body=ISSUED | {"scope": "read:logs write:logs read:all_data"}, absent=("refresh_token",), saves="admin_token",
        outside=True,
        claims={"client_id": "{{admin_id}}", "sub": "{{admin_id}}"},
    ),
    Case(
        name="a token, with the form", clauses="R029", folder=REQUEST,
        teaches="The id and the secret may be in the form instead, if the client is not registered for Basic only.",
        form=granted(("client_id", "{{reporting_id}}"), ("client_secret", "{{reporting_secret}}")),
        headers_are=NO_STORE, body=ISSUED | {"scope": "reports:read"}, saves="reporting_token", outside=True,
        claims={"client_id": "{{reporting_id}}"},
    ),
    Case(
        name="the default scope", clauses="R042 R044", folder=REQUEST,
        teaches="A request without a scope gets the client's default scope, and the response names it.",
        basic="partner", form=granted(), body=ISSUED | {"scope": "inventory:read inventory:write"},
        saves="partner_token",
    ),
    Case(
        name="one scope of several", clauses="R041 R044", folder=REQUEST,
        teaches="Request less than the client may have: a token that leaks then opens less.",
        basic="partner", form=granted(("scope", "inventory:read")), body=ISSUED | {"scope": "inventory:read"},
        saves="reading_token",
    ),
    Case(
        name="scopes in any order, one of them twice", clauses="R041", folder=REQUEST,
        teaches="A scope is a set of words: order and repetition mean nothing.",
        basic="partner", form=granted(("scope", "inventory:write inventory:read inventory:write")),
        body=ISSUED | {"scope": "inventory:write inventory:read"},
    ),
    Case(
        name="a token for the shipments API", clauses="R049", folder=REQUEST,
        teaches="The scope decides which API a token opens: this one is for the shipments API, and its aud says so.",
        basic="partner", form=granted(("scope", "shipments:read")), body=ISSUED | {"scope": "shipments:read"},
        saves="shipments_token", claims={"client_id": "{{partner_id}}", "aud": "{{shipments_audience}}"},
    ),
    Case(
        name="a token for the API that resource names", clauses="R047 R048 R049", folder=REQUEST,
        teaches="The client may name the API instead of a scope: it gets the scope that it has there, and no other.",
        basic="partner", form=granted(("resource", "{{shipments_audience}}")),
        body=ISSUED | {"scope": "shipments:read"},
        claims={"client_id": "{{partner_id}}", "aud": "{{shipments_audience}}"},
    ),
    Case(
        name="a scope of two APIs, narrowed by resource", clauses="R048", folder=REQUEST,
        teaches="Of the scope, what belongs to the resource remains; the response and the token say what that is. "
        "The same resource may be sent twice.",
        basic="partner", body=ISSUED | {"scope": "inventory:read"}, claims={"aud": "{{base_url}}"},
        form=granted(
            ("scope", "inventory:read shipments:read"), ("resource", "{{base_url}}"), ("resource", "{{base_url}}")
        ),
    ),
    Case(
        name="a token of two seconds", clauses="R052", folder=REQUEST,
        teaches="A client can be registered with a lifetime of its own. Folder 5 shows what happens afterwards.",
        basic="brief", form=granted(), body=ISSUED | {"expires_in": 2}, saves="brief_token",
    ),
    Case(
        name="an opaque token", clauses="R051 R056", folder=REQUEST,
        teaches="A client can be registered for opaque tokens: the server keeps one row for each.",
        basic="opaque", form=granted(), body=ISSUED | {"access_token": OPAQUE, "scope": "inventory:read"},
        saves="opaque_token",
    ),
    Case(
        name="an opaque token for the shipments API", clauses="R049 R056", folder=REQUEST,
        teaches="Everything else about it is the same: scope, audience, lifetime.",
        basic="opaque", form=granted(("scope", "shipments:read")),
        body=ISSUED | {"access_token": OPAQUE, "scope": "shipments:read"},
        saves="opaque_shipments_token",
    ),
    Case(
        name="an empty scope is no scope", clauses="R006", folder=REQUEST,
        teaches="A parameter without a value counts as omitted.",
        basic="reporting", form=granted(("scope", ""), ("client_id", "")), body=ISSUED | {"scope": "reports:read"},
        outside=True,
    ),
    Case(
        name="an unknown parameter", clauses="R007", folder=REQUEST,
        teaches="The server ignores parameters that it does not know, so that newer clients work with older servers.",
        basic="reporting", form=granted(("colour", "blue")), body=ISSUED, outside=True,
    ),
    Case(
        name="the scheme in capitals", clauses="R016", folder=REQUEST,
        teaches="The name of an authentication scheme may be written in any case.",
        headers={"Authorization": "BASIC {{admin_basic}}"}, form=granted(), body=ISSUED, outside=True,
    ),
    Case(
        name="a percent-encoded secret", clauses="R013", folder=REQUEST,
        teaches="Strict clients percent-encode id and secret before Base64. Ours have no character that would differ.",
        basic="encoded", form=granted(), body=ISSUED, outside=True,
    ),
    Case(
        name="Basic, and the same id in the form", clauses="R019", folder=REQUEST,
        teaches="Some clients send their id twice. The same one does no harm.",
        basic="admin", form=granted(("client_id", "{{admin_id}}")), body=ISSUED, outside=True,
    ),
    Case(
        name="the audit trail", clauses="R098", folder=CALL, method="GET", path=LOGS + "?limit=5", bearer="admin_token",
        teaches="The guarded route of the guide: with a token that has read:logs it shows what this server has done.",
        headers_are={"Content-Type": "application/json"}, body={"events": list},
        every={"events": {"id": int, "at": int, "event": NAME}},
    ),
    Case(
        name="only the tokens of one client", clauses="R098", folder=CALL, method="GET",
        path=LOGS + "?event=token_issued&client_id={{admin_id}}&limit=5", bearer="admin_token", waits=2,
        teaches="The trail can be narrowed to an event and a client, and read page by page with limit and before. "
        "It waits for 2 seconds, since what another worker did can appear a second later.",
        body={"events": list},
        every={"events": {"event": "token_issued", "client_id": "{{admin_id}}", "request_id": NAME}},
    ),
    Case(
        name="an entry for the audit trail", clauses="R098", folder=CALL, path=LOGS, bearer="admin_token",
        teaches="A service with write:logs adds an entry of its own.",
        json={"message": "The nightly export is done."}, status=201,
        body={"event": "entry_added", "client_id": "{{admin_id}}", "reason": "The nightly export is done."},
    ),
    Case(
        name="a report", clauses="R098", folder=CALL, method="GET", path="/internal/reports", bearer="reporting_token",
        teaches="Tokens issued and refused, per client and hour: made from the audit trail.", body={"hours": list},
    ),
    Case(
        name="a report, with Postman's own OAuth 2.0", clauses="R098", folder=CALL, method="GET",
        path="/internal/reports", bearer="reporting_token", own_oauth2=True,
        teaches="Postman can request the token itself: Authorization, OAuth 2.0, Get New Access Token, Use Token. "
        "Until then it sends the token that this folder has fetched.", body={"hours": list},
    ),
    Case(
        name="changing the stock", clauses="R098", folder=CALL, method="PUT", path="/inventory/pallet-7",
        bearer="partner_token", json={"quantity": 12}, body={"sku": "pallet-7", "quantity": 12},
        teaches="A partner's shop with inventory:write sets the quantity of an article.",
    ),
    Case(
        name="reading the stock", clauses="R098", folder=CALL, method="GET", path="/inventory", bearer="reading_token",
        teaches="With inventory:read it reads the whole stock.", body={"items": list},
        every={"items": {"sku": NAME, "quantity": int}}, after="changing the stock",
    ),
    Case(
        name="read:all_data opens every GET", clauses="R098", folder=CALL, method="GET", path="/inventory",
        bearer="admin_token", teaches="A route can accept one of several scopes.", body={"items": list},
    ),
    Case(
        name="the scheme in lower case", clauses="R098", folder=CALL, method="GET", path=LOGS + "?limit=2",
        headers={"Authorization": "bearer {{admin_token}}"}, teaches="Bearer, too, may be written in any case.",
        body={"events": list},
    ),
    Case(
        name="an opaque token opens the same routes", clauses="R098", folder=CALL, method="GET", path="/inventory",
        bearer="opaque_token", teaches="The guard tells the two kinds apart by the prefix.", body={"items": list},
    ),
    Case(
        name="HEAD", clauses="R106", folder=CALL, method="HEAD", path="/inventory", bearer="admin_token",
        teaches="HEAD works where GET does, and its response has no body.",
    ),
    introspected(
        "introspect a JWT", "R047 R087 R089 R090", "The API authenticates, sends the token, and reads its claims.",
        "{{shipments_token}}", ACTIVE | OF_PARTNER,
    ),
    introspected(
        "introspect an opaque token", "R047 R049 R087 R090",
        "An opaque token has the same claims, but only introspection shows them.",
        "{{opaque_shipments_token}}", ACTIVE | {"client_id": "{{opaque_id}}", "sub": "{{opaque_id}}"},
    ),
    introspected(
        "a hint that is wrong", "R091",
        "The hint may help the server to find the token; it never changes the response.",
        "{{shipments_token}}", ACTIVE | OF_PARTNER, form=[("token_type_hint", "refresh_token")],
    ),
    introspected(
        "an unknown hint", "R091", "A hint that the server does not know is ignored.",
        "{{shipments_token}}", ACTIVE | OF_PARTNER, form=[("token_type_hint", "nonsense")],
    ),
    introspected(
        "introspect a token for another API", "R088 R089", "Each API sees its own tokens only; any other is inactive.",
        "{{admin_token}}", INACTIVE,
    ),
    introspected(
        "introspect garbage", "R088", "A text that is no token gets the same response as an expired one.",
        "garbage", INACTIVE,
    ),
    introspected(
        "introspect half a token", "R088", "Half a JWT is no JWT.", "{{shipments_token}}.", INACTIVE,
    ),
    check_refused(
        "introspect as a client that is no API", "R086",
        "Only a client registered as a resource server may introspect.",
        "unauthorized_client", 403, INTROSPECT, basic="partner", form=[("token", "{{shipments_token}}")],
    ),
    check_refused(
        "introspect without credentials", "R086 R092", "An API that introspects must authenticate.",
        "invalid_client", 401, INTROSPECT, form=[("token", "garbage")], outside=True,
    ),
    check_refused(
        "introspect with a wrong secret", "R092", "A wrong secret is refused as it is at the token endpoint.",
        "invalid_client", 401, INTROSPECT,
        form=[("client_id", "{{shipments_id}}"), ("client_secret", "kts_wrong"), ("token", "x")], outside=True,
    ),
    check_refused(
        "introspect nothing", "R087", "The token is a parameter of the form.",
        "invalid_request", 400, INTROSPECT, basic="shipments", form=[("token_type_hint", "access_token")],
    ),
    check_refused(
        "introspect with GET", "R087", "URLs end up in logs, so no token may be in one.",
        "invalid_request", 405, INTROSPECT, method="GET", basic="shipments", headers_are={"Allow": "POST"},
        outside=True,
    ),
    Case(
        name="a token to revoke", clauses="R055", folder=CHECK, basic="partner",
        form=granted(("scope", "shipments:read")), body=ISSUED, saves="spare_token",
        teaches="A second token of the same client: the first one stays valid.",
    ),
    check_refused(
        "revoke another client's token", "R093", "Only the client that a token was issued to can revoke it.",
        "unauthorized_client", 400, REVOKE, basic="admin", form=[("token", "{{spare_token}}")],
    ),
    revoked(
        "a JWT", "R093 R095", "The client revokes its token when its work is done, or when it may have leaked.",
        "partner", "{{spare_token}}",
    ),
    introspected(
        "introspect the revoked JWT", "R095", "From the response on it is inactive, on every worker.",
        "{{spare_token}}", INACTIVE, after="revoke a JWT",
    ),
    introspected(
        "introspect the client's other token", "R095", "The client's other tokens stay active.",
        "{{shipments_token}}", ACTIVE | OF_PARTNER,
        after="revoke a JWT",
    ),
    revoked(
        "the same token again", "R094", "Revoking twice is no error.", "partner", "{{spare_token}}",
        after="revoke a JWT",
    ),
    revoked(
        "an opaque token", "R093 R095", "An opaque token is revoked in the same way.", "opaque", "{{opaque_token}}",
    ),
    access_refused(
        "the revoked opaque token", "R095 R097", "The guarded routes refuse it as well.",
        "invalid_token", 401, folder=CHECK, path="/inventory", bearer="opaque_token",
        after="revoke an opaque token",
    ),
    revoked(
        "garbage", "R094", "A text that is no token is already invalid, and that is no error.", "partner", "garbage",
        outside=True,
    ),
    revoked(
        "with an unknown hint", "R096", "A hint never changes the response.", "partner", "garbage",
        form=[("token_type_hint", "nonsense")], outside=True,
    ),
    check_refused(
        "revoke nothing", "R096", "The token is a parameter of the form.",
        "invalid_request", 400, REVOKE, basic="partner", form=[("token_type_hint", "access_token")], outside=True,
    ),
    check_refused(
        "revoke without credentials", "R093", "A client that revokes must authenticate.",
        "invalid_client", 401, REVOKE, form=[("token", "garbage")], outside=True,
    ),
    token_refused(
        "GET", "R001 R061", "A token is requested with POST, so that no secret is ever in a URL.",
        "invalid_request", 405, method="GET", headers_are={"Allow": "POST"}, outside=True,
    ),
    token_refused(
        "OPTIONS", "R106", "The endpoint is for machines: no page in a browser may call it.",
        "invalid_request", 405, method="OPTIONS", headers_are={"Allow": "POST"}, outside=True,
    ),
    token_refused(
        "JSON instead of a form", "R003", "The parameters are a form, application/x-www-form-urlencoded.",
        "invalid_request", 415, basic="admin", json={GRANT: CC}, outside=True,
    ),
    token_refused(
        "the secret in the URL", "R004", "URLs end up in logs: no parameter is read from there.",
        "invalid_request", path=TOKEN + "?client_secret=kts_not-a-real-one", basic="admin", form=granted(),
        outside=True,
    ),
    token_refused(
        "a parameter twice", "R005", "Two values for one parameter mean two things; nobody should guess which.",
        "invalid_request", basic="admin", form=granted(("scope", "read:logs"), ("scope", "write:logs")), outside=True,
    ),
    token_refused(
        "no grant_type", "R008", "Name the grant: grant_type=client_credentials.",
        "invalid_request", basic="admin", form=[("scope", "read:logs")], outside=True,
    ),
    token_refused(
        "another grant", "R009", "Passwords, codes and refresh tokens are for people: this server has one grant.",
        "unsupported_grant_type", basic="admin", form=[(GRANT, "password"), ("username", "a"), ("password", "b")],
        outside=True,
    ),
    token_refused(
        "a wrong secret, with Basic", "R020 R021 R022", "Check whether the secret ends with a space or a newline.",
        "invalid_client", 401, basic="wrong", form=granted(), outside=True,
    ),
    token_refused(
        "a wrong secret, in the form", "R023", "The same response as with Basic.",
        "invalid_client", 401, form=granted(("client_id", "{{admin_id}}"), ("client_secret", "kts_wrong")),
        outside=True,
    ),
    token_refused(
        "an unknown client", "R024", "The same response as for a wrong secret: it does not tell which clients exist.",
        "invalid_client", 401, form=granted(("client_id", "nobody"), ("client_secret", "kts_wrong")), outside=True,
    ),
    token_refused(
        "no credentials", "R022", "Only a client that authenticates gets a token.",
        "invalid_client", 401, form=granted(), outside=True,
    ),
    token_refused(
        "no secret", "R011", "An id alone proves nothing: there are no public clients here.",
        "invalid_client", 401, form=granted(("client_id", "{{admin_id}}")), outside=True,
    ),
    token_refused(
        "Basic that is not Base64", "R017", "The header is Basic, a space, and Base64 of id:secret.",
        "invalid_client", 401, headers={"Authorization": "Basic %%%"}, form=granted(), outside=True,
    ),
    token_refused(
        "Basic without a colon", "R017", "A colon separates id and secret.",
        "invalid_client", 401, headers={"Authorization": "Basic bm8tY29sb24="}, form=granted(), outside=True,
    ),
    token_refused(
        "Basic that is not UTF-8", "R017", "Credentials are text: bytes that are not UTF-8 are refused.",
        "invalid_client", 401, headers={"Authorization": "Basic /w=="}, form=granted(), outside=True,
    ),
    token_refused(
        "Basic and a secret in the form", "R018", "One way of authentication per request.",
        "invalid_request", basic="admin", form=granted(("client_secret", "{{admin_secret}}")), outside=True,
    ),
    token_refused(
        "a secret and an assertion", "R018", "A secret and a signed assertion are two ways as well.",
        "invalid_request", basic="admin", form=granted(("client_assertion", "x")), outside=True,
    ),
    token_refused(
        "an assertion without its type", "R031", "Both parameters belong together.",
        "invalid_request", form=granted(("client_assertion", BY_NOBODY)),
    ),
    token_refused(
        "the type without an assertion", "R031", "The type alone proves nothing.",
        "invalid_request", form=granted(("client_assertion_type", ASSERTION)),
    ),
    token_refused(
        "an assertion of another type", "R031 R038", "A client signs a JWT; SAML is another format.",
        "invalid_client", 401,
        form=granted(("client_assertion", "x"), ("client_assertion_type", ASSERTION.replace("jwt", "saml2"))),
    ),
    token_refused(
        "an assertion that is no JWT", "R031 R038", "An assertion is a JWT: three parts with dots between.",
        "invalid_client", 401, form=granted(("client_assertion", "x"), ("client_assertion_type", ASSERTION)),
    ),
    token_refused(
        "an assertion without a signature", "R037 R038", "Anyone could write it: alg none is never accepted.",
        "invalid_client", 401, form=granted(("client_assertion", NOT_SIGNED), ("client_assertion_type", ASSERTION)),
    ),
    token_refused(
        "an assertion signed with a secret", "R037 R038", "A public key is no secret: HMAC is never accepted.",
        "invalid_client", 401, form=granted(("client_assertion", BY_HMAC), ("client_assertion_type", ASSERTION)),
    ),
    token_refused(
        "an assertion of an unknown client", "R032 R038", "The same response as for a wrong key.",
        "invalid_client", 401, form=granted(("client_assertion", BY_NOBODY), ("client_assertion_type", ASSERTION)),
    ),
    token_refused(
        "an assertion beside another client's id", "R032 R038", "The assertion names the client, and so may client_id.",
        "invalid_client", 401,
        form=granted(
            ("client_id", "{{admin_id}}"), ("client_assertion", BY_NOBODY), ("client_assertion_type", ASSERTION)
        ),
    ),
    token_refused(
        "Basic, and another id in the form", "R019", "The request names two clients.",
        "invalid_request", basic="admin", form=granted(("client_id", "somebody-else")), outside=True,
    ),
    token_refused(
        "a scope beyond the client's", "R043",
        "The client is not registered for this scope; no scope is dropped silently.",
        "invalid_scope", basic="reporting", form=granted(("scope", "reports:read read:logs")),
    ),
    token_refused(
        "an unknown scope", "R043", "Check the spelling: keyturn.toml declares the scopes.",
        "invalid_scope", basic="reporting", form=granted(("scope", "reports:raed")), outside=True,
    ),
    token_refused(
        "a scope in another case", "R041", "Scopes are case-sensitive.",
        "invalid_scope", basic="reporting", form=granted(("scope", "Reports:Read")),
    ),
    token_refused(
        "two spaces in a scope", "R041", "Exactly one space separates two scopes.",
        "invalid_scope", basic="partner", form=granted(("scope", "inventory:read  inventory:write")), outside=True,
    ),
    token_refused(
        "a quote in a scope", "R041 R059", "Quotes, backslashes and control characters are not allowed in a scope.",
        "invalid_scope", basic="partner", form=granted(("scope", 'inventory:read"')), outside=True,
    ),
    token_refused(
        "scopes of two APIs", "R050", "A token is for one API: request one token for each.",
        "invalid_scope", basic="partner", form=granted(("scope", "inventory:read shipments:read")),
    ),
    token_refused(
        "a resource that is not a URI", "R045", "A resource is an absolute URI without a fragment.",
        "invalid_target", basic="partner", form=granted(("resource", "shipments")),
    ),
    token_refused(
        "a resource with a fragment", "R045", "What is behind a # is never sent to an API.",
        "invalid_target", basic="partner", form=granted(("resource", "{{base_url}}#inventory")),
    ),
    token_refused(
        "an unknown resource", "R046", "Addresses are compared as they are: a slash more names another API.",
        "invalid_target", basic="partner", form=granted(("resource", "{{shipments_audience}}/")),
    ),
    token_refused(
        "a resource of which the client has no scope", "R046", "The client is registered for another API.",
        "invalid_target", basic="reporting", form=granted(("resource", "{{shipments_audience}}")),
    ),
    token_refused(
        "a resource to which the scope does not belong", "R046", "Nothing of the scope remains.", "invalid_target",
        basic="partner", form=granted(("scope", "inventory:read"), ("resource", "{{shipments_audience}}")),
    ),
    token_refused(
        "two resources", "R046 R049", "A token is for one API: request one token for each.", "invalid_target",
        basic="partner", form=granted(("resource", "{{base_url}}"), ("resource", "{{shipments_audience}}")),
    ),
    access_refused(
        "no token", "R022 R100 R101", "Without a token there is no error code: the request is incomplete.",
        None, 401, outside=True,
    ),
    access_refused(
        "Basic instead of Bearer", "R101", "The API accepts tokens, not secrets.", None, 401, basic="admin",
        outside=True,
    ),
    access_refused(
        "garbage", "R069 R101", "Any text that is no token of this server is refused.",
        "invalid_token", 401, headers={"Authorization": "Bearer garbage"}, outside=True,
    ),
    access_refused(
        "a token with a changed signature", "R069", "One character more, and the signature no longer fits.",
        "invalid_token", 401, headers={"Authorization": "Bearer {{admin_token}}A"},
    ),
    access_refused(
        "Bearer without a token", "R101", "The request is malformed: a scheme with nothing after it.",
        "invalid_request", 400, headers={"Authorization": "Bearer"}, outside=True,
    ),
    access_refused(
        "a token without the scope", "R100 R101", "The token is good, but not for this: the challenge names the scope.",
        "insufficient_scope", 403, bearer="reporting_token",
        headers_are={"WWW-Authenticate": TOO_SMALL},
    ),
    access_refused(
        "reading is not writing", "R101", "read:all_data opens every GET, and no PUT.",
        "insufficient_scope", 403, method="PUT", path="/inventory/pallet-7", bearer="admin_token", json={"quantity": 1},
    ),
    access_refused(
        "a token in the URL", "R099", "URLs end up in logs.",
        "invalid_request", 400, path=LOGS + "?access_token={{admin_token}}",
    ),
    access_refused(
        "a token in the form", "R099", "A token must not be in the form either.",
        "invalid_request", 400, method="POST", path=LOGS, form=[("access_token", "{{admin_token}}")],
    ),
    access_refused(
        "a token in the header and in the URL", "R102", "One way of sending a token per request.",
        "invalid_request", 400, path=LOGS + "?access_token={{admin_token}}", bearer="admin_token",
    ),
    access_refused(
        "a token in the header and in the form", "R102", "One way of sending a token per request, here too.",
        "invalid_request", 400, method="POST", path=LOGS, form=[("access_token", "{{admin_token}}")],
        bearer="admin_token",
    ),
    access_refused(
        "a token for the shipments API, used here", "R103", "Its aud is the shipments API: here it opens nothing.",
        "invalid_token", 401, bearer="shipments_token",
    ),
    access_refused(
        "an expired token", "R069 R101", "Two seconds have passed. The client requests a new token.",
        "invalid_token", 401, bearer="brief_token", waits=3,
    ),
    Case(
        name="a limit that is not a number", clauses="R058", folder=API_ERRORS, method="GET", path=LOGS + "?limit=many",
        bearer="admin_token", teaches="A request with a valid token may still be wrong itself.",
        status=400, body=refused("invalid_request"),
    ),
    Case(
        name="an address that does not exist", clauses="R061", folder=API_ERRORS, method="GET", path="/nowhere",
        teaches="This response is JSON, too.", status=404, body=refused("not_found"), outside=True,
    ),
    Case(
        name="a slash too many", clauses="R061", folder=API_ERRORS, method="GET", path="/admin//logs",
        teaches="Paths are exact; there are no redirects.", status=404, body=refused("not_found"),
        outside=True,
    ),
    Case(
        name="a method that does not exist", clauses="R061", folder=API_ERRORS, method="DELETE", path="/inventory",
        teaches="The Allow header names the methods that exist.", status=405, headers_are={"Allow": re.compile("GET")},
        body=refused("invalid_request"), outside=True,
    ),
    Case(
        name="a body that is too long", clauses="R107", folder=API_ERRORS, path=TOKEN,
        form=granted(("padding", "{{padding}}")), teaches="KEYTURN_MAX_BODY_BYTES bounds every body.",
        status=413, body=refused("invalid_request"),
    ),
    Case(
        name="the metadata", clauses="R078 R080 R081 R082 R083 R084", folder=DESCRIBE, method="GET",
        path="/.well-known/oauth-authorization-server",
        teaches="A client that knows the issuer finds everything else here (RFC 8414).",
        headers_are={"Content-Type": "application/json"},
        body={
            "issuer": "{{base_url}}", "token_endpoint": "{{base_url}}/oauth/token",
            "introspection_endpoint": "{{base_url}}/oauth/introspect",
            "revocation_endpoint": "{{base_url}}/oauth/revoke",
            "service_documentation": "{{base_url}}/errors/",
            "jwks_uri": "{{base_url}}/.well-known/jwks.json", "response_types_supported": [],
            "grant_types_supported": [CC], "scopes_supported": list,
            "token_endpoint_auth_methods_supported": METHODS,
            "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "introspection_endpoint_auth_methods_supported": METHODS,
            "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "revocation_endpoint_auth_methods_supported": METHODS,
            "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        },
        absent=("authorization_endpoint",), outside=True,
    ),
    Case(
        name="the sample API's own metadata", clauses="R085", folder=DESCRIBE, method="GET",
        path="/.well-known/oauth-protected-resource",
        teaches="A client that knows only the API finds the authorization server here (RFC 9728): a 401 names it.",
        headers_are={"Content-Type": "application/json"},
        body={
            "resource": "{{base_url}}", "authorization_servers": ["{{base_url}}"], "scopes_supported": list,
            "bearer_methods_supported": ["header"],
        },
    ),
    Case(
        name="the keys", clauses="R072 R073 R074 R075 R076", folder=DESCRIBE, method="GET",
        path="/.well-known/jwks.json",
        teaches="An API that checks tokens fetches the public keys here, and may cache them for max-age seconds.",
        headers_are={"Content-Type": "application/json", "Cache-Control": re.compile("max-age=300"), "ETag": QUOTED},
        body={"keys": list}, outside=True, shows="verified_signature",
        every={"keys": {"kid": re.compile(r"^[\w-]{43}$"), "use": "sig", "alg": re.compile("^(RS|ES)256$")}},
    ),
    Case(
        name="a token, with a private key", clauses="R030 R031 R032 R033 R034 R039", folder=SIGN,
        teaches="The client signs a JWT about itself, an assertion, and sends it in place of a secret. The console "
        "shows what it says. The server has the public key alone: what leaks from it opens nothing.",
        form=granted(*SIGNED), signs="{{base_url}}", headers_are=NO_STORE, body=ISSUED | {"scope": "reports:read"},
        claims={"client_id": "{{signer_id}}", "sub": "{{signer_id}}", "aud": "{{base_url}}"},
    ),
    sign_refused(
        "the same assertion again", "R036 R038", "Each assertion works once, so one that was read on its way is of "
        "no use: the client signs a new one for each request. Send the request before this one first.",
        form=granted(*SIGNED), after="a token, with a private key",
    ),
    sign_refused(
        "an assertion for the address of the endpoint", "R033 R038", "The audience is the issuer, as the metadata "
        "has it, and not the address that the request is sent to: another server could have told the client that.",
        form=granted(*SIGNED), signs="{{base_url}}/oauth/token",
    ),
    replace(introspected(
        "introspect, with a private key", "R030 R086 R087", "An API that has a key signs for introspection too, "
        "with the same audience, and for revocation.",
        "{{shipments_token}}", ACTIVE | OF_PARTNER, form=SIGNED, signs="{{base_url}}",
    ), basic="", folder=SIGN),
)  # fmt: skip
