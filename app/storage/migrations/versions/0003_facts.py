"""Facts: what an operator ordered is stored as a flag or a generation, which no clock can undo.

It only adds, and all that it adds has a default: the previous release still works.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
serves = "0002"  # the oldest revision whose code this schema still serves

Whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("clients", sa.Column("generation", Whole, nullable=False, server_default="0"))
    op.add_column("clients", sa.Column("ended_until", Whole, nullable=False, server_default="0"))
    op.add_column("client_secrets", sa.Column("ended_at", Whole))
    op.add_column("issued_tokens", sa.Column("generation", Whole, nullable=False, server_default="0"))
    op.add_column("signing_keys", sa.Column("withdrawn_at", Whole))
    keys = op.create_table(
        "key_generation",
        sa.Column("id", Whole, nullable=False),
        sa.Column("number", Whole, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_key_generation"),
    )
    op.bulk_insert(keys, [{"id": 1, "number": 1}])
    revisions = op.create_table(
        "schema_revisions",
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("serves", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_schema_revisions"),
    )
    op.bulk_insert(revisions, [{"revision": revision, "serves": serves}])


def downgrade() -> None:
    op.drop_table("schema_revisions")
    op.drop_table("key_generation")
    op.drop_column("signing_keys", "withdrawn_at")
    op.drop_column("issued_tokens", "generation")
    op.drop_column("client_secrets", "ended_at")
    for column in ("ended_until", "generation"):
        op.drop_column("clients", column)
