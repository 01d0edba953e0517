"""The audit trail: each row names the budget that bounds it.

Existing rows have None, and so do rows of the previous release while it still runs: they are a budget of
their own. Assigning budgets to a million rows would block every writer for seconds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
serves = "0002"  # the oldest revision whose code this schema still serves

revisions = sa.table("schema_revisions", sa.column("revision", sa.Text), sa.column("serves", sa.Text))


def upgrade() -> None:
    op.add_column("audit_events", sa.Column("budget", sa.Text))
    op.create_index("ix_audit_events_budget_id", "audit_events", ["budget", "id"])
    op.bulk_insert(revisions, [{"revision": revision, "serves": serves}])


def downgrade() -> None:
    op.execute(revisions.delete().where(revisions.c.revision == revision))
    op.drop_index("ix_audit_events_budget_id", "audit_events")
    op.drop_column("audit_events", "budget")
