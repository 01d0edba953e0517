"""Faults: how often each was applied, if it is for the first requests only. In production the table is empty."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
serves = "0002"  # the oldest revision whose code this schema still serves

Whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
revisions = sa.table("schema_revisions", sa.column("revision", sa.Text), sa.column("serves", sa.Text))


def upgrade() -> None:
    op.create_table(
        "fault_counts",
        sa.Column("fault_id", sa.Text, nullable=False),
        sa.Column("count", Whole, nullable=False),
        sa.Column("begun_at", Whole, nullable=False),
        sa.PrimaryKeyConstraint("fault_id", name="pk_fault_counts"),
    )
    op.create_index("ix_fault_counts_begun_at", "fault_counts", ["begun_at"])
    op.bulk_insert(revisions, [{"revision": revision, "serves": serves}])


def downgrade() -> None:
    op.execute(revisions.delete().where(revisions.c.revision == revision))
    op.drop_index("ix_fault_counts_begun_at", "fault_counts")
    op.drop_table("fault_counts")
