"""This file is scope: how it is written, and which resource it opens."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Flask

import config
from app.per_app import PerApp
from app.refusals.hints import unknown_scope
from app.settings import SCOPE_TOKEN

SCOPE = re.compile(f"{SCOPE_TOKEN.pattern}( {SCOPE_TOKEN.pattern})*")


class ScopeError(ValueError):
    """A scope that cannot be granted; the text says why."""


current_audiences = PerApp[dict[str, str]]("audiences")  # of each scope


def init_app(app: Flask, resources: Sequence[config.Resource]) -> None:
    current_audiences.set(app, {word: each.audience for each in resources for word in each.scopes})


def words(scope: str) -> list[str]:
    """The words of a scope, each once, in their order (RFC 6749, section 3.3).

    Raises:
        ScopeError: For a character that the RFC does not allow, or a space too many.
    """
    if not SCOPE.fullmatch(scope):
        raise ScopeError("a scope is words of printable ASCII without quotes or backslashes, single spaces between")
    return list(dict.fromkeys(scope.split(" ")))


def audiences(scope: str) -> set[str]:
    """The audiences of the resources that a scope belongs to.

    Raises:
        ScopeError: If a word of it is declared nowhere.
    """
    declared, wanted = current_audiences(), words(scope)
    unknown = [word for word in wanted if word not in declared]
    if unknown:
        raise ScopeError(unknown_scope(unknown[0], declared))
    return {declared[word] for word in wanted}


def choose(asked: str, *, allowed: str, default: str) -> str:
    """The scope of a token.

    Args:
        asked: The `scope` parameter, empty if there was none.
        allowed: What the client is registered for.
        default: What it gets if it asks for nothing.

    Raises:
        ScopeError: If it cannot be granted. Nothing is ever dropped silently.
    """
    chosen = words(asked or default)
    opened = audiences(" ".join(chosen))
    foreign = [word for word in chosen if word not in allowed.split(" ")]
    if foreign:
        raise ScopeError(f"the client is not registered for the scope {foreign[0]}")
    if len(opened) > 1:
        raise ScopeError("the scope belongs to more than one resource; ask for one token each")
    return " ".join(chosen)
