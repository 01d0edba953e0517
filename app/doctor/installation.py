"""What all checks look at: the settings of this command, its database, and what the servers have shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import config
from app.doctor.visit import Visit
from app.storage.database import db


@dataclass
class Installation:
    """One installation, as it can be seen from here.

    Attributes:
        settings: The settings of this command, which should be the servers' own.
        visit: What was seen through the issuer's address.
        has_database: Whether the database responds.
        has_schema: Whether its schema serves this release.
    """

    settings: config.Settings
    visit: Visit = field(default_factory=Visit)
    has_database: bool = False
    has_schema: bool = False

    def has_server(self) -> bool:
        """Whether any server has shown what it sees."""
        return bool(self.visit.sightings)

    def is_running(self) -> bool:
        """Whether a server responds at the issuer's address."""
        return self.visit.problem is None


def is_postgresql() -> bool:
    return db.engine.dialect.name == "postgresql"


def sqlite_file() -> Path:
    """The file of a SQLite database."""
    return Path(str(db.engine.url.database))
