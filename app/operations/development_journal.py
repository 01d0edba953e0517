"""The journal, for the commands that read it; only a development server has one."""

from __future__ import annotations

import click

from app.journal.journal_file import Journal, current_journal
from app.settings import current_settings

SWITCHED_OFF = "KEYTURN_JOURNAL is off, so no requests are recorded."


def open_journal(in_production: str) -> Journal:
    """The journal of this development server.

    Args:
        in_production: What to say in production, where there is none.

    Raises:
        ClickException: If there is none.
    """
    if current_settings().is_production:
        raise click.ClickException(in_production)
    if (journal := current_journal()) is None:
        raise click.ClickException(SWITCHED_OFF)
    return journal
