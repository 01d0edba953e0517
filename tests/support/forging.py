"""Forged tokens for attacks: what this server would never issue, some signed with its own key."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from flask import Flask
from joserfc import jwk, jwt

from app.clock import now
from app.keys import keystore
from tests.conftest import ISSUER

LEFT_OUT = object()


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a valid token of an administrator, with these changes."""
    good = {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "demo-admin",
        "client_id": "demo-admin",
        "iat": now(),
        "exp": now() + 3_600,
        "jti": "forged",
        "scope": "read:logs write:logs",
    }
    return {name: value for name, value in (good | changes).items() if value is not LEFT_OUT}


def with_our_key(app: Flask, payload: dict[str, Any] | bytes, **header: Any) -> str:
    """A token signed by the server's own key."""
    with app.test_request_context():
        signer = keystore.signer()
    protected = {"alg": signer.alg, "kid": signer.kid, "typ": "at+jwt"} | header
    return with_header(app, {name: value for name, value in protected.items() if value is not LEFT_OUT}, payload)


def with_a_foreign_key(app: Flask, payload: dict[str, Any] | None = None) -> str:
    """A token of another server that uses our kid."""
    header = {"alg": "RS256", "kid": our_kid(app), "typ": "at+jwt"}
    return jwt.encode(header, claims() if payload is None else payload, jwk.RSAKey.generate_key(2048))


def with_the_public_key_as_secret(app: Flask, payload: dict[str, Any] | None = None) -> str:
    """HS256, with the public key as the shared secret (RFC 8725, section 2.1)."""
    with app.test_request_context():
        key = keystore.signer().key
    header = {"alg": "HS256", "kid": our_kid(app), "typ": "at+jwt"}
    signed = encoded(header, claims() if payload is None else payload)
    secret = key.as_pem(private=False)
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"


def unsigned(app: Flask, payload: dict[str, Any] | None = None) -> str:
    """With alg none, and no signature."""
    header = {"alg": "none", "kid": our_kid(app), "typ": "at+jwt"}
    return encoded(header, claims() if payload is None else payload) + "."


def our_kid(app: Flask) -> str:
    with app.test_request_context():
        return keystore.signer().kid


def with_header(app: Flask, header: dict[str, Any], payload: dict[str, Any] | bytes | None = None) -> str:
    """Our own signature under a header and a payload that joserfc would not write."""
    with app.test_request_context():
        key = keystore.signer().key.private_key
    signed = encoded(header, claims() if payload is None else payload)
    return f"{signed}.{base64url(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def encoded(*parts: dict[str, Any] | bytes) -> str:
    return ".".join(base64url(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
