"""Alembic's environment, for `flask db upgrade`, `flask db migrate` and `flask db check`.

Alembic's own template calls `fileConfig`, which silences every logger that exists: this one does not.
"""

from importlib import import_module
from importlib.util import find_spec

from alembic import context
from flask import current_app
from sqlalchemy import func, select

from app.api import stock
from app.audit import event
from app.clients import client_row, secret
from app.keys import signing_key
from app.operations.command_group import refuse_faults
from app.storage import schema_revision
from app.storage.database import WRITES, Base, db
from app.storage.postgresql import without_time_outs
from app.tokens import stored_token

# Imported, so that Base has their tables.
MODELS = (event, client_row, stored_token, secret, signing_key, stock, schema_revision)
if find_spec("app.faults"):  # the room can be deleted with its folder
    import_module("app.faults.fault_count")
ONE_MIGRATES = 9069  # PostgreSQL names advisory locks by number
# While a migration waits for a table, every request for that table waits behind it: `flask prepare` tries again.
LOCK_SECONDS = 1

refuse_faults()
arguments = current_app.extensions["migrate"].configure_args

with (
    db.engine.connect().execution_options(**WRITES) as connection,
    connection.begin(),
    without_time_outs(connection),
):
    if connection.dialect.name == "postgresql":  # `flask db upgrade` may run beside `flask prepare`
        connection.execute(select(func.pg_advisory_xact_lock(ONE_MIGRATES)))
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    # One transaction, on SQLite too: a migration that fails leaves nothing behind.
    context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True, **arguments)
    with context.begin_transaction():
        context.run_migrations()
