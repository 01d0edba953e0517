"""The exceptions that end a request: what the caller reads, and what only the log reads.

A refusal has two texts. The description is constant: nothing of the request is reflected. The reason is
exact; it goes to the log and the audit trail, and in development also to the caller, as `hint`.

    OAuth2Error                     Authlib's
    └── RefusedError                a request that is not granted
        ├── SourceFailedError       as the keys that it needs cannot be had
        └── AccessRefusedError      at a guarded route, with a Bearer challenge
            └── NoTokenError        without any token

Other packages do not depend on HTTP and raise their own errors:

    ScopeError                      clients/scope: a scope that cannot be granted
    └── UndeclaredScopeError        no resource declares a word of it
    RegistrationError               clients: a registration that is not valid
    ├── DeclarationError            clients/declaration: files of `flask apply` with faults
    └── ImportFaultsError           clients/import_lines: lines of `flask clients import` with faults
    KeySetError                     remote_keys: keys that are elsewhere, and cannot be had
    NoSigningKeyError               keys/keystore: no key can sign
    SealedKeyError, RotationError   keys: a key that cannot be decrypted, or not be rotated
    InvalidTokenError               tokens: a token that is not ours, or no longer valid
    StockFullError                  api/stock: one article too many

`app/refusals/translation.py` and `rendering.py` translate all others and render them, and nothing else does.
"""

from __future__ import annotations

import re
from typing import Any

from authlib.oauth2 import OAuth2Error
from flask import current_app

from app.logs import one_line
from app.refusals.codes import CODES
from app.settings import current_settings

REALM = "keyturn"
RESOURCE_METADATA = "RESOURCE_METADATA"  # its URL for a challenge (RFC 9728, section 5.1), in `app.config`
RETRY_SECONDS = 5
MAX_REASON_CHARACTERS = 300  # two URLs, or three names of keys, and a sentence
NOT_IN_ERRORS = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749, section 5.2

NO_TOKEN = "This needs an access token. Send it as Authorization: Bearer TOKEN."


def error_text(text: str, replacement: str) -> str:
    """The text in the characters that an error response may have (RFC 6749, section 5.2)."""
    return NOT_IN_ERRORS.sub(replacement, text)


class RefusedError(OAuth2Error):
    """A request that is not granted (RFC 6749, section 5.2).

    Args:
        code: One of `CODES`.
        description: What the caller reads: constant, in the characters of RFC 6749, section 5.2.
        reason: What the log and the audit trail record, if the description is not exact.
        status: The HTTP status, if it is not the code's usual one.
        retry_after: Seconds to wait before retrying.
    """

    def __init__(
        self,
        code: str,
        description: str | None = None,
        *,
        reason: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        usual = CODES[code]
        super().__init__(description or usual.description, status_code=status or usual.status, error=code)
        self.reason = one_line(reason or self.description)[:MAX_REASON_CHARACTERS]
        self.retry_after = RETRY_SECONDS if self.status_code == 503 else retry_after

    def page(self) -> str | None:
        """The URL of the page about the error, for `error_uri`; None if there is no code."""
        return f"{current_settings().issuer}/errors/{self.error}" if self.error else None

    def challenge(self) -> str | None:
        """The `WWW-Authenticate` that RFC 9110, section 15.5.2 requires with every 401."""
        return f'Basic realm="{REALM}", charset="UTF-8"' if self.status_code == 401 else None


class SourceFailedError(RefusedError):
    """The keys that the request needs are elsewhere and cannot be had: nobody guessed, and no limit counts it."""


class AccessRefusedError(RefusedError):
    """A refusal at a guarded route (RFC 6750, section 3).

    Args:
        scope: The scope that would have sufficed, for `insufficient_scope`.
    """

    def __init__(self, code: str, description: str | None = None, *, scope: str = "", **more: Any) -> None:
        super().__init__(code, description, **more)
        self.scope = scope

    def challenge(self) -> str:
        # Authlib's own 403 has no challenge at all.
        parts = [f'realm="{REALM}"', f'error="{self.error}"', f'error_description="{self.description}"']
        parts.append(f'error_uri="{self.page()}"')
        if self.scope:
            parts.append(f'scope="{self.scope}"')
        return "Bearer " + ", ".join(parts + self.where_tokens_come_from())

    def where_tokens_come_from(self) -> list[str]:
        """The parameter of RFC 9728, section 5.1, if the API has metadata."""
        address = current_app.config.get(RESOURCE_METADATA)
        return [f'resource_metadata="{address}"'] if address and self.status_code == 401 else []


class NoTokenError(AccessRefusedError):
    """No token was sent: RFC 6750, section 3.1 wants no error code then. Authlib sends one that no RFC defines."""

    def __init__(self, *, reason: str) -> None:
        super().__init__("invalid_token", NO_TOKEN, reason=reason)
        self.error = None

    def challenge(self) -> str:
        return "Bearer " + ", ".join([f'realm="{REALM}"', *self.where_tokens_come_from()])
