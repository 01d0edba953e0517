"""The last good key set of each source, for all workers of all machines."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.database import Base


class FetchedKeySet(Base):
    """A key set as its source sent it (RFC 7517). Times in seconds since the epoch.

    `source` is the address that it came from, or the issuer whose metadata named that address.
    """

    __tablename__ = "fetched_key_sets"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    jwks: Mapped[str] = mapped_column(Text)
    fetched_at: Mapped[int]
    fresh_until: Mapped[int]
