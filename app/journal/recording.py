"""Recording: how a request becomes an entry of the journal, and a line on the terminal.

It is a layer around the app, so it sees the response as the client gets it, and costs nothing where it is off.
Of what a client sent, only words that pass `shown` are recorded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from app.journal import request_line
from app.journal.entry import Entry
from app.journal.journal_file import Journal, current_journal
from app.logs import is_for_people, one_line, shown, shown_path
from app.settings import current_settings

FACTS = "keyturn.facts"
OF_PLAYGROUND = "X-Keyturn-Checks"
MAX_WORDS = 12
MAX_PATH_CHARACTERS = 200
SCHEMES = ("basic", "bearer")


class Recorder:
    """The layer; `note` adds what only the app knows."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.inner: Any = app.wsgi_app
        self.settings = current_settings.of(app)
        self.playground = f"{urlsplit(self.settings.issuer).path}/playground/"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        begin, at = time.perf_counter(), time.time()
        is_recorded, sent = not self.is_background(environ), of_request(environ)  # as a client sent it
        environ[FACTS] = sent  # one dict, also in a copy of the environment that a layer in between makes
        received: dict[str, Any] = {"status": 500}

        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            found = {name.lower(): value for name, value in headers}
            received.update(
                status=int(status[:3]),
                request_id=found.get("x-request-id", ""),
                challenge=one_line(found.get("www-authenticate", "")),
            )
            return start_response(status, headers, *more)

        try:
            return self.inner(environ, started)  # type: ignore[no-any-return]
        finally:
            if is_recorded:
                spent = round((time.perf_counter() - begin) * 1_000, 1)
                self.keep(Entry(at=round(at, 3), milliseconds=spent, **(sent | received)))

    def is_background(self, environ: dict[str, Any]) -> bool:
        """Whether the playground's page sends this by itself: for its files, its progress, or an explanation."""
        if environ["REQUEST_METHOD"] == "GET" and str(environ.get("PATH_INFO", "")).startswith(self.playground):
            return True
        by_a_script = (
            environ.get("HTTP_SEC_FETCH_SITE") == "same-origin" and environ.get("HTTP_SEC_FETCH_DEST") == "empty"
        )
        by_a_learner = "HTTP_X_KEYTURN_CHECKS" in environ or environ.get("PATH_INFO") == f"{self.playground}keys"
        return by_a_script and not by_a_learner

    def keep(self, entry: Entry) -> None:
        if journal := current_journal.of(self.app):
            journal.append(entry)
        if is_for_people(self.settings):
            sys.stderr.write(request_line.line(entry, sys.stderr) + "\n")


def of_request(environ: dict[str, Any]) -> dict[str, Any]:
    """The facts of the request itself; `note` and the faults add to them."""
    path = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")
    return {"method": shown(str(environ["REQUEST_METHOD"])), "path": shown_path(path)[:MAX_PATH_CHARACTERS]}


def note(response: Response) -> Response:
    """Note what the app knows about its current request and its response."""
    refusal, sent = g.get("refusal"), dict(g.get("parameters", ()))
    body = response.get_json(silent=True) if (request.endpoint or "").startswith("oauth.") else None
    body = body if isinstance(body, dict) else {}
    facts = {
        "issuer": current_settings().issuer,
        "endpoint": request.endpoint or "",
        "client_id": one_line(g.get("client_id") or g.get("claimed_client_id") or ""),
        "is_authenticated": "client_id" in g,
        "auth": mechanism(request.headers.get("Authorization", ""), sent),
        "grant_type": words(sent.get("grant_type", "")),
        "scope": words(sent.get("scope", "")),
        "granted": one_line(str(body.get("scope", ""))) if "access_token" in body else "",
        "token": kind_of_token(str(body.get("access_token") or sent.get("token") or bearer())),
        "active": found if isinstance(found := body.get("active"), bool) else None,
        "error": (refusal.error or "no_token") if refusal else "",
        "reason": refusal.reason if refusal else one_line(g.get("inactive", "")),
        "from_playground": OF_PLAYGROUND in request.headers,
    }
    request.environ.get(FACTS, {}).update(facts)
    return response


def mechanism(header: str, form: dict[str, str]) -> str:
    """How the client authenticated; a scheme that nothing here supports is not repeated."""
    if header:
        scheme = header.partition(" ")[0].lower()
        return scheme if scheme in SCHEMES else "other"
    return "assertion" if "client_assertion" in form else "post" if "client_secret" in form else "none"


def bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def kind_of_token(token: str) -> str:
    if not token:
        return ""
    return "opaque" if token.startswith("kta_") else "jwt" if token.count(".") == 2 else "unknown"


def words(text: str) -> str:
    """The words that a caller sent, each as `shown` returns it."""
    return " ".join(shown(word) for word in text.split()[:MAX_WORDS])


def init_app(app: Flask) -> None:
    """Record every request; only a development server calls this."""
    settings = current_settings.of(app)
    journal = Journal(Path(app.instance_path) / "requests.jsonl") if settings.journal == "on" else None
    current_journal.set(app, journal)
    if journal or is_for_people(settings):
        app.after_request(note)
        app.wsgi_app = Recorder(app)  # type: ignore[method-assign]
