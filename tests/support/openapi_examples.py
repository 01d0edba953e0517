"""The examples of openapi.json: the saved responses of the collection, by operation, status and name.

Where the collection has placeholders for what differs from run to run, these have values of the same form.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from app.discovery.openapi import FILE
from app.health.readiness import current_readiness
from conformance.cases import CASES
from tests.conftest import ISSUER, build_app, close
from tests.support.examples import MOMENT, as_saved


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


KID, JTI = "example-kid-" + "0" * 31, "example-jti-" + "0" * 12
CLAIMS = {
    "iss": ISSUER, "aud": ISSUER, "sub": "demo-reporting", "client_id": "demo-reporting", "scope": "reports:read",
    "iat": MOMENT, "exp": MOMENT + 3600, "jti": JTI,
}  # fmt: skip
# A JWT in form; no key has signed it.
JWT = ".".join([encoded({"alg": "RS256", "typ": "at+jwt", "kid": KID}), encoded(CLAIMS), "A" * 342])
FILLED = (
    ("eyJ…", JWT),
    ("kta_…", "kta_" + "A" * 51),
    ('"jti": "…"', f'"jti": "{JTI}"'),
    ('"jti_prefix": "…"', f'"jti_prefix": "{JTI[:8]}"'),
    ('"operator": "…"', '"operator": "anna as keyturn"'),
    ('"kid": "…"', f'"kid": "{KID}"'),
    ('"n": "…"', f'"n": "{"A" * 342}"'),
    ('"request_id": "…"', '"request_id": "0123456789abcdef"'),
    ('"reason": "jti …', f'"reason": "jti {JTI}'),
    (ISSUER, "{issuer}"),
)
Saved = dict[str, Any]


def filled(text: str) -> str:
    for placeholder, value in FILLED:
        text = text.replace(placeholder, value)
    assert "…" not in text, text
    return text


def document(saved: dict[str, Saved]) -> dict[str, dict[str, Any]]:
    """The examples.

    Args:
        saved: The response to each case, by its title.

    Returns:
        For each operation, such as `post /oauth/token`, and each of its statuses the `headers` and the `examples`.
    """
    paths = json.loads(FILE.read_text(encoding="utf-8"))["paths"]
    named = [(case.method, case.path, case.name, saved[case.title]) for case in CASES] + others()
    found: dict[str, dict[str, Any]] = {}
    shared: dict[str, dict[str, Any]] = {}
    for method, path, name, response in named:
        path = re.sub(r"^/(inventory|errors)/[^/]+$", lambda part: PARAMETERS[part[1]], path.partition("?")[0])
        described = paths.get(path, {}).get(method.lower(), {}).get("responses", {}).get(str(response["code"]))
        place = {"headers": {}, "examples": {}}
        if described:
            place = found.setdefault(f"{method.lower()} {path}", {}).setdefault(str(response["code"]), place)
            if "$ref" in described:
                shared.setdefault(described["$ref"], place)
        elif response["code"] == 404:
            shared.setdefault("#/components/responses/NotFound", place)
        else:
            continue  # the response to a wrong method, or to HEAD, is not described
        add(place, name, response)
    fill_in(paths, found, shared)
    return found


PARAMETERS = {"inventory": "/inventory/{sku}", "errors": "/errors/{code}"}


def add(place: dict[str, Any], name: str, response: Saved) -> None:
    body = filled(response["body"])
    value = json.loads(body) if response["_postman_previewlanguage"] == "json" else body
    place["examples"][re.sub(r"\W+", "-", name.lower()).strip("-")] = {"summary": name, "value": value}
    for header in response["header"]:
        if header["key"] not in {"Content-Type", "X-Request-Id"}:
            place["headers"].setdefault(header["key"], filled(header["value"]))


def fill_in(paths: dict[str, Any], found: dict[str, dict[str, Any]], shared: dict[str, dict[str, Any]]) -> None:
    """A response that several operations have, and no case of this one shows, has the example of another."""
    for path, item in paths.items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                place = shared.get(response.get("$ref", ""))
                examples = found.setdefault(f"{method} {path}", {})
                if place and status not in examples:
                    first = dict(list(place["examples"].items())[:1])
                    examples[status] = {"headers": place["headers"], "examples": first}


def others() -> list[tuple[str, str, str, Saved]]:
    """Real responses that no case has: a passed limit, a missing database, the probes, the pages for people."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        app = build_app(database_url=f"sqlite:///{Path(folder)}/examples.db", limit_requests="1/minute")
        client, form = app.test_client(), {"grant_type": "client_credentials"}
        pair = ("demo-admin", "kts_demo-admin-is-for-learning-only")
        unready = client.post("/oauth/token", data=form, auth=pair)
        found.append(("POST", "/oauth/token", "the database is not ready", unready))
        found.append(("GET", "/health/ready", "the database is not prepared", client.get("/health/ready")))
        current_readiness.of(app).forget()
        assert app.test_cli_runner().invoke(args=["prepare"]).exit_code == 0
        responses = [client.post("/oauth/token", data=form, auth=pair) for _ in range(3)]
        found.append(("POST", "/oauth/token", "too many requests", responses[-1]))
        found += [("GET", path, "a page", client.get(path)) for path in ("/errors", "/errors/invalid_scope")]
        found += [
            ("GET", path, path.rpartition("/")[2], client.get(path)) for path in ("/health/live", "/health/ready")
        ]
        close(app)
    assert [response.status_code for *_, response in found] == [503, 503, 429, 200, 200, 200, 200]
    return [(*where, saved_as_text(response)) for *where, response in found]


def saved_as_text(response: TestResponse) -> Saved:
    if response.mimetype == "application/json":
        return as_saved(response)
    csp = {"key": "Content-Security-Policy", "value": response.headers["Content-Security-Policy"]}
    return {"code": 200, "_postman_previewlanguage": "html", "header": [csp], "body": response.text.replace("…", "...")}


def text(found: dict[str, dict[str, Any]]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
