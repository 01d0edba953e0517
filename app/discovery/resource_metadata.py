"""The sample API's protected resource metadata (RFC 9728): which authorization server issues its tokens.

A client that knows only the API finds it through the `resource_metadata` of a 401 (section 5.1).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from flask import Flask, Response

from app.discovery.public_document import public
from app.refusals.errors import RESOURCE_METADATA
from app.settings import current_settings
from app.settings.setting_forms import ISSUER

WELL_KNOWN = "/.well-known/oauth-protected-resource"
MAX_AGE_SECONDS = 300


def init_app(app: Flask, resource: str) -> None:
    """The well-known part goes before the path (RFC 9728, section 3.1); an audience that is not a URL has none."""
    if re.fullmatch(ISSUER, resource):
        parts = urlsplit(resource)
        app.config[RESOURCE_METADATA] = urlunsplit(parts._replace(path=WELL_KNOWN + parts.path))
        app.add_url_rule(WELL_KNOWN + parts.path, view_func=resource_metadata)


def resource_metadata() -> Response:
    settings = current_settings()
    ours = [each for each in settings.resources if each.audience == settings.audience]
    document = {
        "resource": settings.audience,
        "authorization_servers": [settings.issuer],
        "scopes_supported": [scope for each in ours for scope in each.scopes],
        "bearer_methods_supported": ["header"],
    }
    document = {name: value for name, value in document.items() if value}  # RFC 9728, section 3.2: no empty lists
    return public(document, max_age=MAX_AGE_SECONDS)
