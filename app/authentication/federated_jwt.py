"""Client authentication with a token of another issuer that the client trusts: its platform's (RFC 7523, section 3).

To the caller such a token is a client assertion like any other; `federated_jwt` is our own word for the method. It is
not signed for one request, and may be used again while it lives.
"""

from __future__ import annotations

from authlib.oauth2.rfc6749 import OAuth2Request
from flask import g

from app.audit import trail
from app.authentication import federation_token, limits
from app.authentication.client_secret import GENERATED_ID, UNKNOWN, FindClient, find_state_fault
from app.authentication.federation_claims import check_claims
from app.authentication.federation_trust import find_trust
from app.clients.client import TRUST_METHOD, Client
from app.clients.client_trust import ClientTrust
from app.clock import now
from app.refusals.errors import RefusedError, SourceFailedError
from config import Issuer


def federated_jwt(find_client: FindClient, request: OAuth2Request) -> Client | None:
    """The client that a token of another issuer authenticates; None unless its `iss` is an issuer of keyturn.toml.

    Raises:
        RefusedError: `invalid_client`, with the same description whatever is wrong, and the exact reason. Past a
            limit of failures, and while the keys of the issuer are fetched, `temporarily_unavailable`.
    """
    issuer = federation_token.declared_issuer(request.form)
    if issuer is None:
        return None
    client_id = request.form.get("client_id", "").replace("\x00", "?")  # PostgreSQL raises for a NUL byte
    g.claimed_client_id = client_id if GENERATED_ID.fullmatch(client_id) else None
    try:
        return authenticate(find_client, issuer, request.form["client_assertion"], client_id)
    except RefusedError as error:
        if error.error == "invalid_client" and not isinstance(error, SourceFailedError):
            limits.count_failure(client_id, error.reason)
        raise


def authenticate(find_client: FindClient, issuer: Issuer, token: str, client_id: str) -> Client:
    claims = federation_token.checked_claims(issuer, token)
    check_claims(issuer, claims)
    trust = find_trust(issuer, claims, client_id)
    client = find_client(trust.client_id)
    if client is None:  # it was deleted just now
        raise RefusedError("invalid_client", reason=UNKNOWN)
    here = g._get_current_object()
    here.client_id, here.credential = client.client_id, trust.name
    if fault := find_state_fault(client, TRUST_METHOD):
        raise RefusedError("invalid_client", reason=fault)
    trail.current_batch().touch(ClientTrust.last_used_at, trust.id, now())
    return client
