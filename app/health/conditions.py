"""What a server needs to issue tokens: each condition is a function that returns a sentence if it is not met.

A sentence says what an operator can do. It names no host, no user and no password: `GET /health/ready` shows it to
anyone. Those after `schema` read tables, and are not evaluated without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from app import storage
from app.clock import LEEWAY_SECONDS, now
from app.keys.cipher import SealedKeyError
from app.keys.keystore import current_keystore
from app.storage import database_clock, schema_revision

VERSIONS = Path(storage.__file__).parent / "migrations" / "versions"

NOT_PREPARED = "The database is not prepared: run `flask prepare`."
OLD_SCHEMA = "The schema of the database is {found}, and this release needs {needed}: run `flask prepare`."
NEW_SCHEMA = (
    "The schema of the database is {found}, of a newer release that does not serve this one ({needed}): start that "
    "release."
)
NO_KEY = "There is no signing key: run `flask prepare`."
SEALED_KEY = "The signing key cannot be decrypted: set KEYTURN_SECRET_KEYS to the key that encrypted it."
WRONG_CLOCK = (
    "This machine's clock is {seconds} seconds {direction} the database's: synchronize it. If every server says so, "
    "the database's clock is wrong."
)


def schema() -> str | None:
    """The database has a schema that serves this code."""
    found, needed = schema_revision.find_revision(), needed_revision()
    if found is None:
        return NOT_PREPARED
    if found < needed:
        return OLD_SCHEMA.format(found=found, needed=needed)
    if found > needed and (schema_revision.find_oldest_served(found) or found) > needed:
        return NEW_SCHEMA.format(found=found, needed=needed)
    return None


@cache
def needed_revision() -> str:
    """The newest revision that this code has: revisions are four digits, in order, and begin the names of files."""
    return max(file.name[:4] for file in VERSIONS.glob("[0-9][0-9][0-9][0-9]_*.py"))


def signing_key() -> str | None:
    """There is a key that signs, and this process can decrypt it."""
    moment = now()
    active = next((row for row in current_keystore().rows() if row.state(moment) == "active"), None)
    if active is None:
        return NO_KEY
    try:
        current_keystore().signer(active)
    except SealedKeyError:
        return SEALED_KEY
    return None


def clock() -> str | None:
    """This machine's clock and the database's agree; a larger difference would make tokens invalid elsewhere."""
    ahead = database_clock.seconds_ahead()
    if abs(ahead) <= LEEWAY_SECONDS:
        return None
    return WRONG_CLOCK.format(seconds=abs(ahead), direction="ahead of" if ahead > 0 else "behind")


CONDITIONS: dict[str, Callable[[], str | None]] = {"clock": clock, "schema": schema, "signing_key": signing_key}
