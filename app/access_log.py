"""The access log: with KEYTURN_ACCESS_LOG, one line for each request.

It has what no other line of the request says. The line of an issued token has its client, so the access line has
only the method, the path, the status and the duration; the `request_id` joins the two.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, g, request

from app.clock import monotonic
from app.logs import log, shown, shown_path
from app.settings import current_settings


def init_app(app: Flask) -> None:
    """Log every request; without the setting nothing is called."""
    if current_settings.of(app).access_log == "on":
        app.before_request(begin)
        app.after_request(write)


def begin() -> None:
    g.begin = monotonic()


def write(response: Response) -> Response:
    here = g._get_current_object()
    said: dict[str, Any] = here.get("said", {})
    token = here.get("token")
    facts = {
        "method": shown(request.method),
        "path": shown_path(request.path),
        "status": response.status_code,
        "milliseconds": round((monotonic() - here.begin) * 1_000, 1) if "begin" in here else None,
        "client_id": here.get("client_id"),
        "credential": here.get("credential"),
        "address": here.get("address"),
        "jti": token.jti if token else None,
        "kid": token.kid if token else None,
    }
    log.info("request", extra={"fields": {name: fact for name, fact in facts.items() if said.get(name) != fact}})
    return response
