"""The steps of the lesson, as data: what to do, a command to type, and what proves that it was done."""

from __future__ import annotations

import re

import config
from app.journal.entry import Entry
from app.lesson.step import Need, Step

SECRET = "kts_{}-is-for-learning-only"
ADMIN = f"demo-admin:{SECRET.format('demo-admin')}"
REPORTING = f"demo-reporting:{SECRET.format('demo-reporting')}"
PARTNER = f"demo-partner:{SECRET.format('demo-partner')}"
API = f"demo-shipments:{SECRET.format('demo-shipments')}"
GRANT = "-d grant_type=client_credentials"
PICK = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
DEMO_IDS = {demo.client_id for demo in config.DEMO_CLIENTS}
REFUSALS = 5
# What a reason repeats of the request.
SENT = re.compile(r"^.+(?= was sent, a form )|\b(scope|grant type|URL has|twice:|fault) .*?(?= is |$)")


def token_from(client: str, more: str = "") -> str:
    return f"TOKEN=$(curl -s -u {client} {GRANT}{more} ISSUER/oauth/token | {PICK})"


def is_issued(entry: Entry) -> bool:
    return entry.endpoint == "oauth.token" and entry.status == 200


def is_issued_by(auth: str) -> Need:
    named = {"basic": "a token with HTTP Basic", "post": "a token with the credentials in the form"}
    return Need(named[auth], lambda entry: is_issued(entry) and entry.auth == auth)


def is_called(entry: Entry) -> bool:
    """Whether a guarded route, one of the samples or another, accepted the token."""
    return entry.auth == "bearer" and entry.is_authenticated and entry.status < 300


def kind_of_refusal(entry: Entry) -> str:
    """What was wrong with a request to the token endpoint: its code, and its reason without what was sent."""
    if entry.endpoint != "oauth.token" or not entry.error:
        return ""
    constant = SENT.sub("", entry.reason.partition(";")[0])
    return f"{entry.error} {constant}"


def is_own_route(entry: Entry) -> bool:
    return is_called(entry) and not entry.endpoint.startswith(("samples.", "oauth.")) and bool(entry.endpoint)


STEPS = (
    Step(
        1,
        "Read what the server says about itself",
        "Its metadata names every address, and the JWKS has the keys that check its tokens.",
        "curl -s METADATA; curl -s ISSUER/.well-known/jwks.json",
        (
            Need("the metadata", lambda entry: entry.status == 200 and "oauth-authorization-server" in entry.path),
            Need("the JWKS", lambda entry: entry.status == 200 and entry.path.endswith("/jwks.json")),
        ),
    ),
    Step(
        2,
        "Request a token",
        "The client sends its id and its secret with HTTP Basic.",
        f"curl -s -u {REPORTING} {GRANT} ISSUER/oauth/token",
        (is_issued_by("basic"),),
        (
            (
                lambda entry: is_issued(entry) and entry.auth == "post",
                "you sent the credentials in the form: that is step 3",
            ),
        ),
    ),
    Step(
        3,
        "Request one with the credentials in the form",
        "This is the second of the two ways; a client is registered for one of them, or for both.",
        f"curl -s {GRANT} -d client_id={REPORTING.replace(':', ' -d client_secret=')} ISSUER/oauth/token",
        (is_issued_by("post"),),
        (
            (
                lambda entry: is_issued(entry) and entry.auth == "basic",
                "you sent the credentials with HTTP Basic: that is step 2",
            ),
        ),
    ),
    Step(
        4,
        "Request a token with the scope that you choose",
        "A client requests only what it needs; without a scope it gets its default.",
        f"curl -s -u {ADMIN} {GRANT} -d scope=read:logs ISSUER/oauth/token",
        (Need("a token with a scope of your choice", lambda entry: is_issued(entry) and entry.scope),),
        ((is_issued, "you requested no scope: add -d scope=read:logs"),),
    ),
    Step(
        5,
        "Call a guarded route",
        "The token goes into the header Authorization, after the word Bearer.",
        f'{token_from(REPORTING)}; curl -s -H "Authorization: Bearer $TOKEN" ISSUER/internal/reports',
        (Need("a guarded route that accepts your token", is_called),),
        ((lambda entry: entry.error == "no_token", "you sent no token: the header is Authorization: Bearer TOKEN"),),
    ),
    Step(
        6,
        "See two refusals: without a token, and with too small a scope",
        "401 means: send a valid token. 403 means: the token is valid, but lacks the scope.",
        f'curl -i ISSUER/admin/logs; {token_from(REPORTING)}; curl -i -H "Authorization: Bearer $TOKEN" '
        "ISSUER/admin/logs",
        (
            Need("a call without a token (401)", lambda entry: entry.error == "no_token"),
            Need("a call with too small a scope (403)", lambda entry: entry.error == "insufficient_scope"),
        ),
    ),
    Step(
        7,
        "Meet an expired token",
        "The tokens of demo-brief live for two seconds; a client simply requests a new one.",
        f"{token_from('demo-brief:' + SECRET.format('demo-brief'))}; sleep 3; "
        'curl -i -H "Authorization: Bearer $TOKEN" ISSUER/admin/logs',
        (Need("an expired token", lambda entry: entry.error == "invalid_token" and " expired " in entry.reason),),
        (
            (
                lambda entry: is_called(entry) and entry.client_id == "demo-brief",
                "you were too quick: wait for 2 seconds",
            ),
        ),
    ),
    Step(
        8,
        "Introspect a token",
        "This is the second way to check a token: the API sends it to the server, with credentials of its own.",
        f"{token_from(PARTNER, ' -d scope=shipments:read')}; "
        f'curl -s -u {API} -d "token=$TOKEN" ISSUER/oauth/introspect',
        (Need("a token that is active", lambda entry: entry.active is True),),
        (
            (
                lambda entry: entry.active is False,
                "the token was not active: it must be for the API that introspects it",
            ),
        ),
    ),
    Step(
        9,
        "Revoke a token, and see it refused",
        "Only the client that a token was issued to can revoke it.",
        f'{token_from(ADMIN)}; curl -s -u {ADMIN} -d "token=$TOKEN" ISSUER/oauth/revoke; '
        'curl -i -H "Authorization: Bearer $TOKEN" ISSUER/admin/logs',
        (
            Need("a revocation", lambda entry: entry.endpoint == "oauth.revocation" and entry.status == 200),
            # An API elsewhere refuses it after an introspection, which the journal has.
            Need("the revoked token, refused", lambda entry: entry.reason == "the token was revoked"),
        ),
    ),
    Step(
        10,
        "Break it in five different ways",
        "Send a wrong secret, an unknown scope, JSON, the secret in the URL, a parameter twice; read each hint.",
        f"curl -s -u demo-admin:wrong {GRANT} ISSUER/oauth/token",
        (Need("different refusals at the token endpoint", kind_of_refusal, REFUSALS),),
    ),
    Step(
        11,
        "Explain a refusal by its request id",
        "The caller gets a constant text; the operator finds the reason by the X-Request-Id of the response.",
        ".venv/bin/flask explain REQUEST_ID",
        (Need("flask explain with the id of a refusal", lambda entry: entry.command == "explain"),),
        (
            (
                lambda entry: entry.command == "explain --last",
                "you explained the last request: take the id from a response",
            ),
        ),
    ),
    Step(
        12,
        "Guard a route of your own, and call it with a client of your own",
        "You need a view below @require_oauth, and flask clients create: the tutorial shows both.",
        ".venv/bin/flask clients create billing --scope read:logs",
        (
            Need(
                "your route, called with a token of your client",
                lambda entry: is_own_route(entry) and entry.client_id not in DEMO_IDS,
            ),
        ),
        ((is_own_route, "your route accepted a demo client: call it with a client of your own"),),
    ),
)
