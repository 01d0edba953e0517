"""Which worker of the fleet does the upkeep."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.database import Base


class Lease(Base):
    """One row: who does the upkeep until when, and what the last round did.

    `holder` names a worker; `number` grows by one each time another worker takes over. Times are in whole seconds
    since the epoch, `expires_at` by the database's clock; `round_at` is the end of the last round, and `report`
    what it did.
    """

    __tablename__ = "upkeep_lease"

    id: Mapped[int] = mapped_column(primary_key=True)
    holder: Mapped[str | None] = mapped_column(Text)
    number: Mapped[int]
    expires_at: Mapped[int]
    round_at: Mapped[int | None]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON)
