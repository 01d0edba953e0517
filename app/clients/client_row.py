"""A client's row in the registry."""

from __future__ import annotations

from sqlalchemy import JSON, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.clients.client_key import ClientKey
from app.clients.client_trust import ClientTrust
from app.clients.secret import ClientSecret
from app.clock import now
from app.storage.database import Base


class ClientRow(Base):
    """A machine that requests or introspects tokens. All times are in whole seconds since the epoch.

    `token_endpoint_auth_method` is None for a client that may use any method of `AUTH_METHODS`;
    `grant_types` is a list of words, `claims` are added to its tokens, `token_format` is one of
    `TOKEN_FORMATS`. `resource_server` is the audience of the API that this client is, if it is one.
    `jwks_uri` is where its keys are, if they are not stored here (RFC 7591, section 2).
    A client with a `disabled_at` is disabled; the value is for people. `generation` is written into the
    client's tokens, and those of an earlier one are refused, whatever a clock says (`registry.end_tokens`).
    The previous release reads `tokens_not_before` instead: tokens issued before it are refused, unless it
    equals `ended_until`, which means that the generation covers them.
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
    jwks_uri: Mapped[str | None] = mapped_column(Text)

    secrets: Mapped[list[ClientSecret]] = relationship(
        order_by=ClientSecret.id, cascade="all, delete-orphan", passive_deletes=True
    )
    keys: Mapped[list[ClientKey]] = relationship(
        order_by=ClientKey.id, cascade="all, delete-orphan", passive_deletes=True
    )
    trusts: Mapped[list[ClientTrust]] = relationship(
        order_by=ClientTrust.id, cascade="all, delete-orphan", passive_deletes=True
    )
