"""This file is one line of the audit trail."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.database import Base


class AuditEvent(Base):
    """Something that happened, or `count` equal things that happened within a second.

    `at` is in whole seconds since the epoch; `request_id` is the last request's.
    """

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(index=True)
    event: Mapped[str] = mapped_column(Text, index=True)
    client_id: Mapped[str | None] = mapped_column(Text, index=True)
    scope: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    count: Mapped[int] = mapped_column(default=1)

    def as_dict(self) -> dict[str, str | int]:
        """The event as `GET /admin/logs` shows it; what it does not have is left out."""
        names = ("id", "at", "event", "client_id", "scope", "reason", "request_id", "count")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
