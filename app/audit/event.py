"""Audit events: their names, the budgets that bound their rows, and the row itself.

Events that anyone can cause without credentials never push out what was issued, revoked or changed: each
budget has its own KEYTURN_AUDIT_ROWS rows in the table, and its own room in a worker's memory.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.database import Base

# Of an event as it is returned and exported, in this order.
MEMBERS = (
    *("id", "at", "event", "client_id", "credential", "address", "operator"),
    *("scope", "reason", "jti_prefix", "request_id", "count"),
)
HAS_PREFIX = text("jti_prefix IS NOT NULL")  # most rows have none


class Budget(StrEnum):
    """The events whose rows share a bound."""

    CHANGES = "changes"  # by the operator
    REVOKED = "revoked"  # by clients: one that revokes all day must not push out the operator's changes
    ENTRIES = "entries"  # by services, through POST /admin/logs
    ISSUED = "issued"
    REFUSED = "refused"  # to clients that have authenticated
    ANONYMOUS = "anonymous"  # by anyone


class Event(StrEnum):
    """What can happen, each with its budget; a refusal to a client that has not authenticated is ANONYMOUS."""

    budget: Budget

    def __new__(cls, name: str, budget: Budget) -> Event:
        member = str.__new__(cls, name)
        member._value_ = name
        member.budget = budget
        return member

    CLIENT_CREATED = "client_created", Budget.CHANGES
    CLIENT_UPDATED = "client_updated", Budget.CHANGES
    CLIENT_DISABLED = "client_disabled", Budget.CHANGES
    CLIENT_ENABLED = "client_enabled", Budget.CHANGES
    CLIENT_DELETED = "client_deleted", Budget.CHANGES
    SECRET_ROTATED = "secret_rotated", Budget.CHANGES
    SECRET_REVOKED = "secret_revoked", Budget.CHANGES
    SECRET_UPDATED = "secret_updated", Budget.CHANGES
    CLIENT_KEY_ADDED = "client_key_added", Budget.CHANGES
    CLIENT_KEY_REMOVED = "client_key_removed", Budget.CHANGES
    CLIENT_TRUST_ADDED = "client_trust_added", Budget.CHANGES
    CLIENT_TRUST_REMOVED = "client_trust_removed", Budget.CHANGES
    TOKENS_REVOKED = "tokens_revoked", Budget.CHANGES
    KEY_CREATED = "key_created", Budget.CHANGES
    KEY_ROTATED = "key_rotated", Budget.CHANGES
    KEY_WITHDRAWN = "key_withdrawn", Budget.CHANGES
    KEYS_RESEALED = "keys_resealed", Budget.CHANGES
    CLEANED_UP = "cleaned_up", Budget.CHANGES
    DATABASE_RESTORED = "database_restored", Budget.CHANGES
    TOKEN_REVOKED = "token_revoked", Budget.REVOKED
    ENTRY_ADDED = "entry_added", Budget.ENTRIES
    TOKEN_ISSUED = "token_issued", Budget.ISSUED
    TOKEN_REFUSED = "token_refused", Budget.REFUSED
    INTROSPECTION_REFUSED = "introspection_refused", Budget.REFUSED
    REVOCATION_REFUSED = "revocation_refused", Budget.REFUSED
    ACCESS_REFUSED = "access_refused", Budget.REFUSED
    REQUEST_REFUSED = "request_refused", Budget.REFUSED
    REQUEST_FAILED = "request_failed", Budget.REFUSED
    # Anyone can make an API introspect garbage.
    TOKEN_INACTIVE = "token_inactive", Budget.ANONYMOUS
    # At most one a day for each budget, and no caller can cause it.
    TRAIL_TOO_SMALL = "trail_too_small", Budget.CHANGES
    # At most one per worker in 5 seconds, and no caller can cause it.
    LIMITS_NOT_SHARED = "limits_not_shared", Budget.REFUSED


class AuditEvent(Base):
    """Something that happened, or `count` equal things that happened within a second.

    `at` is in whole seconds since the epoch; `request_id` is the last request's. `budget` is None in
    rows of releases without budgets: those share their own bound. `address` is the client's, `credential` the name
    of the secret or trust, or the id of the key, by which it authenticated, `operator` who ran the command.
    `jti_prefix` is what the `jti` of every token that the row counts begins with. Each is None where there is none.
    """

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(index=True)
    event: Mapped[str] = mapped_column(Text, index=True)
    budget: Mapped[str | None] = mapped_column(Text)
    client_id: Mapped[str | None] = mapped_column(Text, index=True)
    scope: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    count: Mapped[int] = mapped_column(default=1)
    address: Mapped[str | None] = mapped_column(Text)
    credential: Mapped[str | None] = mapped_column(Text)
    operator: Mapped[str | None] = mapped_column(Text)
    jti_prefix: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        # Counting the newest rows of a budget reads this index alone.
        Index("ix_audit_events_budget_id", "budget", "id"),
        Index("ix_audit_events_jti_prefix", "jti_prefix", sqlite_where=HAS_PREFIX, postgresql_where=HAS_PREFIX),
    )

    def as_dict(self) -> dict[str, str | int]:
        """The event as `GET /admin/logs` returns it, without the members that it does not have."""
        return {name: value for name in MEMBERS if (value := getattr(self, name)) is not None}
