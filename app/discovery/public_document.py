"""A JSON document that anyone may read and cache, also a page of another origin."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify


def public(document: dict[str, Any], *, max_age: int) -> Response:
    """A response with a JSON document that anyone may cache for `max_age` seconds.

    Any origin may read it, without credentials. A simple GET needs no preflight, so OPTIONS stays 405.
    """
    response = jsonify(document)
    response.access_control_allow_origin = "*"
    response.cache_control.public = True
    response.cache_control.max_age = max_age
    return response
