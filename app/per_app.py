"""This file is how a room finds what its `init_app` has kept for the app that answers now."""

from __future__ import annotations

from typing import Any

from flask import current_app


def kept(name: str) -> Any:
    # The app itself: through Flask's proxy each of the dozen questions of a request would cost three times as much.
    return current_app._get_current_object().extensions[name]  # type: ignore[attr-defined]
