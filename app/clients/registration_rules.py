"""The rules of a registration: each `checked_…` returns the value to store, or raises `RegistrationError`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Literal

import config
from app.clients import scope as scopes
from app.clients.client import AUTH_METHODS, TOKEN_FORMATS
from app.settings import current_settings

# A name never looks like an id or a secret: every command takes a name or an id.
NAME = re.compile(r"(?!kt[a-z]_)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CLAIM_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
# A token is sent in a header: with these bounds it stays below 6,144 characters (RFC 6749, section 5.1).
MAX_SCOPE_CHARACTERS = 1_024
MAX_CLAIMS_CHARACTERS = 2_048
# The server's own claims, in a token or at introspection; `gen` is private. RFC 7519, section 4.1; RFC 7662, section
# 2.2; RFC 7800, section 3.1; RFC 8693, sections 4.1 and 4.4; RFC 9068, section 2.2.
RESERVED_CLAIMS = {
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "auth_time",
    "acr",
    "amr",
    "cnf",
    "act",
    "may_act",
    "token_type",
    "active",
    "username",
    "gen",
}


class RegistrationError(ValueError):
    """A change that the registry refuses; the text says why, and `at` which part of a value is wrong, if it has any."""

    at: tuple[str, ...] = ()


def checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise RegistrationError(
            "a name is 1 to 64 letters, digits, dots, dashes and underscores, and does not look like an id"
        )
    return name


def checked_client_name(name: str) -> str:
    if name in {demo.client_id for demo in config.DEMO_CLIENTS}:
        raise RegistrationError(f"the name {name} is a demo client's")
    return checked_name(name)


def checked_scope(scope: str) -> str:
    if not scope:
        raise RegistrationError(f"--scope is missing; {what_is_declared()}")
    if len(scope) > MAX_SCOPE_CHARACTERS:
        raise RegistrationError(f"a scope is at most {MAX_SCOPE_CHARACTERS} characters")
    try:
        wanted = scopes.words(scope)
        scopes.audiences(wanted)  # raises for a word that is declared nowhere
        return " ".join(wanted)
    except scopes.UndeclaredScopeError as error:
        restart = "a running server reads it when it restarts"
        raise RegistrationError(f"{error}. {what_is_declared()}; {restart}".replace("?. ", "? ")) from error
    except ValueError as error:
        raise RegistrationError(str(error)) from error


def what_is_declared() -> str:
    declared = scopes.current_scopes()
    return f"{declared.file} declares {listed(declared.audiences)}"


def listed(names: Iterable[str], *, most: int = 20) -> str:
    """Some names in a sentence, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def checked_default(default: str | None, scope: str) -> str:
    if default == "":
        raise RegistrationError("--default-scope is empty")
    if default is None and len(scopes.audiences(scope.split())) > 1:
        raise RegistrationError(
            "the scope belongs to more than one resource: name a default scope with --default-scope"
        )
    chosen = checked_scope(scope if default is None else default)
    if not set(chosen.split()) <= set(scope.split()):
        raise RegistrationError("the default scope has words that are not in the scope")
    if len(scopes.audiences(chosen.split())) > 1:
        raise RegistrationError("the default scope belongs to more than one resource")
    return chosen


def checked_lifetime(seconds: int | Literal["default"] | None) -> int | None:
    if seconds is None or seconds == "default":
        return None
    if not 1 <= seconds <= config.MAX_ACCESS_TOKEN_SECONDS:
        raise RegistrationError(f"a lifetime is 1 to {config.MAX_ACCESS_TOKEN_SECONDS} seconds, or `default`")
    return seconds


def checked_method(method: str | None) -> str | None:
    if method is None or method == "any":
        return None
    # `none` would be a public client, and those never get this grant (RFC 6749, section 4.4).
    if method not in AUTH_METHODS:
        raise RegistrationError(f"an authentication method is one of {', '.join(AUTH_METHODS)}, or `any`")
    return method


def checked_format(token_format: str) -> str:
    if token_format not in TOKEN_FORMATS:
        raise RegistrationError(f"a token's format is one of {', '.join(TOKEN_FORMATS)}")
    return token_format


def checked_resource_server(audience: str | None) -> str | None:
    if audience is None or audience == "none":
        return None
    known = [each.audience for each in current_settings().resources]
    if audience not in known:
        raise RegistrationError(
            f"a resource server is one of the audiences of keyturn.toml, {', '.join(known)}, or `none`"
        )
    return audience


def checked_claims(claims: Mapping[str, str]) -> dict[str, str]:
    for name, value in claims.items():
        if not CLAIM_NAME.fullmatch(name):
            raise RegistrationError("a claim's name is 1 to 64 letters, digits and _.:/-")
        if name in RESERVED_CLAIMS:
            raise RegistrationError(f"the claim {name} is the server's own")
        if not value or not value.isprintable():
            raise RegistrationError("a claim's value is printable characters, at least one")
    if len(json.dumps(dict(claims))) > MAX_CLAIMS_CHARACTERS:
        raise RegistrationError(f"a client's claims are at most {MAX_CLAIMS_CHARACTERS} characters of JSON together")
    return dict(claims)
