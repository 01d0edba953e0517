"""The exceptions that end a request: what the caller reads, and what only the log reads.

A refusal has two texts. The description is constant: nothing of the request is reflected. The reason is
the truth; it goes to the log and the audit trail, and in development also to the caller, as `hint`.

    OAuth2Error                     Authlib's
    └── RefusedError                a request that is not granted
        └── AccessRefusedError      at a guarded route: with a Bearer challenge
            └── NoTokenError        without any token

Other rooms know nothing of HTTP and raise errors of their own:

    ScopeError                      clients/scope: a scope that cannot be granted
    └── UndeclaredScopeError        no resource declares a word of it
    RegistrationError               clients: what the operator asked for is wrong
    NoSigningKeyError               keys/keystore: nothing can be signed
    SealedKeyError, RotationError   keys: a key that cannot be opened, or not be rotated
    InvalidTokenError               tokens: a token that is not one of ours, or no longer
    StockFullError                  api/stock: one article too many

`app/refusals/rendering.py` translates what reaches it into a response, and nothing else does.
"""

from __future__ import annotations

from typing import Any

from authlib.oauth2 import OAuth2Error
from flask import current_app

from app.logs import one_line
from app.refusals.codes import CODES
from app.settings import current_settings

REALM = "keyturn"
RESOURCE_METADATA = "RESOURCE_METADATA"  # the address that RFC 9728 wants in a challenge, in `app.config`
RETRY_SECONDS = 5
MAX_REASON_CHARACTERS = 200

NO_TOKEN = "This needs an access token. Send it as Authorization: Bearer TOKEN."


class RefusedError(OAuth2Error):
    """A request that is not granted (RFC 6749, section 5.2).

    Args:
        code: One of `CODES`.
        description: What the caller reads: constant, in the characters of RFC 6749, section 5.2.
        reason: What the log and the audit trail read, where the description is not the whole truth.
        status: The HTTP status, where it is not the code's usual one.
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
        """The address of the page about the error, for `error_uri`; none where there is no code."""
        return f"{current_settings().issuer}/errors/{self.error}" if self.error else None

    def challenge(self) -> str | None:
        """The `WWW-Authenticate` that RFC 9110, section 15.5.2 wants with every 401."""
        return f'Basic realm="{REALM}", charset="UTF-8"' if self.status_code == 401 else None


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
        """RFC 9728, section 5.1."""
        address = current_app.config.get(RESOURCE_METADATA)
        return [f'resource_metadata="{address}"'] if address and self.status_code == 401 else []


class NoTokenError(AccessRefusedError):
    """No token was sent: RFC 6750, section 3.1 wants no error code then. Authlib sends one, and no code of the RFC."""

    def __init__(self, *, reason: str) -> None:
        super().__init__("invalid_token", NO_TOKEN, reason=reason)
        self.error = None

    def challenge(self) -> str:
        return "Bearer " + ", ".join([f'realm="{REALM}"', *self.where_tokens_come_from()])
