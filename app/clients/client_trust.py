"""Trusts: whose tokens authenticate a client instead of a secret or a key of its own."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.clients.credential import Credential
from app.storage.database import Base

MAX_TRUSTS = 8
MAX_CLAIMS = 16


class ClientTrust(Credential, Base):
    """An issuer that a client trusts, and what its tokens must say.

    `issuer` is the `iss` of the tokens, as keyturn.toml declares it. `claims` are the expected values by name. One of
    them names an identity: `identity` is that one as `name=value`, by which the trust is found; it is empty if the
    value has a `*`.
    """

    __tablename__ = "client_trusts"
    __table_args__ = (
        UniqueConstraint("client_row", "name"),
        Index("ix_client_trusts_issuer_identity", "issuer", "identity"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    client_row: Mapped[int] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    issuer: Mapped[str] = mapped_column(Text)
    identity: Mapped[str] = mapped_column(Text)
    claims: Mapped[dict[str, str]] = mapped_column(JSON)
