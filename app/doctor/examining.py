"""The checks of an installation, in order, and how they are made: each for itself, and none for longer than a bound.

They read; nothing is changed. What a check needs and is not there, such as the database, is not one more fault: the
check is left out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app.doctor import credential_checks, database_checks, key_checks, record_checks, server_checks, setting_checks
from app.doctor.finding import FAULT, UNKNOWN, WARNING, Finding, note, unknown
from app.doctor.installation import Installation
from app.doctor.visit import Visit, VisitError, visit
from app.keys import cipher
from app.settings import current_settings
from app.storage.database import db
from app.storage.failures import cause
from app.storage.waiting import at_most

T = TypeVar("T")

CHECK_SECONDS = 15
STATEMENT_SECONDS = 5

OK, SKIPPED = "ok", "skipped"
# What a check needs, as a sentence names it.
SETTINGS, DATABASE, SCHEMA = "settings without a fault", "the database", "a database with a schema of this release"
RUNNING, SERVER = "a server at the issuer's address", "a server that shows what it sees"


class Examination(NamedTuple):
    """One check: its name, what has to be true, its function, and what there must be for it to be made."""

    name: str
    about: str
    function: Callable[[Installation], Iterable[Finding]]
    needs: str | None = None


CHECKS = (
    Examination("settings", "The settings have no fault.", setting_checks.check_settings),
    Examination(
        "environment", "A server that others reach is in production.", setting_checks.check_environment, SETTINGS
    ),
    Examination("files", "Other users cannot read the files that have secrets.", setting_checks.check_files, SETTINGS),
    Examination("disk", "SQLite's disk has room, and its log has an end.", setting_checks.check_disk, SETTINGS),
    Examination("database", "The database responds.", database_checks.check_database, SETTINGS),
    Examination("schema", "Its schema serves this release.", database_checks.check_schema, DATABASE),
    Examination("pooler", "PgBouncer lets transactions pass.", database_checks.check_pooler, DATABASE),
    Examination("connections", "PostgreSQL has enough connections.", database_checks.check_connections, DATABASE),
    Examination("time-outs", "PostgreSQL ends forgotten sessions.", database_checks.check_time_outs, DATABASE),
    Examination("issuer", "Clients find these keys at the issuer's address.", server_checks.check_issuer, SETTINGS),
    Examination("visibility", "All servers have these secret keys.", server_checks.check_visibility, RUNNING),
    Examination("proxies", "The clients' https and addresses arrive.", server_checks.check_proxies, SERVER),
    Examination("gunicorn", "The servers run with our gunicorn.conf.py.", server_checks.check_gunicorn, SERVER),
    Examination("same settings", "The servers have these settings.", server_checks.check_same_settings, SERVER),
    Examination("clocks", "The clocks of all machines agree.", server_checks.check_clocks, SETTINGS),
    Examination("limits", "Limits count where all workers count.", server_checks.check_limits, SETTINGS),
    Examination("signing key", "There is one, and it can be decrypted.", key_checks.check_signing_key, SCHEMA),
    Examination("key age", "The signing key is rotated in time.", key_checks.check_key_age, SCHEMA),
    Examination("standby key", "A standby key is published.", key_checks.check_standby, SCHEMA),
    Examination("encryption", "The newest secret key encrypts all keys.", key_checks.check_encryption, SCHEMA),
    Examination("cost", "What a token costs on this machine.", key_checks.check_cost, SCHEMA),
    Examination("upkeep", "A round of the upkeep was done lately.", record_checks.check_upkeep, SCHEMA),
    Examination("trail", "The audit trail holds as many days as it should.", record_checks.check_trail, SCHEMA),
    Examination("demo clients", "None is registered in production.", record_checks.check_demo_clients, SCHEMA),
    Examination("scopes", "The scopes of all clients are declared.", record_checks.check_scopes, SCHEMA),
    Examination("secrets", "No client's last credential ends soon.", record_checks.check_secrets, SCHEMA),
    Examination("credentials", "Every client has something that works.", credential_checks.check_credentials, SCHEMA),
    Examination(
        "other issuers", "What keyturn.toml allows of other issuers.", credential_checks.check_issuers, SETTINGS
    ),
    Examination("trusts", "Each trust matches tokens, and of one client.", credential_checks.check_trusts, SCHEMA),
    Examination("key sets", "Key sets that are elsewhere can be fetched.", credential_checks.check_key_sets, SCHEMA),
    Examination("ended secrets", "Nobody sends a secret that has ended.", record_checks.check_ended_secrets, SCHEMA),
    Examination("unused", "All clients and their credentials are used.", record_checks.check_unused, SCHEMA),
)


class Result(NamedTuple):
    """A check that was made, or left out: `ok`, `warning`, `unknown`, `fault` or `skipped`, and what it has found."""

    name: str
    result: str
    findings: Sequence[Finding] = ()


def examine(app: Flask) -> Iterator[Result]:
    """Make all checks, one after the other; each result as soon as it is there."""
    with app.app_context():
        installation = Installation(current_settings())
        if not installation.settings.faults:
            installation.visit = look(app, installation.settings.issuer)
    for check in CHECKS:
        if is_possible(check, installation):
            findings = make(check, installation, app)
            yield Result(check.name, worst(findings), findings)
        else:
            yield Result(check.name, SKIPPED, [note(f"It needs {check.needs}.")])


def look(app: Flask, issuer: str) -> Visit:
    """What can be seen through the issuer's address, within a bound."""

    def go() -> Visit:
        with app.app_context():
            return visit(issuer, has_secret_key())

    return within(CHECK_SECONDS, go) or Visit(
        VisitError(
            f"What is at the issuer's address has not responded within {CHECK_SECONDS} seconds.",
            "See what responds there, and how slowly, with `curl`.",
        )
    )


def has_secret_key() -> bool:
    try:
        return bool(cipher.fernets())
    except cipher.SealedKeyError:
        return False


def within(seconds: int, work: Callable[[], T]) -> T | None:
    """What some work returns, or None if that takes longer: it is left behind, in a thread of its own."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def is_possible(check: Examination, installation: Installation) -> bool:
    there = {
        None: True,
        SETTINGS: not installation.settings.faults,
        DATABASE: installation.has_database,
        SCHEMA: installation.has_database and installation.has_schema,
        RUNNING: not installation.settings.faults and installation.is_running(),
        SERVER: installation.has_server(),
    }
    return there[check.needs]


def make(check: Examination, installation: Installation, app: Flask) -> list[Finding]:
    """What a check finds, within a bound."""
    late = unknown(f"This was not found out within {CHECK_SECONDS} seconds.", "Run it again when the load is lower.")
    found = within(CHECK_SECONDS, lambda: findings_of(check, installation, app))
    return [late] if found is None else found


def findings_of(check: Examination, installation: Installation, app: Flask) -> list[Finding]:
    findings: list[Finding] = []
    with app.app_context(), at_most(STATEMENT_SECONDS):
        try:
            findings.extend(check.function(installation))
        except SQLAlchemyError as error:
            findings.append(unknown(f"The database does not say: {cause(error)}.", "See the check of the database."))
        except Exception as error:  # the other checks are still made
            findings.append(unknown(f"A fault of Keyturn: {type(error).__name__}.", "Report it."))
        finally:
            db.session.remove()
    return findings


def worst(findings: Iterable[Finding]) -> str:
    kinds = {each.kind for each in findings}
    return next((kind for kind in (FAULT, UNKNOWN, WARNING) if kind in kinds), OK)
