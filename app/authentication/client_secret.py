"""Client authentication with a secret, by HTTP Basic or in the form (RFC 6749, section 2.3.1).

Authlib tries one method after the other. None means "not mine"; an exception means "mine, and bad".
Every failure costs the same work and gets the same response, whether or not the client exists and whether
or not the secret was right once.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import NoReturn
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import OAuth2Request
from flask import g

import config
from app.audit import trail
from app.authentication import limits
from app.checks import Check, making
from app.clients.client import AUTH_METHODS, Client
from app.clients.credential import has_ended
from app.clients.secret import ClientSecret, KnownSecret, find_matching
from app.clock import duration, now
from app.refusals import hints
from app.refusals.errors import RefusedError
from app.settings import current_settings

ONE_WAY = Check("one_mechanism", "The credentials are sent in one way only.", "RFC 6749, section 2.3")
CREDENTIALS = Check("credentials", "The request has credentials.", "RFC 6749, section 3.2.1")
BASIC = Check("basic", "The header is Basic, with id:secret in Base64.", "RFC 7617, section 2")
ONE_ID = Check("one_client_id", "The header and the form name the same client.", "RFC 6749, section 2.3.1")
KNOWN = Check("client_known", "The client is registered.", "RFC 6749, section 5.2")
SECRET = Check("secret", "The secret is one of the client's.", "RFC 6749, section 2.3.1")
NOT_ENDED = Check("secret_not_ended", "The secret has not ended.", "RFC 7591, section 3.2.1")
DEMO = Check("demo_allowed", "A demo client is used in development only.", "our own")
ENABLED = Check("client_not_disabled", "The client is not disabled.", "our own")
METHOD = Check("method", "The client is registered for this method of authentication.", "RFC 7591, section 2")

FindClient = Callable[[str], Client | None]
DEMO_IDS = {demo.client_id for demo in config.DEMO_CLIENTS}
GENERATED_ID = re.compile(r"ktc_[A-Za-z0-9_-]{22}")
UNKNOWN, WRONG_SECRET = "the client is unknown", "the secret is wrong"
ONE_MECHANISM = "Send the client's credentials in one way only: HTTP Basic, a secret in the form, or an assertion."


def client_secret_basic(find_client: FindClient, request: OAuth2Request) -> Client | None:
    """The client that HTTP Basic authenticates; None without an Authorization header.

    Raises:
        RefusedError: As `authenticate`; `invalid_request` for two mechanisms or two client ids.
    """
    refuse_two_mechanisms(request)
    making.now.check = CREDENTIALS
    header = request.headers.get("Authorization", "")
    if not header:
        return None
    try:
        client_id, plaintext = parse_basic(header)
    except RefusedError as error:
        limits.count_failure("", error.reason)  # an unreadable header counts as a guess too
        raise
    making.now.check = ONE_ID
    if request.form.get("client_id", client_id) != client_id:
        description = "The client_id in the form is not the one in the Authorization header."
        raise RefusedError("invalid_request", description)
    return authenticate(find_client, client_id, plaintext, method="client_secret_basic")


def client_secret_post(find_client: FindClient, request: OAuth2Request) -> Client | None:
    """The client that a secret in the form authenticates; None without one.

    Raises:
        RefusedError: As `authenticate`; `invalid_request` for two mechanisms.
    """
    refuse_two_mechanisms(request)
    making.now.check = CREDENTIALS
    if "client_secret" not in request.form:
        return None
    client_id, plaintext = request.form.get("client_id", ""), request.form["client_secret"]
    return authenticate(find_client, client_id, plaintext, method="client_secret_post")


def refuse_two_mechanisms(request: OAuth2Request) -> None:
    """RFC 6749, section 2.3. Authlib accepts several at once, and takes whichever is right."""
    sent = [name for name in ("client_secret", "client_assertion") if name in request.form]
    if request.headers.get("Authorization"):
        sent.append("an Authorization header")
    making.now.check = ONE_WAY
    if len(sent) > 1:
        raise RefusedError("invalid_request", ONE_MECHANISM, reason=f"the request has {' and '.join(sent)}")


def parse_basic(header: str) -> tuple[str, str]:
    """The id and the secret in an `Authorization: Basic …` header.

    Both are form-encoded inside the Base64 (RFC 6749, section 2.3.1 and appendix B), and the first
    colon separates them (RFC 7617, section 2).

    Raises:
        RefusedError: `invalid_client` for any other scheme, or if it cannot be decoded.
    """
    making.now.check = BASIC
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":  # RFC 9110, section 11.1: in any case
        refuse("the scheme of the Authorization header is not Basic")
    try:
        # In Authlib, bytes that are not UTF-8 raise, and end in HTTP 500.
        decoded = base64.b64decode(encoded.strip(" "), validate=True).decode("utf-8")
        client_id, colon, plaintext = decoded.partition(":")
        pair = unquote_plus(client_id, errors="strict"), unquote_plus(plaintext, errors="strict")
    except ValueError:
        refuse("the Basic credentials are not Base64 of UTF-8")
    if not colon:
        refuse("the Basic credentials have no colon")
    return pair


def authenticate(find_client: FindClient, client_id: str, plaintext: str, *, method: str) -> Client:
    """Authenticate a client.

    Raises:
        RefusedError: `invalid_client`, with the same description whatever is wrong, and the exact reason. Past
            a limit of failures, `temporarily_unavailable` with 429.
    """
    # What was sent as an id may be a secret in the wrong field: only what is certainly an id is recorded.
    g.claimed_client_id = client_id if GENERATED_ID.fullmatch(client_id) else None
    # PostgreSQL raises for a NUL byte; no id has one.
    client = find_client(client_id.replace("\x00", "?"))
    known = client.secrets if client else []
    secret = find_matching(known, plaintext)
    fault = find_fault(client, secret, method)
    if client and secret:
        here = g._get_current_object()  # once: each look at `g` calls four functions
        here.client_id, here.credential = client.client_id, secret.name
    elif client:
        g.claimed_client_id = client.client_id
    if client and secret and not fault:
        trail.current_batch().touch(ClientSecret.last_used_at, secret.id, now())
        return client
    raise failure(client_id, plaintext, known, fault or WRONG_SECRET)


def failure(client_id: str, plaintext: str, known: Sequence[KnownSecret], fault: str) -> RefusedError:
    """Count a failure, after the same work whatever was wrong (R024)."""
    nearly = [why for meant, why in hints.nearly_the_secret(plaintext) if find_matching(known, meant)]
    if fault == WRONG_SECRET and nearly:
        fault = nearly[0]
    elif fault == UNKNOWN:
        fault = UNKNOWN + hints.odd_id(client_id)
    limits.count_failure(client_id, fault)
    return RefusedError("invalid_client", reason=fault)


def find_fault(client: Client | None, secret: KnownSecret | None, method: str) -> str | None:
    """Why the authentication fails; None if it does not."""
    making.now.check = KNOWN
    if client is None:
        return UNKNOWN
    making.now.check = SECRET
    if secret is None:
        return WRONG_SECRET
    making.now.check = NOT_ENDED
    if secret.not_after is not None and has_ended(secret):
        # An end that an operator ordered may be in the future on this machine's clock.
        return f"the secret {secret.name} expired {duration(max(0, now() - secret.not_after))} ago"
    return find_state_fault(client, method)


def find_state_fault(client: Client, method: str) -> str | None:
    """Why a client may not authenticate in this way, whose secret or key is right; None if it may."""
    making.now.check = DEMO
    if current_settings().is_production and client.client_id in DEMO_IDS:
        return "demo clients are refused in production"
    making.now.check = ENABLED
    if client.is_disabled():
        return "the client is disabled"
    making.now.check = METHOD
    if not client.check_endpoint_auth_method(method, "token"):
        return f"the client is registered for {client.token_endpoint_auth_method}, {AUTH_METHODS[method]} was sent"
    return None


def refuse(reason: str) -> NoReturn:
    raise RefusedError("invalid_client", reason=reason)
