"""What an error of the database or of a file means, in one sentence for the operator, without passwords or values."""

from __future__ import annotations

from app.logs import one_line

NOT_PREPARED = "Was `flask prepare` run?"
LOCKED = (
    "Another transaction holds the lock for longer than it should: a process that is stopped, or a long change. "
    "Try again; docs/postgresql.md says how to find it."
)
# SQLSTATE, of PostgreSQL (appendix A of its manual), or what SQLite's message begins with.
MEANINGS = {
    "55P03": LOCKED,  # lock_not_available: lock_timeout
    "57014": "The statement took too long, and was ended.",  # query_canceled: statement_timeout
    "25P03": "The transaction was idle for too long, and was ended: this process was stopped in the middle of it.",
    "25P02": "The transaction was ended before.",  # in_failed_sql_transaction
    "25006": "The database is read-only.",
    "42P01": NOT_PREPARED,  # undefined_table
    "42703": NOT_PREPARED,  # undefined_column
    "database is locked": LOCKED,
    "readonly database": "This process may not write it: check the owner and mode of the file and its folder.",
    "no such table": NOT_PREPARED,
    "no such column": NOT_PREPARED,
    "has no column": NOT_PREPARED,
}


def cause(error: Exception) -> str:
    """The driver's message, in one line; it names hosts and users, never passwords or values."""
    return one_line(str(getattr(error, "orig", None) or error).strip().partition("\n")[0])


def meaning(error: Exception) -> str:
    """What it means and what to do; empty if that is not known."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return MEANINGS.get(state or "") or next((text for part, text in MEANINGS.items() if part in cause(error)), "")


def system_says(error: OSError) -> str:
    """The system's words without its number: "/var/lib/keyturn/keyturn.db: No space left on device"."""
    if not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
