"""What each request of the folder of faults checks: that the fault is there, and not only the header that names it."""

from __future__ import annotations

from app.faults.bad_issuers import JWKS, METADATA, is_about
from app.faults.bad_tokens import ELSEWHERE
from app.faults.fault_layer import HEADER
from app.faults.table import Fault, Kind
from tests.support.scripts import PHRASES, expects, js, read, test

# A sentence, and what must be true.
Check = tuple[str, str]

MEMBERS = "pm.expect(pm.response.json())"
TEXT = "pm.expect(pm.response.text())"
# A tool's `json()` throws an error, or returns the text.
NOT_JSON = "let body;\ntry {\n    body = pm.response.json();\n} catch (error) {\n    console.log(error.message);\n}"
NOW = "Date.now() / 1000"
ERRORS = {401: "invalid_client", 500: "server_error"}
LATER = "temporarily_unavailable"


def type_is(media_type: str) -> Check:
    sentence = f"The Content-Type is {media_type}"
    return sentence, f'pm.expect(pm.response.headers.get("Content-Type")).to.include({js(media_type)})'


def missing(member: str) -> tuple[Check, ...]:
    others = [name for name in ("access_token", "token_type", "expires_in") if name != member]
    return (
        (f"There is no {member}", f"{MEMBERS}.to.not.have.property({js(member)})"),
        ("The rest is there", f"{MEMBERS}.to.include.all.keys({', '.join(map(js, others))})"),
    )


RESPONSES: dict[str, tuple[Check, ...]] = {
    "slow-5s": (
        ("The response comes a second late", "pm.expect(pm.response.responseTime).to.be.at.least(990)"),
        ("It is a whole token response", f'{MEMBERS}.to.include.all.keys("access_token", "token_type", "expires_in")'),
    ),
    "truncated": (
        ("The body is no JSON", 'pm.expect(body).to.not.be.an("object")'),
        ("It is the beginning of a token response", f'{TEXT}.to.include("access_token").and.not.include("expires_in")'),
        type_is("application/json"),
    ),
    "html": (
        type_is("text/html"),
        ("The body is a page of HTML", f'{TEXT}.to.include("<!doctype html>")'),
    ),
    "redirect": (
        type_is("text/html"),
        (
            "The status is 302 Found, or the tool has followed it to the page of HTML",
            'pm.expect(pm.response.code === 302 ? pm.response.headers.get("Location") : pm.response.text())'
            '.to.include("/errors/")',
        ),
    ),
    "empty": (
        ("The body is empty", 'pm.expect(pm.response.headers.get("Content-Length")).to.eql("0")'),
        type_is("application/json"),
    ),
    "wrong-type": (
        type_is("text/plain"),
        ("The body is a token response", f'{TEXT}.to.include("access_token")'),
    ),
    "no-access-token": missing("access_token"),
    "no-token-type": missing("token_type"),
    "no-expires-in": missing("expires_in"),
    "negative-expires-in": (("expires_in is -1", "pm.expect(pm.response.json().expires_in).to.eql(-1)"),),
    "text-expires-in": (
        ("expires_in is a string", 'pm.expect(pm.response.json().expires_in).to.be.a("string").and.match(/^[0-9]+$/)'),
    ),
    "less-scope": (
        ("The scope is one of the two requested", 'pm.expect(pm.response.json().scope).to.eql("inventory:read")'),
    ),
}
TOKENS: dict[str, Check] = {
    "expired": ("The token has expired", f"pm.expect(claims.exp).to.be.below({NOW})"),
    "not-yet-valid": ("The token is not yet valid", f"pm.expect(claims.nbf).to.be.above({NOW})"),
    "wrong-audience": ("The token is for another API", f"pm.expect(claims.aud).to.eql({js(ELSEWHERE.format('api'))})"),
    "wrong-issuer": (
        "The token is from another issuer",
        f"pm.expect(claims.iss).to.eql({js(ELSEWHERE.format('issuer'))})",
    ),
    "unknown-kid": ("The token names a key", 'pm.expect(header.kid).to.be.a("string").and.not.empty'),
    "wrong-typ": ("The token's typ is JWT", 'pm.expect(header.typ).to.eql("JWT")'),
    "no-scope": ("The token has no scope", 'pm.expect(claims).to.be.an("object").and.not.have.property("scope")'),
    "alg-none": (
        "The token has alg none, and no signature",
        'pm.expect([header.alg, token.split(".")[2]]).to.eql(["none", ""])',
    ),
    "hmac": ("The token is signed by HMAC", 'pm.expect(header.alg).to.eql("HS256")'),
    "bad-signature": ("The token looks good", 'pm.expect([header.typ, claims.client_id]).to.eql(["at+jwt", FAULT])'),
}
HINTS = {
    "expired": "the token expired",
    "not-yet-valid": "nbf is",
    "wrong-audience": "another API",
    "wrong-issuer": "another issuer",
    "unknown-kid": "kid names none of the published keys",
    "wrong-typ": "typ is not at+jwt",
    "no-scope": "lacks the scope",
    "alg-none": "an algorithm that is not allowed",
    "hmac": "an algorithm that is not allowed",
    "bad-signature": "signature is wrong",
}
ISSUERS: dict[str, Check] = {
    "metadata-slow-5s": ("It names the issuer", "pm.expect(pm.response.json().issuer).to.eql(ISSUER)"),
    "metadata-empty": ("The metadata is empty", f"{MEMBERS}.to.eql({{}})"),
    "metadata-other-issuer": (
        "It names another issuer than the one in the address",
        f"pm.expect(pm.response.json().issuer).to.eql({js(ELSEWHERE.format('issuer'))})",
    ),
    "jwks-slow-5s": ("There are keys", 'pm.expect(pm.response.json().keys).to.be.an("array").and.not.empty'),
    "jwks-empty": ("There is no key", f"{MEMBERS}.to.eql({{ keys: [] }})"),
    "jwks-rotated": (
        "There are keys, but not that of the token",
        'pm.expect(pm.response.json().keys.map((each) => each.kid)).to.be.an("array").and.not.empty'
        ".and.not.include(header.kid)",
    ),
}


def document(fault: Fault) -> str:
    """The document of an issuer that the fault changes."""
    return METADATA if is_about(fault.name, METADATA) else JWKS


def status(code: int) -> str:
    return test(f"The status is {code} {PHRASES[code]}", f"pm.response.to.have.status({code})")


def after(fault: Fault, name: str) -> list[str]:
    """The tests of a request; `name` is that of the fault, with its seconds."""
    if fault.name in ("drop", "cut"):
        return of_connection()
    if fault.kind is Kind.TOKEN:
        return of_token(fault)
    named = [] if fault.name == "redirect" else [expects(f"The header {HEADER}", header(HEADER), name)]
    return named + (of_response(fault) if fault.kind is Kind.RESPONSE else of_issuer(fault, name))


def header(name: str) -> str:
    return f"pm.response.headers.get({js(name)})"


def of_connection() -> list[str]:
    return [
        "// The first is what Node.js says, the second what Bruno makes of a body that ends too early.",
        test(
            "The first attempt ended without a whole response",
            'pm.expect(pm.variables.replaceIn("{{connection_error}}")).to.be.oneOf(["ECONNRESET", "ERR_BAD_RESPONSE"])',
        ),
        status(200),
        test("The second attempt got a token", f'{MEMBERS}.to.include.all.keys("access_token", "token_type")'),
    ]


def of_response(fault: Fault) -> list[str]:
    if fault.name.isdecimal():
        return refusal(int(fault.name))
    lines = NOT_JSON.splitlines() if fault.name == "truncated" else []
    lines += [] if fault.name == "redirect" else [status(200)]
    return lines + [test(*check) for check in RESPONSES[fault.name]]


def refusal(code: int) -> list[str]:
    error = ERRORS.get(code, LATER)
    lines = [status(code), expects("error", "pm.response.json().error", error)]
    return lines + ([expects("The header Retry-After", header("Retry-After"), "1")] if error == LATER else [])


def of_token(fault: Fault) -> list[str]:
    code, error = (403, "insufficient_scope") if fault.name == "no-scope" else (401, "invalid_token")
    sentence, check = TOKENS[fault.name]
    check = check.replace("FAULT", 'pm.variables.replaceIn("{{fault_id}}")')
    hint = HINTS[fault.name]
    return [
        *read("fault_in_token"),
        "",
        test(sentence, check),
        status(code),
        expects("error", "pm.response.json().error", error),
        test(f"The hint says: {hint}", f"pm.expect(pm.response.json().hint).to.include({js(hint)})"),
    ]


def of_issuer(fault: Fault, name: str) -> list[str]:
    if fault.name.endswith("-down"):
        return [status(503), expects("error", "pm.response.json().error", LATER)]
    sentence, check = ISSUERS[fault.name]
    issuer = f'pm.variables.replaceIn("{{{{base_url}}}}/faults/{name}")'
    lines = read("fault_in_token") if fault.name == "jwks-rotated" else []
    lines += [status(200), test(sentence, check.replace("ISSUER", issuer))]
    return lines + ([test(*RESPONSES["slow-5s"][0])] if "slow" in fault.name else [])
