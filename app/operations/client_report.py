"""What `flask clients …` prints about a client: its registration, its secrets by name and times, and changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.clients.client import KEY_METHOD, SECRET_METHODS, TRUST_METHOD
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.credential import usable
from app.clients.registration_update import Change
from app.clients.secret import ClientSecret
from app.operations.command_group import moment
from app.operations.key_set_report import describe_key_set, key_set_as_text, meaning_for_keys
from app.settings import current_settings

SHOWN = (
    "client_id",
    "name",
    "scope",
    "default_scope",
    "access_token_seconds",
    "token_endpoint_auth_method",
    "grant_types",
    "token_format",
    "resource_server",
    "jwks_uri",
    "claims",
    "created_at",
    "disabled_at",
    "tokens_not_before",
)
# What a token contains or is, as words for a sentence: a change applies only to tokens that are issued later.
IN_A_TOKEN = {
    "scope": "scope",
    "claims": "claims",
    "token_format": "format",
    "access_token_seconds": "lifetime",
}
WITH_STAR = "Each of its identity claims has a *: anyone whose token fits authenticates as {client}."
# With what a client authenticates by each method, and the command that gives it one more.
NEEDED = dict.fromkeys(SECRET_METHODS, ("secret", "rotate-secret"))
NEEDED |= {KEY_METHOD: ("key", "add-key"), TRUST_METHOD: ("trust", "trust")}


def describe(client: ClientRow) -> dict[str, Any]:
    """A client as the commands show it, with only the names and times of its secrets."""
    described = {name: getattr(client, name) for name in SHOWN} | {"grant_types": client.grant_types.split()}
    described["secrets"] = [describe_secret(secret) for secret in client.secrets]
    described["keys"] = [describe_key(key) for key in client.keys]
    if key_set := describe_key_set(client):
        described["key_set"] = key_set
    return described | {"trusts": [describe_trust(trust) for trust in client.trusts]}


def describe_secret(secret: ClientSecret) -> dict[str, Any]:
    names = ("name", "created_at", "not_after", "last_used_at")
    return {name: getattr(secret, name) for name in names}


def describe_key(key: ClientKey) -> dict[str, Any]:
    names = ("kid", "alg", "created_at", "not_after", "last_used_at")
    return {name: getattr(key, name) for name in names}


def describe_trust(trust: ClientTrust) -> dict[str, Any]:
    names = ("name", "issuer", "claims", "created_at", "not_after", "last_used_at")
    return {name: getattr(trust, name) for name in names}


def describe_changes(changes: list[Change]) -> dict[str, Any]:
    """What changed, in the form of `describe`."""
    found: dict[str, Any] = {each.what: {"old": each.old, "new": each.new} for each in changes}
    if grant := found.get("grant_types"):
        found["grant_types"] = {when: words.split() for when, words in grant.items()}
    return found


def as_text(shown: Mapping[str, Any]) -> str:
    """What `describe` returns, a line for each value, with `client_secret` if the client has a new one."""
    lines: list[str] = []
    for name, value in shown.items():
        if name in ("secrets", "keys", "trusts"):
            for each in value:
                times = [f"{what} {moment(at)}" for what, at in each.items() if type(at) is int]
                expects = [f"{each['issuer']} {readable(each['claims'])}"] if "issuer" in each else []
                lines.append(f"{name[:-1]:28}{each.get('name') or each['kid']}: {', '.join(expects + times)}")
        elif name == "key_set":
            lines.append(f"{name:28}{key_set_as_text(value)}")
        elif value not in (None, [], {}, 0):
            is_time = name.endswith(("_at", "_before"))
            lines.append(f"{name:28}{moment(value) if is_time else readable(value)}")
    if "client_secret" in shown:
        lines.append("The secret is shown only once: store it with your other secrets.")
    return "\n".join(lines)


def changes_as_text(client: ClientRow, changes: list[Change]) -> str:
    """What changed, and what that means for the tokens that were issued before."""
    if not changes:
        return "Nothing to change: the client is already registered like that."
    lines = [f"{each.what}: {' -> '.join(in_words(each.what, each.old, each.new))}" for each in changes]
    changed = {each.what: each.old for each in changes}
    meaning = (meaning_for_tokens, meaning_for_keys, meaning_for_method)
    return "\n".join([*lines, *(sentence for of in meaning for sentence in of(client, changed))])


def in_words(what: str, *values: object) -> list[str]:
    # `none` would be the method of a public client (RFC 7591, section 2).
    return [readable(each) or ("any" if what == "token_endpoint_auth_method" else "none") for each in values]


def meaning_for_tokens(client: ClientRow, changed: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about the tokens of a client, of which these values were changed; each with its old value."""
    if stays := [word for what, word in IN_A_TOKEN.items() if what in changed]:
        seconds = changed.get("access_token_seconds", client.access_token_seconds)
        seconds = seconds or current_settings().access_token_seconds
        yield (
            f"Tokens issued before keep their {' and '.join(stays)} until they expire"
            f" (their lifetime: {seconds} seconds); `flask tokens revoke --client {client.name}` revokes them now."
        )
    if changed.get("grant_types"):
        yield (
            "It gets no more tokens. Those issued before are valid until they expire;"
            f" `flask tokens revoke --client {client.name}` revokes them now."
        )
    elif client.scope and not client.grant_types:
        yield "It gets no tokens, as it is registered without a grant: --grant gives it one."


def meaning_for_method(client: ClientRow, changed: Mapping[str, Any]) -> Iterator[str]:
    """What a client lacks that may authenticate by one method only."""
    method = client.token_endpoint_auth_method
    if method not in NEEDED or not changed.keys() & {"token_endpoint_auth_method", "jwks_uri"}:
        return
    what, command = NEEDED[method]
    if not usable(getattr(client, f"{what}s")) and not (method == KEY_METHOD and client.jwks_uri):
        yield f"It has no {what} that works, and gets no token: `flask clients {command} {client.name}` gives it one."


def readable(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={text}" for name, text in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
