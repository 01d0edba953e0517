"""A JSON document that anyone may read and cache."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify


def public(document: dict[str, Any], *, max_age: int) -> Response:
    """A response with a JSON document that anyone may cache for `max_age` seconds."""
    response = jsonify(document)
    response.cache_control.public = True
    response.cache_control.max_age = max_age
    return response
