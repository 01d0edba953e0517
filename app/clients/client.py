"""A client: its row in the register, and what a request knows of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from authlib.oauth2.rfc6749 import ClientMixin
from sqlalchemy import JSON, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.clients import scope
from app.clients.secret import ClientSecret, KnownSecret
from app.clock import now
from app.storage.database import Base

SECRET_METHODS = ("client_secret_basic", "client_secret_post")
TOKEN_FORMATS = ("jwt", "opaque")


class Client(Base):
    """A machine that asks for tokens. All moments are in whole seconds since the epoch.

    `token_endpoint_auth_method` is None for a client that may use any method of `SECRET_METHODS`;
    `grant_types` is a list of words, `claims` are added to its tokens, `token_format` is one of
    `TOKEN_FORMATS`. `resource_server` is the audience of the API that this client is, if it is one.
    That `disabled_at` is there is the fact; its value is for people. `generation` is written into the
    client's tokens, and those of an earlier one are refused, whatever a clock says (`registry.end_tokens`).
    The previous release knows `tokens_not_before` instead: tokens issued before it are refused, unless it
    equals `ended_until`, which says that the generation covers them.
    """

    __tablename__ = "clients"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    scope: Mapped[str] = mapped_column(Text)
    default_scope: Mapped[str] = mapped_column(Text)
    access_token_seconds: Mapped[int | None]
    token_endpoint_auth_method: Mapped[str | None] = mapped_column(Text)
    grant_types: Mapped[str] = mapped_column(Text)
    claims: Mapped[dict[str, str]] = mapped_column(JSON)
    token_format: Mapped[str] = mapped_column(Text)
    resource_server: Mapped[str | None] = mapped_column(Text)
    tokens_not_before: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[int] = mapped_column(default=now)
    disabled_at: Mapped[int | None]
    generation: Mapped[int] = mapped_column(default=0)
    ended_until: Mapped[int] = mapped_column(default=0)

    secrets: Mapped[list[ClientSecret]] = relationship(
        order_by=ClientSecret.id, cascade="all, delete-orphan", passive_deletes=True
    )


@dataclass(frozen=True, slots=True)
class RegisteredClient(ClientMixin):
    """A client as a request meets it: what its row says, and what Authlib asks of it.

    No row of the ORM: loading one costs ten times as much, and every token would pay it.
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
            self.token_endpoint_auth_method is None and method in SECRET_METHODS
        )

    def get_allowed_scope(self, asked: str | None) -> str:
        # Authlib's own mixin drops what is not allowed, and issues a token without scope.
        return scope.choose(asked or "", allowed=self.scope, default=self.default_scope)
