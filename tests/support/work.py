"""Counts the work that requests cause: statements, digests, comparisons, key imports, checks of limits.

No function is replaced: each is called as it is, and the call is recorded.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import authlib._joserfc_helpers
import pytest
from flask import Flask
from joserfc import jwk
from joserfc.jws import JWSRegistry
from sqlalchemy import event

from app.audit import trail
from app.authentication.limits import Limits
from app.storage.database import db
from app.storage.fast_statement import Connections


class Work:
    """What was done, in order; a statement by its text."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def take(self, *starts: str) -> list[str]:
        """Return what begins with one of these, and forget everything."""
        found = [each for each in self.done if each.startswith(starts)]
        self.done.clear()
        return found


STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
WRITES = STATEMENTS[1:]


@contextmanager
def counted(app: Flask) -> Iterator[Work]:
    """Count what the app does inside; its audit trail is written only when it is read."""
    trail.current_batch.of(app).close()
    work, patch = Work(), pytest.MonkeyPatch()

    def count(owner: Any, name: str, what: Callable[..., str]) -> None:
        real = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            work.done.append(what(*args))
            return real(*args, **kwargs)

        patch.setattr(owner, name, counting)

    count(Connections, "execute", lambda connections, statement, _: statement.text(connections._engine))
    count(hashlib, "sha256", lambda *_: "digest")
    count(hmac, "compare_digest", lambda *_: "compare")
    count(jwk, "import_key", lambda *_: "import")
    count(authlib._joserfc_helpers, "import_key", lambda *_: "import")
    for kind in ("ES256", "RS256"):
        count(type(JWSRegistry.algorithms[kind]), "verify", lambda *_: "verify")
    count(Limits, "hit", lambda *_: "limit hit")

    def execute(*arguments: Any) -> None:
        work.done.append(str(arguments[2]))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", execute)
    try:
        yield work
    finally:
        event.remove(engine, "before_cursor_execute", execute)
        patch.undo()
