"""Which release's code the schema serves, written into the database by the migrations themselves.

A release that was rolled back to does not have the migrations of its successor: it reads here whether
they still serve it.
"""

from __future__ import annotations

from sqlalchemy import Text, inspect, select, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.database import Base, db


class SchemaRevision(Base):
    """A migration, and the oldest revision whose code its schema still serves. Revisions are four digits, in order."""

    __tablename__ = "schema_revisions"

    revision: Mapped[str] = mapped_column(Text, primary_key=True)
    serves: Mapped[str] = mapped_column(Text)


def find_revision() -> str | None:
    """The revision of the database; None if it was never prepared."""
    if not inspect(db.engine).has_table("alembic_version"):
        return None
    with db.engine.connect() as connection:
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def find_oldest_served(revision: str) -> str | None:
    """The oldest revision whose code the schema of this one still serves; None if it did not record that."""
    if not inspect(db.engine).has_table(SchemaRevision.__tablename__):
        return None
    with db.engine.connect() as connection:
        return connection.scalar(select(SchemaRevision.serves).where(SchemaRevision.revision == revision))
