"""Scope: its syntax, the resource that each word belongs to, and the scope that a token gets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from flask import Flask

import config
from app.checks import Check, making
from app.per_app import PerApp
from app.refusals.hints import unknown_scope
from app.settings.keyturn_file import SCOPE_TOKEN

WELL_FORMED = Check("scope_form", "The scope is words separated by single spaces.", "RFC 6749, section 3.3")
DECLARED = Check("scope_declared", "Each word of the scope belongs to an API.", "RFC 6749, section 5.2")
REGISTERED = Check("scope_registered", "The client is registered for each word of the scope.", "RFC 6749, section 5.2")
ONE_RESOURCE = Check("one_resource", "The words belong to one API, the audience.", "RFC 9068, section 3")

SCOPE = re.compile(f"{SCOPE_TOKEN.pattern}( {SCOPE_TOKEN.pattern})*")


class ScopeError(ValueError):
    """A scope that cannot be granted; the text says why."""


@dataclass(frozen=True, slots=True)
class DeclaredScopes:
    """What keyturn.toml declared when this process started: the audience of each scope."""

    audiences: dict[str, str]
    file: Path
    changed_at: int | None  # of the file, in nanoseconds; None if there was none

    def file_has_changed(self) -> bool:
        return changed_at(self.file) != self.changed_at


class UndeclaredScopeError(ScopeError):
    """A well-formed word that no resource declares."""

    def __init__(self, word: str, declared: DeclaredScopes) -> None:
        self.word = word
        is_stale = declared.file_has_changed()  # then it may declare this very word: no other is suggested
        text = unknown_scope(word, () if is_stale else declared.audiences)
        if is_stale:
            text += f"; {declared.file.name} changed since this server started: restart it"
        super().__init__(text)


class ChosenScope(NamedTuple):
    """The scope of a token, and the audience of the one resource that it opens (RFC 9068, section 3)."""

    text: str
    audience: str


current_scopes = PerApp[DeclaredScopes]("declared_scopes")


def init_app(app: Flask, settings: config.Settings) -> None:
    audiences = {word: each.audience for each in settings.resources for word in each.scopes}
    file = Path(settings.resources_file)
    current_scopes.set(app, DeclaredScopes(audiences, file, changed_at(file)))


def changed_at(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def words(scope: str) -> list[str]:
    """The words of a scope, each once, in order (RFC 6749, section 3.3).

    Raises:
        ScopeError: For a character that the RFC does not allow, or a space too many.
    """
    if not SCOPE.fullmatch(scope):
        raise ScopeError(
            "a scope is words of printable ASCII without quotes or backslashes, separated by single spaces"
        )
    return list(dict.fromkeys(scope.split(" ")))


def audiences(wanted: Iterable[str]) -> set[str]:
    """The audiences of the resources that the words of a scope belong to.

    Raises:
        UndeclaredScopeError: If a word of it is declared nowhere.
    """
    declared = current_scopes()
    for word in wanted:
        if word not in declared.audiences:
            raise UndeclaredScopeError(word, declared)
    return {declared.audiences[word] for word in wanted}


def resources_of(allowed: str) -> list[str]:
    """The audiences of the resources that a client has a scope of, in the order of its scope."""
    declared = current_scopes().audiences
    return list(dict.fromkeys(declared[word] for word in allowed.split(" ") if word in declared))


def narrow(requested: str, *, allowed: str, resource: str) -> str:
    """A scope without the client's words of other resources (RFC 8707, section 2.2).

    Nothing else is left out: what is malformed, unknown or not the client's remains for `choose` to refuse.

    Args:
        requested: A scope.
        allowed: What the client is registered for.
        resource: The audience of a resource.
    """
    own, declared = allowed.split(" "), current_scopes().audiences
    remaining = (word for word in requested.split(" ") if word not in own or declared.get(word, resource) == resource)
    return " ".join(remaining)


def choose(requested: str, *, allowed: str, default: str) -> ChosenScope:
    """The scope of a token (RFC 6749, section 3.3).

    Args:
        requested: The `scope` parameter, empty if there was none.
        allowed: What the client is registered for.
        default: What it gets if it requests none.

    Raises:
        ScopeError: If it cannot be granted. Nothing is ever dropped silently.
    """
    making.now.check = WELL_FORMED
    chosen = words(requested or default)
    making.now.check = DECLARED
    try:
        opened = audiences(chosen)
    except UndeclaredScopeError as error:
        raise ScopeError(undeclared_reason(error, allowed)) from error
    making.now.check = REGISTERED
    foreign = [word for word in chosen if word not in allowed.split(" ")]
    if foreign:
        raise ScopeError(f"the client is not registered for the scope {foreign[0]}")
    making.now.check = ONE_RESOURCE
    if len(opened) > 1:
        raise ScopeError("the scope belongs to more than one resource: request one token for each")
    return ChosenScope(" ".join(chosen), opened.pop())


def undeclared_reason(error: UndeclaredScopeError, allowed: str) -> str:
    """A client may be registered for a scope that keyturn.toml no longer declares: then nothing is misspelt."""
    file = current_scopes().file.name
    if error.word not in allowed.split(" ") or current_scopes().file_has_changed():
        return str(error)
    return f"{file} no longer declares the scope {error.word}, for which the client is registered"
