"""The authorization server metadata (RFC 8414): exactly what this server supports."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response

from app.clients.client import REGISTERED_METHODS
from app.clients.key_set import ALGORITHMS
from app.discovery import error_pages, jwks
from app.discovery.public_document import public
from app.oauth.grant import ClientCredentialsGrant
from app.settings import current_settings

WELL_KNOWN = "/.well-known/oauth-authorization-server"
MAX_AGE_SECONDS = 300


def init_app(app: Flask, issuer: str) -> None:
    app.config[error_pages.METADATA] = address_of(issuer)
    app.add_url_rule(urlsplit(address_of(issuer)).path, view_func=metadata)


def address_of(issuer: str) -> str:
    """Where an issuer's metadata is: the well-known part goes before a path in it (RFC 8414, section 3.1)."""
    parts = urlsplit(issuer)
    return parts._replace(path=WELL_KNOWN + parts.path).geturl()


def metadata() -> Response:
    settings = current_settings()
    document = {
        "issuer": settings.issuer,
        "token_endpoint": f"{settings.issuer}/oauth/token",
        "introspection_endpoint": f"{settings.issuer}/oauth/introspect",
        "revocation_endpoint": f"{settings.issuer}/oauth/revoke",
        "jwks_uri": settings.issuer + jwks.PATH,
        "service_documentation": settings.issuer + error_pages.PATH,
        "scopes_supported": [scope for resource in settings.resources for scope in resource.scopes],
        # Empty, as there is no authorization endpoint. RFC 8414, section 3.2 wants empty lists omitted, but section 2
        # requires this member, and clients check for it. Authlib's `validate()` takes an empty list for a missing one.
        "response_types_supported": [],
        # The default would claim two grants for browsers (RFC 8414, section 2).
        "grant_types_supported": [ClientCredentialsGrant.GRANT_TYPE],
        **authentication("token"),
        **authentication("introspection"),
        **authentication("revocation"),
    }
    return public(document, max_age=MAX_AGE_SECONDS)


def authentication(endpoint: str) -> dict[str, list[str]]:
    """How a client authenticates at an endpoint, and the algorithms of its assertions there."""
    return {
        f"{endpoint}_endpoint_auth_methods_supported": list(REGISTERED_METHODS),
        f"{endpoint}_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
    }
