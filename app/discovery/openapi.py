"""`GET /openapi.json`: every route in OpenAPI 3.1, with the URLs and scopes of this server.

The file `openapi.json` has what is the same on every server; tests compare it with the routes and their
responses. The file `openapi_examples.json` has an example of each response, by name: `make docs` writes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from flask import Blueprint, Response, current_app

import config
from app.discovery import resource_metadata, server_metadata
from app.discovery.error_pages import METADATA
from app.discovery.public_document import public
from app.health.probes import LIVE, READY
from app.refusals.codes import CODES
from app.refusals.errors import RESOURCE_METADATA
from app.settings import current_settings

MAX_AGE_SECONDS = 300
FILE = Path(__file__).parent / "openapi.json"
EXAMPLES = Path(__file__).parent / "openapi_examples.json"

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
def openapi() -> Response:
    # It depends on the settings alone, and making it takes longer than issuing a token: each app makes it once.
    if "openapi" not in current_app.extensions:
        current_app.extensions["openapi"] = description(current_settings())
    return public(current_app.extensions["openapi"], max_age=MAX_AGE_SECONDS)


def description(settings: config.Settings) -> dict[str, Any]:
    """The OpenAPI document of a server with these settings."""
    described: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    described["servers"] = [{"url": settings.issuer}]
    schemes, schemas = (described["components"][name] for name in ("securitySchemes", "schemas"))
    schemes["token"]["flows"]["clientCredentials"] = {
        "tokenUrl": f"{settings.issuer}/oauth/token",
        "scopes": {scope: about for resource in settings.resources for scope, about in resource.scopes.items()},
    }
    schemas["ErrorCode"]["enum"] = list(CODES)
    add_examples(described, settings)
    if not settings.has_sample_api:
        remove(described, "samples")
    move(described["paths"], server_metadata.WELL_KNOWN, current_app.config[METADATA])
    move(described["paths"], resource_metadata.WELL_KNOWN, current_app.config.get(RESOURCE_METADATA))
    for path in (LIVE, READY):
        move(described["paths"], path, urljoin(settings.issuer, path))
    return described


def add_examples(described: dict[str, Any], settings: config.Settings) -> None:
    """Give each response its examples; a response that operations share is then one for each of them."""
    text = EXAMPLES.read_text(encoding="utf-8").replace("{issuer}", settings.issuer)
    for operation, statuses in json.loads(text).items():
        method, path = operation.split()
        responses = described["paths"][path][method]["responses"]
        for status, shown in statuses.items():
            response = referenced(described, responses[status])
            responses[status] = response | {
                "headers": with_examples(described, response.get("headers", {}), shown["headers"]),
                "content": {
                    media_type: content | {"examples": visible(shown["examples"], settings)}
                    for media_type, content in response["content"].items()
                },
            }
    for section in ("responses", "headers"):
        used = json.dumps(described)
        components = described["components"][section]
        described["components"][section] = {
            name: each for name, each in components.items() if f'"#/components/{section}/{name}"' in used
        }


def referenced(described: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """The item itself, or the component to which it refers."""
    if "$ref" not in item:
        return item
    section, name = item["$ref"].split("/")[-2:]
    return dict(described["components"][section][name])


def with_examples(described: dict[str, Any], headers: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    found = {}
    for name, header in headers.items():
        found[name] = referenced(described, header)
        if name in values:
            is_number = found[name]["schema"].get("type") == "integer"
            found[name] = found[name] | {"example": int(values[name]) if is_number else values[name]}
    return found


def visible(examples: dict[str, Any], settings: config.Settings) -> dict[str, Any]:
    """In production no response has a hint."""
    if settings.is_production:
        for example in examples.values():
            if isinstance(example["value"], dict):
                example["value"].pop("hint", None)
    return examples


def remove(described: dict[str, Any], tag: str) -> None:
    """Remove a tag and its paths."""
    described["tags"] = [each for each in described["tags"] if each["name"] != tag]
    described["paths"] = {
        path: item
        for path, item in described["paths"].items()
        if not any(tag in operation["tags"] for operation in item.values() if "tags" in operation)
    }


def move(paths: dict[str, Any], path: str, address: str | None) -> None:
    """Set the URL of a document that is not below the issuer's path (RFC 8414 and RFC 9728, section 3.1)."""
    item = paths.pop(path)
    if address:
        parts = urlsplit(address)
        paths[parts.path] = item | {"servers": [{"url": f"{parts.scheme}://{parts.netloc}"}]}
