"""Another database than the one of KEYTURN_DATABASE_URL, for the commands that work on two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from flask import Flask, current_app
from sqlalchemy import URL, make_url

from app.audit import trail
from app.keys import keystore
from app.operations.schema_upgrade import register_migrations
from app.settings import current_settings
from app.storage import database
from app.storage.database import db
from app.storage.fast_statement import current_connections
from app.storage.reserved import current_reserved


@contextmanager
def other_database(url: str) -> Iterator[Flask]:
    """An app on another database, with the settings of this one; it has no routes.

    Args:
        url: Of the form of KEYTURN_DATABASE_URL, and checked.
    """
    app = Flask("app", static_folder=None, instance_path=current_app.instance_path)
    current_settings.set(app, replace(current_settings(), database_url=url))
    database.init_app(app, url)
    trail.init_app(app)
    keystore.init_app(app)
    register_migrations(app)
    try:
        yield app
    finally:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()
            current_connections().close()
            current_reserved().dispose()


def sqlite_path(url: URL) -> Path:
    """The file of an SQLite database, behind any symbolic link; a relative one is in the app's folder."""
    return (Path(current_app.instance_path) / (url.database or "")).resolve()


def shown_url(url: str) -> str:
    """A database for people: without its password, and without what is behind the `?`."""
    made = make_url(url)
    return made.set(query={}).render_as_string(hide_password=True)
