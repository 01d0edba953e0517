"""Keys that are elsewhere, and trusts: a client may authenticate with a token of another issuer.

It only adds, and the previous release still works: it refuses such tokens, as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
serves = "0002"  # the oldest revision whose code this schema still serves

Whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
revisions = sa.table("schema_revisions", sa.column("revision", sa.Text), sa.column("serves", sa.Text))


def upgrade() -> None:
    op.add_column("clients", sa.Column("jwks_uri", sa.Text))
    op.create_table(
        "client_trusts",
        sa.Column("id", Whole, nullable=False),
        sa.Column("client_row", Whole, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("claims", sa.JSON, nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("not_after", Whole),
        sa.Column("last_used_at", Whole),
        sa.Column("ended_at", Whole),
        sa.PrimaryKeyConstraint("id", name="pk_client_trusts"),
        sa.ForeignKeyConstraint(
            ["client_row"], ["clients.id"], name="fk_client_trusts_client_row_clients", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("client_row", "name", name="uq_client_trusts_client_row_name"),
    )
    # By what a token says, the trusts that may match it are found.
    op.create_index("ix_client_trusts_issuer_identity", "client_trusts", ["issuer", "identity"])
    op.create_table(
        "fetched_key_sets",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("jwks", sa.Text, nullable=False),
        sa.Column("fetched_at", Whole, nullable=False),
        sa.Column("fresh_until", Whole, nullable=False),
        sa.Column("claimed_until", Whole, nullable=False),
        sa.Column("next_try_at", Whole, nullable=False),
        sa.Column("failures", Whole, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_fetched_key_sets"),
    )
    op.bulk_insert(revisions, [{"revision": revision, "serves": serves}])


def downgrade() -> None:
    op.execute(revisions.delete().where(revisions.c.revision == revision))
    op.drop_table("fetched_key_sets")
    op.drop_index("ix_client_trusts_issuer_identity", "client_trusts")
    op.drop_table("client_trusts")
    op.drop_column("clients", "jwks_uri")
