"""For how many days the trail holds each kind of event, at the present rate: which of its bounds acts first.

KEYTURN_AUDIT_DAYS says how long events are stored, and KEYTURN_AUDIT_ROWS how many of each budget at most. Where
rows run out first, old events are removed before their age requires it; the operator is warned while half of
the rows are still free.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select

import config
from app.audit import trail
from app.audit.event import AuditEvent, Budget, Event
from app.clock import DAY_SECONDS, HOUR_SECONDS, now
from app.storage.database import db, transaction

NAMES = {
    Budget.CHANGES: "changes by the operator",
    Budget.REVOKED: "revocations by clients",
    Budget.ENTRIES: "entries of services",
    Budget.ISSUED: "issued tokens",
    Budget.REFUSED: "refusals of authenticated clients",
    Budget.ANONYMOUS: "what anyone can cause",
    None: "rows of earlier releases",
}


@dataclass(frozen=True, slots=True)
class Holding:
    """The rows of one budget. `days` is how many days KEYTURN_AUDIT_ROWS holds at that rate; None without a rate."""

    budget: str | None
    kind: str
    rows: int
    oldest_at: int | None
    rows_per_day: float
    days: float | None
    first: str  # "rows" or "age"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def holdings(settings: config.Settings) -> list[Holding]:
    """What the trail has of each budget; of earlier releases' rows only if there are any.

    The rate is that of the last day, or of the time since the oldest row if that is shorter, but at least an hour.
    """
    found = [holding(budget, settings) for budget in (*Budget, None)]
    return [each for each in found if each.budget or each.rows]


def holding(budget: Budget | None, settings: config.Settings) -> Holding:
    of_budget = AuditEvent.budget == (budget and budget.value)
    rows = db.session.scalar(select(func.count()).select_from(AuditEvent).where(of_budget)) or 0
    # By the index of budgets and ids: the oldest row of a budget is the one with the lowest id.
    oldest = db.session.scalar(select(AuditEvent.at).where(of_budget).order_by(AuditEvent.id).limit(1))
    seconds = min(DAY_SECONDS, max(HOUR_SECONDS, now() - (now() if oldest is None else oldest)))
    recent = select(func.count()).select_from(AuditEvent).where(of_budget, AuditEvent.at >= now() - seconds)
    per_day = (db.session.scalar(recent) or 0) * DAY_SECONDS / seconds
    days = round(settings.audit_rows / per_day, 1) if per_day else None
    first = "rows" if days is not None and days < settings.audit_days else "age"
    return Holding(budget and budget.value, NAMES[budget], rows, oldest, round(per_day, 1), days, first)


def warnings(settings: config.Settings) -> dict[str, str]:
    """A sentence for each budget that runs out of rows before its events are old, once half of its rows are used."""
    short = [each for each in holdings(settings) if each.first == "rows" and each.rows * 2 >= settings.audit_rows]
    return {str(each.budget): sentence(each, settings) for each in short if each.budget}


def sentence(short: Holding, settings: config.Settings) -> str:
    return (
        f"{short.kind}: at {short.rows_per_day:,.0f} rows a day KEYTURN_AUDIT_ROWS ({settings.audit_rows:,}) holds "
        f"{short.days:g} days, and KEYTURN_AUDIT_DAYS is {settings.audit_days}; it has {short.rows:,} rows"
    )


def warn(settings: config.Settings) -> list[str]:
    """Record each of these warnings, in the log and the trail, unless any server has done so within a day.

    Returns:
        The sentences that were recorded.
    """
    found = warnings(settings)
    if not found:
        return []
    with transaction():
        last_day = (AuditEvent.event == Event.TRAIL_TOO_SMALL.value) & (AuditEvent.at > now() - DAY_SECONDS)
        reasons = db.session.scalars(select(AuditEvent.reason).where(last_day))
        said = [(reason or "").partition(":")[0] for reason in reasons]
        new = [f"{budget}: {text}" for budget, text in found.items() if budget not in said]
        for each in new:
            trail.record(Event.TRAIL_TOO_SMALL, reason=each)
    return new
