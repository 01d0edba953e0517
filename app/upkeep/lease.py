"""Which worker of the fleet does the upkeep: a lease in the database, by the database's clock.

A worker takes it for one round, and gives it back. Each step of the round renews it in the step's own transaction,
by its number: a worker that was frozen finds there that another has taken over, and stops. A worker that dies loses
the lease after LEASE_SECONDS.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Text, update
from sqlalchemy.orm import Mapped, mapped_column

from app.storage import database_clock
from app.storage.database import Base, db, transaction

LEASE_SECONDS = 30  # longer than a step may take: its time-outs are in `app/storage/postgresql.py`
ONLY = 1  # the id of the one row
BOOT = secrets.token_hex(3)  # two containers may have one host name, and the same process ids


class Lease(Base):
    """One row: who does the upkeep until when, and what the last round did.

    `holder` names a worker; `number` grows by one each time the lease is taken. Times are in whole seconds
    since the epoch by the database's clock; `expires_at` is 0 after the lease was given back. `round_at` is the end
    of the last round, and `report` what it did.
    """

    __tablename__ = "upkeep_lease"

    id: Mapped[int] = mapped_column(primary_key=True)
    holder: Mapped[str | None] = mapped_column(Text)
    number: Mapped[int]
    expires_at: Mapped[int]
    round_at: Mapped[int | None]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON)

    def is_held(self, moment: int) -> bool:
        """Whether a worker has it; one that expires later than any lease can is of a clock that was set back."""
        return moment < self.expires_at <= moment + LEASE_SECONDS

    def is_due(self, moment: int, every: int) -> bool:
        """Whether no round ended in the last `every` seconds; one that ends later is of a clock that was set back."""
        return self.round_at is None or not 0 <= moment - self.round_at < every


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that this process has taken: its number, and the report of the round before."""

    number: int
    last_report: dict[str, Any]


class BusyError(Exception):
    """Another worker does the upkeep; the text names it."""


class NotDueError(Exception):
    """Another worker has done a round meanwhile."""


class LostError(Exception):
    """This worker no longer holds the lease: it was stopped for too long, and another has taken over."""


def name() -> str:
    """This process, as people find it: its machine and its process id."""
    return f"{socket.gethostname()}:{os.getpid()}:{BOOT}"


def take(*, every: int = 0) -> Held:
    """Take the lease.

    Args:
        every: How many seconds must have passed since the last round.

    Raises:
        BusyError: If another worker has it.
        NotDueError: If a round ended less than `every` seconds ago.
        SQLAlchemyError: If the database does not respond.
    """
    with transaction():
        moment = database_clock.read()
        lease = db.session.get(Lease, ONLY) or new_lease()
        if lease.is_held(moment):
            raise BusyError(f"{lease.holder} does the upkeep at this moment")
        if not lease.is_due(moment, every):
            raise NotDueError
        lease.holder, lease.number, lease.expires_at = name(), lease.number + 1, moment + LEASE_SECONDS
        return Held(lease.number, lease.report or {})


def new_lease() -> Lease:
    """The row, which a migration creates: only someone who emptied the table comes here."""
    lease = Lease(id=ONLY, number=0, expires_at=0)
    db.session.add(lease)
    return lease


def renew(held: Held) -> None:
    """Hold the lease for LEASE_SECONDS more; called inside the transaction of a step.

    Raises:
        LostError: If another worker has taken it meanwhile; the transaction must not be committed.
    """
    change_own(held, expires_at=database_clock.current_moment() + LEASE_SECONDS)


def give_back(held: Held, report: dict[str, Any]) -> None:
    """End a round that was done: the next one is due after `round.ROUND_SECONDS`.

    Raises:
        LostError: If another worker has taken the lease meanwhile.
    """
    with transaction():
        change_own(held, expires_at=0, round_at=database_clock.current_moment(), report=report)


def let_go(held: Held) -> None:
    """End a round that was not done, so that another worker can try.

    Raises:
        LostError: If another worker has taken the lease meanwhile.
    """
    with transaction():
        change_own(held, expires_at=0)


def change_own(held: Held, **values: Any) -> None:
    own = (Lease.id == ONLY) & (Lease.number == held.number)
    change = update(Lease).where(own).values(**values).execution_options(synchronize_session=False)
    if not db.session.execute(change).rowcount:  # type: ignore[attr-defined]
        raise LostError("another worker has taken over the upkeep")


def last_round() -> tuple[int | None, dict[str, Any]]:
    """When the last round ended, and its report, as `round.run` returns it; None and empty if there was none."""
    lease = db.session.get(Lease, ONLY, populate_existing=True)
    if lease is None or lease.round_at is None:
        return None, {}
    return lease.round_at, lease.report or {}


def is_free_and_due(every: int) -> bool:
    """Whether a worker could take the lease; this writes nothing."""
    lease = db.session.get(Lease, ONLY, populate_existing=True)
    if lease is None:
        return True
    moment = database_clock.read()
    return lease.is_due(moment, every) and not lease.is_held(moment)
