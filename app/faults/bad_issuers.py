"""The issuers `/faults/NAME`: each is this server under another name, with faulty metadata or keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug import Response

from app.discovery import jwks, server_metadata
from app.faults.bad_tokens import ELSEWHERE, never_published
from app.refusals import rendering
from app.refusals.errors import RefusedError

FOLDER = "/faults/"
METADATA, JWKS = server_metadata.WELL_KNOWN, jwks.PATH
TOKEN = "/oauth/token"
DOCUMENTS = (METADATA, JWKS, TOKEN)

Change = Callable[[dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Place:
    """An address of an issuer.

    Args:
        name: The issuer's name, which says its fault.
        document: What is requested of it, one of DOCUMENTS.
        real: The path of the same document of this server.
    """

    name: str
    document: str
    real: str


def find_place(path: str, base: str) -> Place | None:
    """The place at a path, given the path of this server's issuer; None if there is none."""
    if path.startswith(METADATA + base + FOLDER):  # the form of RFC 8414, section 3.1
        name = path.removeprefix(METADATA + base + FOLDER)
        return None if "/" in name else Place(name, METADATA, METADATA + base)
    if not path.startswith(base + FOLDER):
        return None
    name, _, rest = path.removeprefix(base + FOLDER).partition("/")
    document = f"/{rest}"
    if document not in DOCUMENTS:
        return None
    # Many clients look for the metadata below the issuer.
    return Place(name, document, METADATA + base if document == METADATA else base + document)


def under_its_name(response: Response, document: str, issuer: str) -> Response:
    """The document, as that of this issuer, which nobody may cache.

    Its metadata has no introspection and no revocation endpoint: this server would not recognize the issuer's tokens.
    """
    if document == METADATA:
        members = json.loads(response.get_data())
        left = {name: value for name, value in members.items() if not name.startswith(("introspection", "revocation"))}
        left |= {"issuer": issuer, "token_endpoint": issuer + TOKEN, "jwks_uri": issuer + JWKS}
        response.set_data(json.dumps(left))
    response.headers.remove("ETag")
    response.headers["Cache-Control"] = "no-store"
    return response


def is_about(fault_name: str, document: str) -> bool:
    """Whether a fault of an issuer changes this document."""
    return document == (METADATA if fault_name.startswith("metadata") else JWKS)


def only_another_key(document: dict[str, Any]) -> dict[str, Any]:
    ours = document["keys"][0]
    key = never_published(ours["kty"])
    return {"keys": [ours | key.as_dict(private=False) | {"kid": key.thumbprint()}]}


CHANGES: dict[str, Change] = {
    "metadata-down": lambda _: None,
    "metadata-slow-5s": dict,  # as it is: the layer lets it wait
    "metadata-empty": lambda _: {},
    "metadata-other-issuer": lambda document: document | {"issuer": ELSEWHERE.format("issuer")},
    "jwks-down": lambda _: None,
    "jwks-slow-5s": dict,
    "jwks-empty": lambda _: {"keys": []},
    "jwks-rotated": only_another_key,
}


def changed(response: Response, fault_name: str) -> Response:
    """The document with its fault."""
    document = CHANGES[fault_name](json.loads(response.get_data()))
    if document is None:
        return rendering.render(RefusedError("temporarily_unavailable", reason="the issuer's name requested this"))
    response.set_data(json.dumps(document))
    return response
