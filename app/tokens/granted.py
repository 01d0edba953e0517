"""What a token grants: decided once per request, for either kind of token."""

from __future__ import annotations

from dataclasses import dataclass

from app.clients.client import Client
from app.clock import now
from app.settings import current_settings


@dataclass(frozen=True, slots=True)
class Granted:
    """`issued_at` is in whole seconds since the epoch, `lifetime` in seconds."""

    client: Client
    scope: str
    audience: str
    issued_at: int
    lifetime: int

    @classmethod
    def to(cls, client: Client, requested_scope: str) -> Granted:
        """What a client is granted for the scope that it requests; an empty one means its default scope.

        Raises:
            ScopeError: If it cannot be granted.
        """
        scope = client.choose_scope(requested_scope)
        lifetime = client.access_token_seconds or current_settings().access_token_seconds
        return cls(client, scope.text, scope.audience, now(), lifetime)
