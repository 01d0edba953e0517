"""Hints at the cause of a refusal: a secret that is nearly right, a word or an address that is misspelt.

No decision depends on a hint. It goes into the reason of a refusal, for the operator, and in development
for the caller. A word of the request is part of it only as `shown` returns it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from urllib.parse import unquote_plus

from werkzeug.exceptions import BadRequestKeyError

import config
from app.logs import REDACTED, shown, shown_path

DEMO_IDS = {demo.client_id for demo in config.DEMO_CLIENTS}
MEDIA_TYPES = {
    "application/json": "JSON was sent",
    "multipart/form-data": "a multipart form was sent",
    "": "no media type was sent",
}
MAX_COMPARED_CHARACTERS = 100
NO_CREDENTIALS = "neither Basic, nor a secret in the form, nor a signed assertion was sent"
# The ends of addresses that other servers have, with ours; and those for which there is nothing here.
USUAL = {
    "token": "/oauth/token",
    "tokens": "/oauth/token",
    "access_token": "/oauth/token",
    "introspect": "/oauth/introspect",
    "introspection": "/oauth/introspect",
    "tokeninfo": "/oauth/introspect",
    "token_info": "/oauth/introspect",
    "revoke": "/oauth/revoke",
    "revocation": "/oauth/revoke",
    "jwks": "/.well-known/jwks.json",
    "jwks.json": "/.well-known/jwks.json",
    "certs": "/.well-known/jwks.json",
    "keys": "/.well-known/jwks.json",
    "oauth-authorization-server": "/.well-known/oauth-authorization-server",
}
NOBODY_LOGS_IN = "nobody logs in here, and a client requests its token directly"
ABSENT = dict.fromkeys(("authorize", "authorization", "auth", "login", "logout", "userinfo", "device"), NOBODY_LOGS_IN)
ABSENT["register"] = "an operator registers clients with flask clients create"


def nearly_the_secret(sent: str) -> tuple[tuple[str, str], ...]:
    """Secrets that the caller may have meant, each with what is wrong then: always three, for equal work (R024)."""
    ends = "the secret ends with a newline" if sent.endswith("\n") else "there is white space around the secret"
    return (
        (sent.strip(), ends),
        (sent.strip("\"' \r\n"), "the secret is in quotes"),
        (unquote_plus(sent, errors="replace"), "the secret would match after percent-decoding"),
    )


def odd_id(sent: str) -> str:
    """What is wrong with the form of an unknown client id, after a comma; the id is not repeated.

    By its form alone: whether another spelling is a client's is never looked up, for equal work (R024).
    """
    meant = sent.strip().strip("\"'\ufeff")
    shapes = (
        (not sent, "client_id is missing or empty"),
        (meant.lower().startswith("kts_"), "its id looks like a secret"),
        (sent.startswith("\ufeff"), "its id begins with a byte order mark"),
        (sent.endswith("\n"), "its id ends with a newline"),
        (sent != sent.strip(), "there is white space around its id"),
        (sent != meant, "its id is in quotes"),
        (unquote_plus(sent, errors="replace") != sent, "its id is percent-encoded once too often"),
        (meant.lower().startswith("ktc_") and not meant.startswith("ktc_"), "its id is in another case than ktc_"),
        (meant != meant.lower() and meant.lower() in DEMO_IDS, "its id is in another case than a demo client's"),
    )
    return next((f", {why}" for is_so, why in shapes if is_so), "")


def unknown_scope(word: str, known: Iterable[str]) -> str:
    """What is wrong with a word of a scope that is not declared."""
    if "," in word:
        return "the words of the scope are separated by commas, not by spaces"
    found = get_close_matches(word, list(known), n=1)
    return f"the scope {shown(word)} is unknown" + (f"; did you mean {found[0]}?" if found else "")


def unknown_address(path: str, known: Mapping[str, Collection[str]], method: str = "GET") -> str:
    """What is wrong with a path that no route has.

    Args:
        path: The path.
        known: The path of each route, with its methods.
        method: The method of the request: if the address that is meant has others, they are named.
    """
    is_shown = shown_path(path) == path and len(path) <= MAX_COMPARED_CHARACTERS
    nothing = f"there is nothing at {path}" if is_shown else "there is nothing at this address"
    metadata = address_below("/.well-known/oauth-authorization-server", known) or "/"
    if "openid-configuration" in path:
        return f"{nothing}: this is not an OpenID provider, and its metadata is at {metadata}"
    exact = re.sub("/+", "/", path).rstrip("/")
    if exact in known:
        return f"{nothing}, which has a slash too many; did you mean {with_method(exact, known, method)}?"
    last = exact.lower().rpartition("/")[2]
    if last in ABSENT:
        return f"{nothing}: {ABSENT[last]}; the metadata is at {metadata}"
    usual = address_below(USUAL.get(last, "none"), known)
    found = [usual] if usual else get_close_matches(path.lower()[:MAX_COMPARED_CHARACTERS], list(known), n=1)
    meant = f"did you mean {with_method(found[0], known, method)}?" if found else f"the metadata is at {metadata}"
    return f"{nothing}; {meant}"


def address_below(path: str, known: Iterable[str]) -> str | None:
    """The address that is this path: below the issuer's path, or with that behind it, as RFC 8414, section 3 has it."""
    return next((rule for rule in known if rule.endswith(path) or rule.startswith(path)), None)


def with_method(path: str, known: Mapping[str, Collection[str]], method: str) -> str:
    """The path, after the methods that it supports if the one of the request is not among them."""
    return path if method.replace("HEAD", "GET") in known[path] else f"{' or '.join(sorted(known[path]))} {path}"


def unsupported_method(method: str, path: str, supported: Iterable[str] | None) -> str:
    """What is wrong with a method that an address does not support."""
    usable = " or ".join(sorted({*(supported or ())} - {"HEAD"})) or "another method"
    return f"{shown(method)} is not supported at {shown_path(path)[:MAX_COMPARED_CHARACTERS]}; use {usable}"


def missing_from_request(error: Exception) -> str:
    """The field that a view read as `request.form["name"]` and that was not sent, or an empty text."""
    return f"the request has no {shown(str(error.args[0]))}" if isinstance(error, BadRequestKeyError) else ""


def sent_instead(media_type: str) -> str:
    """What was sent instead of a form."""
    form, slash, variety = media_type.partition("/")
    is_one = slash and "/" not in variety and REDACTED not in (shown(form), shown(variety))
    return MEDIA_TYPES.get(media_type, f"{media_type if is_one else 'an unknown media type'} was sent")


def missing(name: str, sent: Sequence[tuple[str, str]]) -> str:
    """Why a parameter is missing from the names and values of a form."""
    if sent and sent[0][0].lstrip().startswith(("{", "[")):
        return f"the parameter {name} is missing: JSON was sent, labelled as a form"
    return f"The parameter {name} is missing."


def sent_twice(names: Iterable[str], known: Collection[str]) -> str:
    """Which parameters were sent twice; an unknown name is not shown, as it may be a secret in the wrong place."""
    return f"twice: {' '.join(dict.fromkeys(name if name in known else 'an unknown parameter' for name in names))}"


def unsupported_grant(sent: str, supported: str) -> str:
    """What is wrong with a grant type that is not supported."""
    if sent.strip() == supported:
        return f"{supported} ends with a newline" if sent.endswith("\n") else f"there is white space around {supported}"
    return f"the grant type {shown(sent)} is not supported"
