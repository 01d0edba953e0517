"""The request in the page, for other tools."""

from __future__ import annotations

TAKE_HOME: dict[str, object] = {}
