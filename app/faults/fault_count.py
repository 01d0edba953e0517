"""How often a fault for the first requests only was applied: in the database, for all workers together.

A count is deleted ten minutes after it began, and there are at most MAX_COUNTS.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Text, delete, func, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from app.clock import now
from app.storage.database import Base, db, transaction

FORGOTTEN_SECONDS = 600
MAX_COUNTS = 1_000


class FaultCount(Base):
    """A count. `begun_at` is in whole seconds since the epoch."""

    __tablename__ = "fault_counts"

    fault_id: Mapped[str] = mapped_column(Text, primary_key=True)
    count: Mapped[int]
    begun_at: Mapped[int] = mapped_column(index=True)

    @classmethod
    def is_of_no_use(cls, moment: int) -> ColumnElement[bool]:
        """Which rows may be removed: also one that began in the future, as a clock was set back."""
        return or_(cls.begun_at <= moment - FORGOTTEN_SECONDS, cls.begun_at > moment)


def count_one(fault_id: str) -> int:
    """Count one more request with this id, and return its number, from 1.

    Raises:
        SQLAlchemyError: If the database does not respond.
        TooManyWaitError: If too many threads wait for it already.
    """
    with transaction():
        forget()
        found = db.session.get(FaultCount, fault_id)
        if found is None:
            found = FaultCount(fault_id=fault_id, count=0, begun_at=now())
            db.session.add(found)
        found.count += 1
        return found.count


def forget() -> None:
    """Delete the counts that have expired, and the oldest one if there are MAX_COUNTS."""
    db.session.execute(delete(FaultCount).where(FaultCount.is_of_no_use(now())))
    if (db.session.scalar(select(func.count()).select_from(FaultCount)) or 0) >= MAX_COUNTS:
        oldest = select(FaultCount.fault_id).order_by(FaultCount.begun_at).limit(1)
        db.session.execute(delete(FaultCount).where(FaultCount.fault_id.in_(oldest)))
