"""Where a server's endpoints are: from its metadata, or from what the caller names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from conformance.exchange import CannotRunError, send

OAUTH, OPENID = "oauth-authorization-server", "openid-configuration"
# An option of the command, and the member of the metadata that it overrides.
OPTIONS = {
    "TOKEN_ENDPOINT": "token_endpoint",
    "INTROSPECTION_ENDPOINT": "introspection_endpoint",
    "REVOCATION_ENDPOINT": "revocation_endpoint",
    "JWKS_URI": "jwks_uri",
}


@dataclass(frozen=True)
class Endpoints:
    """The addresses of a server by the metadata's names, `api` for an API that it guards, and the metadata itself."""

    issuer: str
    addresses: dict[str, str]
    metadata_url: str
    metadata: dict[str, Any]
    has_sample_api: bool = False

    @property
    def is_oauth_metadata(self) -> bool:
        return f"/.well-known/{OAUTH}" in self.metadata_url


def find(base_url: str, options: Mapping[str, str]) -> Endpoints:
    """Find the endpoints of a server.

    Args:
        base_url: The issuer.
        options: What the caller names, by the names in `OPTIONS`, and `API_URL`.

    Raises:
        CannotRunError: If no token endpoint is found, or it may not be trusted with a secret.
        OSError: If the server cannot be reached.
    """
    base_url = base_url.rstrip("/")
    metadata_url, metadata, tried = find_metadata(base_url)
    named = {member: options[option] for option, member in OPTIONS.items() if options.get(option)}
    addresses = trusted(base_url, metadata) | named
    if "token_endpoint" not in addresses:
        raise CannotRunError(f"no metadata of it names a token_endpoint ({tried}): name one with TOKEN_ENDPOINT=…")
    api, has_sample_api = find_api(base_url, options.get("API_URL", ""))
    return Endpoints(base_url, addresses | ({"api": api} if api else {}), metadata_url, metadata, has_sample_api)


def find_metadata(base_url: str) -> tuple[str, dict[str, Any], str]:
    """The address of the metadata and its members, empty if there is none, and what was tried."""
    parts, tried = urlsplit(base_url), []
    for url in (  # RFC 8414, section 3.1: before the path; OpenID Connect Discovery 1.0, section 4: after it
        f"{parts.scheme}://{parts.netloc}/.well-known/{OAUTH}{parts.path}",
        f"{base_url}/.well-known/{OPENID}",
    ):
        response = send(url, headers={"Accept": "application/json"})
        if response.status == 200 and response.members:
            return url, response.members, f"{url} is that of the issuer {response.members.get('issuer')}"
        tried.append(f"{url}: {response.status}")
    return "", {}, ", ".join(tried)


def trusted(base_url: str, metadata: dict[str, Any]) -> dict[str, str]:
    """The addresses in the metadata; of another issuer's only those at the same host.

    RFC 8414, section 3.3: such metadata must not be used. Another host would get the client's secret.
    """
    found = {name: metadata[name] for name in OPTIONS.values() if isinstance(metadata.get(name), str)}
    if str(metadata.get("issuer", "")).rstrip("/") == base_url:
        return found
    return {name: url for name, url in found.items() if urlsplit(url)[:2] == urlsplit(base_url)[:2]}


def find_api(base_url: str, api_url: str) -> tuple[str, bool]:
    """The address of a guarded API, and whether it is the sample API of this project."""
    url = api_url or f"{base_url}/admin/logs"
    response = send(url)
    guarded = response.status == 401 and response.challenges_by("Bearer")
    if api_url and response.status < 400:
        raise CannotRunError(f"API_URL is not guarded: without a token the response was {response.status}")
    return (url, guarded and not api_url) if guarded or api_url else ("", False)
