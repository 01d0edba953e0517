"""What a server's metadata and its keys show: findings, as in `judging.py`, each member for its clause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.endpoints import Endpoints
from conformance.exchange import Response
from conformance.finding import Finding

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
# RFC 8414, section 2: what counts if the member is left out.
DEFAULT_GRANTS = ["authorization_code", "implicit"]
DEFAULT_METHODS = ["client_secret_basic"]


def metadata(response: Response, endpoints: Endpoints, methods: set[str]) -> Iterator[Finding]:
    """What is wrong with the metadata (RFC 8414).

    Args:
        response: The response with it.
        endpoints: Where it was found, and the issuer that it has to name.
        methods: The authentication methods by which the client got a token; empty without a client.
    """
    found = response.members
    if response.media_type != "application/json":
        yield Finding("R078", "M", f"Content-Type is {response.media_type or 'missing'}")
    if str(found.get("issuer", "")).rstrip("/") != endpoints.issuer:
        yield Finding("R079", "M", f"the issuer is {found.get('issuer')}, and not {endpoints.issuer}")
    if not isinstance(found.get("token_endpoint"), str):
        yield Finding("R080", "M", "token_endpoint is missing")
    if not isinstance(found.get("response_types_supported"), list):
        yield Finding("R080", "M", "response_types_supported is missing, which section 2 requires")
    yield from members(found, methods)


def members(found: dict[str, Any], methods: set[str]) -> Iterator[Finding]:
    """What is wrong with the members that say what works."""
    if "client_credentials" not in names(found, "grant_types_supported", DEFAULT_GRANTS):
        yield Finding("R081", "M", "grant_types_supported does not list client_credentials")
    for method in sorted(methods - set(names(found, "token_endpoint_auth_methods_supported", DEFAULT_METHODS))):
        yield Finding("R082", "M", f"token_endpoint_auth_methods_supported does not list {method}, which works")
    for name in sorted(name for name, value in found.items() if value == [] and name != "response_types_supported"):
        yield Finding("R083", "M", f"{name} is empty, and must be left out")
    for name, level in (("scopes_supported", "S"), ("service_documentation", "D")):
        if name not in found:
            yield Finding("R084", level, f"{name} is missing")


def names(found: dict[str, Any], member: str, default: list[str]) -> list[str]:
    """The texts in a list of the metadata."""
    value = found.get(member, default)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def keys(response: Response) -> Iterator[Finding]:
    """What is wrong with the key set (RFC 7517)."""
    found = response.members.get("keys")
    if response.status != 200 or not isinstance(found, list):
        yield Finding("R072", "M", f"there is no JSON object with a list of keys: {response.status}")
        return
    if response.media_type not in {"application/json", "application/jwk-set+json"}:
        yield Finding("R072", "M", f"Content-Type is {response.media_type or 'missing'}")
    kids = {str(key["kid"]) for key in found if isinstance(key, dict) and "kid" in key}
    if len(kids) < len(found):
        yield Finding("R074", "S", "a key has no kid, or the kid of another")
    for key in found:
        yield from one_key(key if isinstance(key, dict) else {})
    if "max-age" not in response.headers.get("Cache-Control", "") or "ETag" not in response.headers:
        yield Finding("R076", "D", "max-age or ETag is not sent")


def one_key(key: dict[str, Any]) -> Iterator[Finding]:
    if private := sorted(PRIVATE & key.keys()):
        yield Finding("R073", "M", f"private members are published: {', '.join(private)}")
    if not key.keys() & {"use", "key_ops"} or "alg" not in key:
        yield Finding("R075", "S", "a key says neither use nor key_ops, or no alg")
    if key.get("kty") == "RSA" and len(str(key.get("n", ""))) < 342:  # 2,048 bits are 342 characters of base64url
        yield Finding("R075", "M", "an RSA key has fewer than 2,048 bits (RFC 7518, section 3.3)")
