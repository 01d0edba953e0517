"""The data of the page, `GET /playground/data.json`: this server and its demo clients, and never another client."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import current_app

import config
from app.api import stock
from app.checks import DECLARED, Check
from app.clients import registry
from app.discovery import error_pages, jwks, openapi
from app.discovery.error_pages import METADATA
from app.lesson.progress import progress
from app.operations.demo_clients import usable_demos
from app.playground import slips
from app.playground.claims import CLAIMS
from app.playground.key_changes import find_obstacle
from app.refusals.codes import CODES
from app.settings import current_settings

METHODS = ("get", "post", "put")
AN_ARTICLE = next(iter(stock.FIRST_STOCK))


def page_data() -> dict[str, Any]:
    settings = current_settings()
    obstacle = find_obstacle()
    # The page signs nothing. `flask clients delete` may have removed one, until the next `flask prepare`.
    demos = [demo for demo in usable_demos(settings) if demo.secret and registry.find_client(demo.client_id)]
    return {
        "issuer": settings.issuer,
        "endpoints": endpoints(settings),
        "clients": [described(demo) for demo in demos],
        "checks": {name: described_check(check) for name, check in DECLARED.items()},
        "claims": {name: asdict(claim) for name, claim in CLAIMS.items()},
        "codes": {
            name: {"meaning": code.meaning, "status": code.status, "page": f"{settings.issuer}{error_pages.PATH}{name}"}
            for name, code in CODES.items()
        },
        "scopes": {
            scope: {"description": about, "resource": resource.audience}
            for resource in settings.resources
            for scope, about in resource.scopes.items()
        },
        "slips": slips.for_page((demo.client_id for demo in demos), has_sample_api=settings.has_sample_api),
        "calls": calls(settings),
        "keys_can_change": obstacle is None,
        "keys_reason": obstacle or "",
        "lesson": progress(),
    }


def endpoints(settings: config.Settings) -> dict[str, str]:
    issuer = settings.issuer
    found = {
        "token": f"{issuer}/oauth/token",
        "introspection": f"{issuer}/oauth/introspect",
        "revocation": f"{issuer}/oauth/revoke",
        "jwks": issuer + jwks.PATH,
        "metadata": current_app.config[METADATA],
    }
    samples = {"logs": "/admin/logs", "reports": "/internal/reports", "inventory": "/inventory"}
    return found | ({name: issuer + path for name, path in samples.items()} if settings.has_sample_api else {})


def calls(settings: config.Settings) -> list[dict[str, Any]]:
    """The guarded routes: `scope` is the first that opens one, `scopes` are all that do."""
    found = []
    for path, item in openapi.description(settings)["paths"].items():
        for method, operation in item.items():
            scopes = scopes_of(operation) if method in METHODS else []
            if scopes:
                found.append(
                    {
                        "method": method.upper(),
                        "path": path.replace("{sku}", AN_ARTICLE),
                        "scope": scopes[0],
                        "scopes": scopes,
                    }
                )
    return found


def scopes_of(operation: dict[str, Any]) -> list[str]:
    return [scope for each in operation.get("security", ()) for scope in each.get("token", ())]


def described(demo: config.DemoClient) -> dict[str, Any]:
    return {
        "client_id": demo.client_id,
        "secret": demo.secret,
        "scope": demo.scope,
        "default_scope": demo.scope if demo.default_scope is None else demo.default_scope,
        "token_format": demo.token_format,
        "resource_server": demo.resource_server,
        "about": ABOUT.get(demo.client_id, ""),
    }


ABOUT = {
    "demo-partner": "A partner's shop: it updates the stock, and reads the delivery status.",
    "demo-reporting": "An internal service: it reads a report every hour.",
    "demo-admin": "An integration with an administrator's rights: it exports everything at night.",
    "demo-brief": "A client whose tokens expire after two seconds.",
    "demo-opaque": "A client with opaque tokens: an API has to introspect them.",
    "demo-shipments": "An API: it introspects tokens, and requests none itself.",
    "fault": "For tests of a client: as fault-503, fault-expired and others it gets bad responses and bad tokens.",
}


def described_check(check: Check) -> dict[str, str]:
    return {"title": check.title, "sentence": check.sentence, "source": check.source}
