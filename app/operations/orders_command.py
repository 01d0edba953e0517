"""`flask db orders`: what was ended in another database and works in this one, as after a restore."""

from __future__ import annotations

from pathlib import Path

import click
from sqlalchemy import Engine

from app.audit import trail
from app.audit.event import Event
from app.clock import LEEWAY_SECONDS, now
from app.copying import carrying_over, orders
from app.copying.database_copy import CopyError, snapshot
from app.copying.in_use import find_users
from app.copying.orders import Losses, Orders
from app.operations.command_group import Outcome, changes, operator_command
from app.operations.database_url_argument import read_url, refuse_same, refuse_source
from app.operations.file_argument import FILE
from app.operations.other_database import other_database
from app.operations.restore_report import KEPT, LOST, ORDERED, listed
from app.operations.schema_upgrade import newest_revision
from app.storage import schema_revision
from app.storage.database import db, transaction

NOTHING = "Nothing was revoked, ended, disabled, deleted or withdrawn there that works here."
HOW = "With --keep they are carried over, while all servers are stopped."


@operator_command("orders", refusals=(CopyError,))
@click.argument("other_url", required=False)
@click.option("--other-file", type=FILE, help="A file with the other database's URL.")
@click.option("--keep", is_flag=True, help="End here what was ended there, and take its signing keys.")
@changes
def orders_command(other_url: str | None, other_file: Path | None, keep: bool) -> Outcome:
    """Name what was revoked, ended, disabled, deleted or withdrawn in another database and works in this one.

    After a restore to a new database: OTHER_URL is the one that was used until then. It is only read.
    """
    url = read_url({"OTHER_URL": other_url, "--other-file": other_file})
    refuse_source()
    with other_database(url) as other:
        refuse_same(other)
        with other.app_context():
            found, newest, engine = schema_revision.find_revision(), newest_revision(), db.engine
        if found != newest:
            raise CopyError(f"The schema of the other database is {found or 'missing'}, not {newest}.")
        ordered, lost = compare(engine)
        if keep and ordered.as_dict():
            keep_orders(engine)
    lines = ["Ordered there, and not here:", *listed(ordered.as_dict(), ORDERED)] if ordered.as_dict() else [NOTHING]
    lines += ["There, and not here:", *listed(lost.as_dict(), LOST)] if lost.as_dict() else []
    is_changed = keep and bool(ordered.as_dict())
    lines += [KEPT] if is_changed else [HOW] if ordered.as_dict() else []
    document = {"ordered": ordered.as_dict(), "lacks": lost.as_dict(), "orders_kept": is_changed}
    return Outcome(document, "\n".join(lines), changed=is_changed)


def compare(other: Engine) -> tuple[Orders, Losses]:
    moment = now() - LEEWAY_SECONDS
    with snapshot(other) as there, snapshot(db.engine) as here:
        newer, restored = orders.read_contents(there, moment), orders.read_contents(here, moment)
    return orders.find_orders(newer, restored), orders.find_losses(newer, restored)


def keep_orders(other: Engine) -> None:
    db.session.remove()
    if users := find_users(db.engine):
        raise CopyError(f"{users[:1].upper() + users[1:]}: stop all servers first. Nothing was changed.")
    with snapshot(other) as there, transaction():
        connection = db.session.connection()
        carrying_over.carry_over(there, connection, now())
        carrying_over.renew_generation(connection, carrying_over.key_generation(there))
        trail.record(Event.DATABASE_RESTORED, reason="orders given in another database: kept")
