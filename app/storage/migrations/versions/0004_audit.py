"""The audit trail: each row names the budget that bounds it.

Rows that are there already keep None, and so do rows of the previous release while it still serves:
they are a budget of their own. To sort a million rows would hold up every writer for seconds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("audit_events", sa.Column("budget", sa.Text))
    op.create_index("ix_audit_events_budget_id", "audit_events", ["budget", "id"])


def downgrade() -> None:
    op.drop_index("ix_audit_events_budget_id", "audit_events")
    op.drop_column("audit_events", "budget")
