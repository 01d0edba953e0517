"""This file watches the whole suite for secrets where none may be.

Everything that is logged while tests run, at DEBUG and by any library, every error body, every row of
every audit trail and every log of a live server goes into one file; every secret, token and key that the
tests use is remembered. At the end of the session the two are compared.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, request
from sqlalchemy import text

from app.logs import JsonLine, log
from app.storage.database import db

WORD = re.compile(r"[A-Za-z0-9_=/+.-]{24,}")
HEAD = 24  # characters of a secret that are enough to know it by


class Watch:
    """The remembered secrets, and the file of everything that was written."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.file: Path | None = None

    def remember(self, secret: str) -> None:
        """Remember a secret, or a token: of a JWT the signature, as the rest of it is no secret alone."""
        self.secrets.add(secret.rpartition(".")[2])

    def leaked(self) -> set[str]:
        """The secrets that stand in what was written, alone or in the middle of something longer."""
        heads = {secret[:HEAD]: secret for secret in self.secrets if len(secret) >= HEAD}
        written = self.file.read_text(encoding="utf-8", errors="replace") if self.file and self.file.exists() else ""
        words = set(WORD.findall(written))
        return {heads[w[n : n + HEAD]] for w in words for n in range(len(w) - HEAD + 1) if w[n : n + HEAD] in heads}

    def keep(self, written: str) -> None:
        if self.file:
            with self.file.open("a", encoding="utf-8", errors="replace") as file:
                file.write(written + "\n")

    def watch(self, app: Flask) -> None:
        @app.after_request
        def look(answer: Response) -> Response:
            if answer.status_code >= 400:
                self.keep(answer.get_data(as_text=True) + str(answer.headers))
            elif request.path.endswith("/oauth/token") and answer.json:
                self.remember(answer.json["access_token"])
            return answer

    def keep_trail(self) -> None:
        """Keep the audit trail of the app whose context this is, if there is one."""
        with db.engine.connect() as connection:
            for row in connection.execute(text("SELECT reason, client_id, scope, request_id FROM audit_events")):
                self.keep(str(tuple(row)))


suite = Watch()


class Keep(logging.Handler):
    """Every record: our own as the line that it becomes, any other as its message."""

    def emit(self, record: logging.LogRecord) -> None:
        line = JsonLine() if record.name == log.name else logging.Formatter("%(name)s %(message)s")
        suite.keep(line.format(record))


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_written_anywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    suite.file = tmp_path_factory.mktemp("leaks") / "written.txt"
    suite.file.touch()
    root, handler = logging.getLogger(), Keep()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    yield
    root.removeHandler(handler)
    root.setLevel(level)
    assert not suite.leaked(), "a secret that the tests used was written somewhere"
    assert "PRIVATE KEY" not in suite.file.read_text(encoding="utf-8", errors="replace")
