"""Where a client's keys are, if they are not stored here: its `jwks_uri` (RFC 7591, section 2).

A client has one or the other. Which addresses keys are fetched from is decided when they are: `app/remote_keys/`.
"""

from __future__ import annotations

import re

from app.clients import client_key_changes
from app.clients.client_row import ClientRow
from app.clients.registration_rules import RegistrationError
from app.settings import current_settings

URI = re.compile(
    r"(https?)://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?|(https?)://\[[0-9a-fA-F:]+\](:[0-9]{1,5})?(/[!-~]*)?"
)
MAX_CHARACTERS = 1_024
FORM = "a jwks_uri is an https URL of at most 1024 characters, without a user or a fragment, or `none`"


def checked_jwks_uri(uri: str | None) -> str | None:
    """The address to store; None for none.

    Raises:
        RegistrationError: If it has not the form of one, or is http in production.
    """
    if uri is None or uri == "none":
        return None
    if not URI.fullmatch(uri) or "#" in uri or len(uri) > MAX_CHARACTERS:
        raise RegistrationError(FORM)
    if current_settings().is_production and not uri.startswith("https://"):
        raise RegistrationError("in production a jwks_uri is an https URL")
    return uri


def put_jwks_uri(client: ClientRow, uri: str | None) -> None:
    """Let a client's keys be at an address, in the caller's transaction; those that are stored here end.

    Raises:
        RegistrationError: If the client may not use a key.
    """
    if uri:
        client_key_changes.refuse_other_method(client)
        for key in client_key_changes.usable(client):
            client_key_changes.end(client, key)
    client.jwks_uri = uri
