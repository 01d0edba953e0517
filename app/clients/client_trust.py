"""What a client trusts besides its own credentials: tokens of an issuer, with these claims."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.clock import now
from app.storage.database import Base


class ClientTrust(Base):
    """An issuer by its name in keyturn.toml, and the claims that its tokens must have. Times as in `ClientKey`."""

    __tablename__ = "client_trusts"

    id: Mapped[int] = mapped_column(primary_key=True)
    client_row: Mapped[int] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"), index=True)
    issuer: Mapped[str] = mapped_column(Text, index=True)
    claims: Mapped[dict[str, str]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(default=now)
    last_used_at: Mapped[int | None]
