"""Tokens: opaque ones, revoked ones, and the clients' columns about them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    # The defaults are for existing clients; a new client has its own values.
    op.add_column("clients", sa.Column("token_format", sa.Text, nullable=False, server_default="jwt"))
    op.add_column("clients", sa.Column("resource_server", sa.Text))
    op.add_column("clients", sa.Column("tokens_not_before", Whole, nullable=False, server_default="0"))
    op.create_table(
        "issued_tokens",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("claims", sa.JSON, nullable=False),
        sa.Column("issued_at", Whole, nullable=False),
        sa.Column("expires_at", Whole, nullable=False),
        sa.Column("revoked_at", Whole),
        sa.PrimaryKeyConstraint("digest", name="pk_issued_tokens"),
    )
    op.create_index("ix_issued_tokens_expires_at", "issued_tokens", ["expires_at"])
    op.create_table(
        "revoked_tokens",
        sa.Column("jti", sa.Text, nullable=False),
        sa.Column("expires_at", Whole, nullable=False),
        sa.PrimaryKeyConstraint("jti", name="pk_revoked_tokens"),
    )
    op.create_index("ix_revoked_tokens_expires_at", "revoked_tokens", ["expires_at"])


def downgrade() -> None:
    op.drop_table("revoked_tokens")
    op.drop_table("issued_tokens")
    for column in ("tokens_not_before", "resource_server", "token_format"):
        op.drop_column("clients", column)
