"""A watch over the whole suite for leaked secrets.

Everything that is logged while tests run, at DEBUG and by any library, every error body, every row of
every audit trail and every log of a live server goes into one file; every secret, token and key that the
tests use is remembered. At the end of the session the two are compared: a secret is found in plaintext and in
Base64, alone and inside longer text, percent-encoded, without its prefix, and half of it.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from flask import Flask, Response, request
from sqlalchemy import text

from app.logs import JsonLine, log
from app.storage.database import db

PIECE = 20  # characters of a secret, or of its Base64, that are enough to recognize it
WORD = re.compile(rf"[A-Za-z0-9_-]{{{PIECE},}}")
PREFIX = re.compile("^kt[as]_")
AS_URL_SAFE = str.maketrans("+/", "-_")


def pieces(secret: str) -> set[str]:
    """What to look for: the beginning of each half of a secret, in plaintext and in Base64."""
    body = PREFIX.sub("", secret)
    halves = (body, body[len(body) // 2 :])
    # In Base64 a text has one of three forms, depending on how many bytes precede it.
    encoded = (
        base64.urlsafe_b64encode(bytes(before) + half.encode()).decode()[(before * 8 + 5) // 6 :]
        for half in halves
        for before in range(3)
    )
    return {text[:PIECE].translate(AS_URL_SAFE) for text in (*halves, *encoded) if len(text) >= PIECE}


def words(written: str) -> set[str]:
    """Everything in a text that is long enough to hold a piece, as it is and percent-decoded."""
    found = set(WORD.findall(written.translate(AS_URL_SAFE)))
    for _ in range(3):
        encoded = [each for each in re.split(r"[\s\"']+", written) if "%" in each]
        written = unquote("\n".join(encoded))
        found |= set(WORD.findall(written.translate(AS_URL_SAFE)))
    return found


class Watch:
    """The remembered secrets, and the file of everything that was written."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.file: Path | None = None

    def remember(self, secret: str) -> None:
        """Remember a secret or a token; of a JWT only the signature, since the rest alone is not secret."""
        self.secrets |= {each.rpartition(".")[2] for each in secret.split(",")}

    def leaked(self) -> set[str]:
        """The secrets in what was written, in any of the forms of `pieces`."""
        known = {piece: secret for secret in self.secrets for piece in pieces(secret)}
        written = self.file.read_text(encoding="utf-8", errors="replace") if self.file and self.file.exists() else ""
        ends = ((word, n) for word in words(written) for n in range(PIECE, len(word) + 1))
        return {known[word[n - PIECE : n]] for word, n in ends if word[n - PIECE : n] in known}

    def record(self, written: str) -> None:
        if self.file:
            with self.file.open("a", encoding="utf-8", errors="replace") as file:
                file.write(written + "\n")

    def watch(self, app: Flask) -> None:
        @app.after_request
        def look(response: Response) -> Response:
            if response.status_code >= 400:
                self.record(response.get_data(as_text=True) + str(response.headers))
            elif request.path.endswith("/oauth/token") and response.json:
                self.remember(response.json["access_token"])
            return response

    def record_trail(self) -> None:
        """Copy the audit trail of the current app, if there is one, into the file."""
        with db.engine.connect() as connection:
            for row in connection.execute(text("SELECT * FROM audit_events")):
                self.record(str(tuple(row)))


suite = Watch()


class Recorder(logging.Handler):
    """Copies every record: our own as its JSON line, any other as its message."""

    def emit(self, record: logging.LogRecord) -> None:
        line = JsonLine() if record.name == log.name else logging.Formatter("%(name)s %(message)s")
        suite.record(line.format(record))


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_written_anywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    suite.file = tmp_path_factory.mktemp("leaks") / "written.txt"
    suite.file.touch()
    root, handler = logging.getLogger(), Recorder()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    yield
    root.removeHandler(handler)
    root.setLevel(level)
    assert not suite.leaked(), "a secret that the tests used was written somewhere"
    assert "PRIVATE KEY" not in suite.file.read_text(encoding="utf-8", errors="replace")
