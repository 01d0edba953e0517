"""A JSON document that anyone may read and cache."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify


def public(document: dict[str, Any], *, max_age: int) -> Response:
    """A JSON document for everybody, which may be kept for so many seconds."""
    answer = jsonify(document)
    answer.cache_control.public = True
    answer.cache_control.max_age = max_age
    return answer
