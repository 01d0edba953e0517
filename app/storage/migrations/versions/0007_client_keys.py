"""Clients without a secret: their public keys, and the assertions that were used.

It only adds, and the previous release still works: it refuses assertions, as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
serves = "0002"  # the oldest revision whose code this schema still serves

Whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
revisions = sa.table("schema_revisions", sa.column("revision", sa.Text), sa.column("serves", sa.Text))


def upgrade() -> None:
    op.create_table(
        "client_keys",
        sa.Column("id", Whole, nullable=False),
        sa.Column("client_row", Whole, nullable=False),
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("alg", sa.Text, nullable=False),
        sa.Column("jwk", sa.Text, nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("not_after", Whole),
        sa.Column("last_used_at", Whole),
        sa.Column("ended_at", Whole),
        sa.PrimaryKeyConstraint("id", name="pk_client_keys"),
        sa.ForeignKeyConstraint(
            ["client_row"], ["clients.id"], name="fk_client_keys_client_row_clients", ondelete="CASCADE"
        ),
        # Its index is also the one by which a client's keys are found.
        sa.UniqueConstraint("client_row", "kid", name="uq_client_keys_client_row_kid"),
    )
    op.create_table(
        "used_assertions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", Whole, nullable=False),
        sa.Column("used_at", Whole, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_used_assertions"),
    )
    op.create_index("ix_used_assertions_expires_at", "used_assertions", ["expires_at"])
    op.bulk_insert(revisions, [{"revision": revision, "serves": serves}])


def downgrade() -> None:
    op.execute(revisions.delete().where(revisions.c.revision == revision))
    op.drop_table("used_assertions")
    op.drop_table("client_keys")
