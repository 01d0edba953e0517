"""The core: clients and their secrets, signing keys, the audit trail, the sample's stock."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# SQLite's row ids need the type INTEGER; PostgreSQL's INTEGER is too short for times after 2038.
Whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "clients",
        sa.Column("id", Whole, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("default_scope", sa.Text, nullable=False),
        sa.Column("access_token_seconds", Whole),
        sa.Column("token_endpoint_auth_method", sa.Text),
        sa.Column("grant_types", sa.Text, nullable=False),
        sa.Column("claims", sa.JSON, nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("disabled_at", Whole),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
        sa.UniqueConstraint("client_id", name="uq_clients_client_id"),
        sa.UniqueConstraint("name", name="uq_clients_name"),
    )
    op.create_table(
        "client_secrets",
        sa.Column("id", Whole, nullable=False),
        sa.Column("client_row", Whole, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("created_at", Whole, nullable=False),
        sa.Column("not_after", Whole),
        sa.Column("last_used_at", Whole),
        sa.PrimaryKeyConstraint("id", name="pk_client_secrets"),
        sa.ForeignKeyConstraint(
            ["client_row"], ["clients.id"], name="fk_client_secrets_client_row_clients", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_client_secrets_client_row", "client_secrets", ["client_row"])
    op.create_table(
        "signing_keys",
        sa.Column("id", Whole, nullable=False),
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("alg", sa.Text, nullable=False),
        sa.Column("public_jwk", sa.JSON, nullable=False),
        sa.Column("private_pem", sa.Text, nullable=False),
        sa.Column("published_at", Whole, nullable=False),
        sa.Column("signs_from", Whole, nullable=False),
        sa.Column("retired_at", Whole),
        sa.Column("gone_at", Whole),
        sa.PrimaryKeyConstraint("id", name="pk_signing_keys"),
        sa.UniqueConstraint("kid", name="uq_signing_keys_kid"),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", Whole, nullable=False),
        sa.Column("at", Whole, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text),
        sa.Column("scope", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("count", Whole, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    for column in ("at", "event", "client_id"):
        op.create_index(f"ix_audit_events_{column}", "audit_events", [column])
    op.create_table(
        "stock_items",
        sa.Column("sku", sa.Text, nullable=False),
        sa.Column("quantity", Whole, nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_stock_items"),
    )


def downgrade() -> None:
    for table in ("stock_items", "audit_events", "signing_keys", "client_secrets", "clients"):
        op.drop_table(table)
