"""Client authentication with a key: a JWT that the client signs for each request (RFC 7523, section 2.2).

Only its form and its parties are looked at before its signature, and its `jti` is used last: what anyone can send
uses nothing up.
"""

from __future__ import annotations

from authlib.oauth2.rfc6749 import OAuth2Request
from flask import g

from app.audit import trail
from app.authentication import assertion, assertion_claims, limits, replay
from app.authentication.assertion import Assertion
from app.authentication.assertion_key import PUBLISHED, check_signature
from app.authentication.client_secret import GENERATED_ID, FindClient, find_state_fault
from app.checks import Check, making
from app.clients.client import Client
from app.clients.client_key import ClientKey
from app.clock import now
from app.refusals.errors import RefusedError, SourceFailedError

SIGNATURE = Check("assertion_key", "A key of the client has signed the assertion.", "RFC 7523, section 3")
ONCE = Check("assertion_once", "The assertion was not used before.", "RFC 7523, section 3")


def private_key_jwt(find_client: FindClient, request: OAuth2Request) -> Client | None:
    """The client that an assertion authenticates; None without one.

    Raises:
        RefusedError: `invalid_client`, with the same description whatever is wrong, and the exact reason;
            `invalid_request` for half of the two parameters. Past a limit of failures, `temporarily_unavailable`.
    """
    if not assertion.is_sent(request.form):
        return None
    client_id = ""
    try:
        sent = assertion.read(request.form)
        client_id = sent.client_id
        return authenticate(find_client, sent)
    except RefusedError as error:
        if error.error == "invalid_client" and not isinstance(error, SourceFailedError):
            limits.count_failure(client_id, error.reason)
        raise


def authenticate(find_client: FindClient, sent: Assertion) -> Client:
    making.now.check = SIGNATURE
    g.claimed_client_id = sent.client_id if GENERATED_ID.fullmatch(sent.client_id) else None
    client = find_client(sent.client_id)
    if client:
        g.claimed_client_id = client.client_id
    key = check_signature(client, sent)
    if client is None:  # `check_signature` has refused it
        raise AssertionError
    here = g._get_current_object()
    here.client_id, here.credential = client.client_id, key.kid
    jti, expires_at = assertion_claims.check_claims(sent.unverified_claims)
    if fault := find_state_fault(client, "private_key_jwt"):
        raise RefusedError("invalid_client", reason=fault)
    making.now.check = ONCE
    first_used_at = replay.use(client.client_id, jti, expires_at=expires_at)
    if first_used_at is not None:
        assertion_claims.refuse_replay(first_used_at)
    if key.id != PUBLISHED:
        trail.current_batch().touch(ClientKey.last_used_at, key.id, now())
    return client
