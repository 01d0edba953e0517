"""A client as a request reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from authlib.oauth2.rfc6749 import ClientMixin

from app.clients import scope
from app.clients.client_key import KnownKey
from app.clients.scope import ChosenScope
from app.clients.secret import KnownSecret

SECRET_METHODS = ("client_secret_basic", "client_secret_post")
KEY_METHOD = "private_key_jwt"
TRUST_METHOD = "federated_jwt"  # our own word: to a client, a token of its platform is one more assertion
REGISTERED_METHODS = (*SECRET_METHODS, KEY_METHOD)  # with IANA (RFC 7591, section 4.2)
# In the order in which a request is tried; each with what it sends, in words.
AUTH_METHODS = {
    "client_secret_basic": "Basic",
    "client_secret_post": "a secret in the form",
    TRUST_METHOD: "a token of its platform",
    KEY_METHOD: "a signed assertion",
}
TOKEN_FORMATS = ("jwt", "opaque")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(ClientMixin):
    """A client as a request reads it: the values of its row, and the methods that Authlib calls.

    Not a row of the ORM: loading one costs ten times as much, for every token.
    """

    client_id: str
    scope: str
    default_scope: str
    access_token_seconds: int | None
    token_endpoint_auth_method: str | None
    grant_types: str
    claims_json: str
    token_format: str
    resource_server: str | None
    disabled_at: int | None
    generation: int
    secrets: Sequence[KnownSecret]
    keys: Sequence[KnownKey] = ()
    jwks_uri: str | None = None

    @property
    def claims(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.claims_json)
        return found

    def is_disabled(self) -> bool:
        return self.disabled_at is not None

    def get_client_id(self) -> str:
        return self.client_id

    def check_grant_type(self, grant_type: str) -> bool:
        # A public client can never use the grant (RFC 6749, section 4.4), whatever its row says.
        return grant_type in self.grant_types.split() and self.token_endpoint_auth_method != "none"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.token_endpoint_auth_method or (
            self.token_endpoint_auth_method is None and method in AUTH_METHODS
        )

    def choose_scope(self, requested: str) -> ChosenScope:
        """The scope of a token: the requested one, or the default if it is empty.

        Raises:
            ScopeError: If it cannot be granted.
        """
        return scope.choose(requested, allowed=self.scope, default=self.default_scope)
