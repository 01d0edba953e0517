"""Upkeep and the trail: which worker does the upkeep, and from where and with what a client authenticated.

It only adds, and all that it adds may be empty: the previous release still works.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
serves = "0002"  # the oldest revision whose code this schema still serves

Whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
HAS_PREFIX = sa.text("jti_prefix IS NOT NULL")
ADDED = ("address", "credential", "operator", "jti_prefix")
revisions = sa.table("schema_revisions", sa.column("revision", sa.Text), sa.column("serves", sa.Text))


def upgrade() -> None:
    for name in ADDED:
        op.add_column("audit_events", sa.Column(name, sa.Text))
    op.create_index(
        "ix_audit_events_jti_prefix",
        "audit_events",
        ["jti_prefix"],
        sqlite_where=HAS_PREFIX,
        postgresql_where=HAS_PREFIX,
    )
    lease = op.create_table(
        "upkeep_lease",
        sa.Column("id", Whole, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("number", Whole, nullable=False),
        sa.Column("expires_at", Whole, nullable=False),
        sa.Column("round_at", Whole),
        sa.Column("report", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_upkeep_lease"),
    )
    op.bulk_insert(lease, [{"id": 1, "number": 0, "expires_at": 0}])
    op.bulk_insert(revisions, [{"revision": revision, "serves": serves}])


def downgrade() -> None:
    op.execute(revisions.delete().where(revisions.c.revision == revision))
    op.drop_table("upkeep_lease")
    op.drop_index("ix_audit_events_jti_prefix", "audit_events")
    for name in reversed(ADDED):
        op.drop_column("audit_events", name)
