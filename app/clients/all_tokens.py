"""Revoking the tokens of all clients at once, as after a restore from a backup."""

from __future__ import annotations

from sqlalchemy import case, update

from app.audit import trail
from app.audit.event import Event
from app.clients.client_row import ClientRow
from app.clock import now
from app.storage.database import db, transaction

# After a restore the generations that were used since the backup are unknown: a step beyond all of them, so that
# no token of such a generation becomes valid again.
GENERATIONS = 1_000_000


def revoke_all() -> int:
    """Revoke every token issued to any client so far, of either format; secrets and keys are left as they are.

    Returns:
        How many clients there are.
    """
    with transaction():
        moment = now() + 1  # for the previous release, as in `registry.end_tokens`
        end = case((ClientRow.tokens_not_before > moment, ClientRow.tokens_not_before), else_=moment)
        change = update(ClientRow).values(
            generation=ClientRow.generation + GENERATIONS, tokens_not_before=end, ended_until=end
        )
        count = int(db.session.execute(change, execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]
        trail.record(Event.TOKENS_REVOKED, reason=f"of all {count} clients")
    return count
