"""Another database as an argument of a command: its URL, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from flask import Flask

from app.copying import database_copy
from app.copying.database_copy import CopyError
from app.operations.schema_upgrade import newest_revision
from app.settings.database_url import checked_database_url
from app.storage import schema_revision
from app.storage.database import db


def read_url(places: Mapping[str, str | Path | None]) -> str:
    """The URL of another database, from the one place that has it.

    Args:
        places: The text of a URL, or a file that has it, by what an operator calls the place.

    Raises:
        UsageError: If none or two have it.
        CopyError: If it is not valid; the text does not repeat it.
        OSError: If a file cannot be read.
    """
    found = {name: text for name, place in places.items() if place and (text := read(place))}
    if len(found) != 1:
        *names, last = places
        raise click.UsageError(f"Name one database: {', '.join(names)} or {last}.")
    ((name, text),) = found.items()
    try:
        return checked_database_url(text)
    except ValueError as error:
        raise CopyError(f"{name} must be {error}.") from error


def read(place: str | Path) -> str:
    return place.read_text(encoding="utf-8", errors="replace").strip() if isinstance(place, Path) else place


def refuse_source() -> None:
    """Refuse a database of KEYTURN_DATABASE_URL whose schema is not this release's."""
    found, newest = schema_revision.find_revision(), newest_revision()
    if found != newest:
        raise CopyError(
            f"The schema of this database is {found or 'missing'}, not {newest}: run `flask prepare` first."
        )


def refuse_same(other: Flask) -> None:
    """Refuse another database that is the one of KEYTURN_DATABASE_URL, however it is spelt."""
    source = db.engine
    with other.app_context():
        engine = db.engine
    if source.dialect.name == engine.dialect.name == "sqlite":
        is_same = Path(str(source.url.database)).resolve() == Path(str(engine.url.database)).resolve()
    else:
        is_same = database_copy.is_same_database(source, engine)
    if is_same:
        raise CopyError("It is the same database as that of KEYTURN_DATABASE_URL.")
