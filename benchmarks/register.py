"""This file is what lies in the database while it is measured: many clients, many tokens, many rows of yesterday.

Rows are inserted in bulk: what is measured is how much there is, not how it came.
"""

from __future__ import annotations

import base64
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import func, insert, select

from app import create_app
from app.clients.client_row import ClientRow
from app.clients.secret import ClientSecret, digest
from app.settings import read_settings
from app.storage.database import Base, db, transaction
from app.tokens.stored_token import IssuedToken, RevokedToken
from benchmarks.server import ROOT, clean_environment

AUDIENCE = "https://auth.example.com"
SECRET = "kts_one-secret-for-all-of-them"
CALLERS = 10  # so many clients ask in turn, however many there are
BATCH = 20_000
RARELY = "1000000/second"  # limits that are on, and out of reach


def production(database_url: str) -> dict[str, str]:
    """The environment of a deployment: audit trail on, every limit on, a proxy in front."""
    return clean_environment() | {
        "KEYTURN_ENV": "production",
        "KEYTURN_ISSUER": AUDIENCE,
        "KEYTURN_TRUSTED_PROXIES": "1",
        "KEYTURN_SECRET_KEYS": Fernet.generate_key().decode(),
        "KEYTURN_DATABASE_URL": database_url,
        "KEYTURN_LIMIT_FAILURES": RARELY,
        "KEYTURN_LIMIT_ADDRESS": RARELY,
        "KEYTURN_LIMIT_REQUESTS": RARELY,
        "KEYTURN_LIMIT_INTROSPECTION": RARELY,
    }


def flask(environment: Mapping[str, str], *command: str) -> str:
    run = [sys.executable, "-m", "flask", *command]
    return subprocess.run(run, cwd=ROOT, env=dict(environment), check=True, capture_output=True, text=True).stdout


def basic(client_id: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{SECRET}".encode()).decode()


def callers(kind: str, count: int) -> list[str]:
    """The ids of the clients that ask, evenly spread among those that are registered."""
    return [f"ktc_{kind}-{number * count // CALLERS}" for number in range(CALLERS)]


def register(environment: Mapping[str, str], count: int) -> None:
    """Register so many clients of each format, and an API, in a database that `flask prepare` has made."""
    with create_app(read_settings(environment)).app_context():
        put(ClientRow, ({"token_format": "jwt", **client(f"jwt-{number}")} for number in range(count)))
        put(ClientRow, ({"token_format": "opaque", **client(f"opaque-{number}")} for number in range(count)))
        put(ClientRow, [client("api") | {"token_format": "jwt", "resource_server": AUDIENCE, "scope": ""}])
        first = db.session.scalar(select(func.min(ClientRow.id))) or 0
        secret = {"name": "secret-1", "digest": digest(SECRET), "created_at": int(time.time())}
        put(ClientSecret, ({"client_row": first + number, **secret} for number in range(2 * count + 1)))


def issue(environment: Mapping[str, str], owners: int, *, tokens: int = 0, expired: int = 0, revoked: int = 0) -> None:
    """Write down opaque tokens that live and that have expired, and JWTs that were revoked and would still live.

    Args:
        environment: Of an app whose clients are registered.
        owners: To how many of its clients.
        tokens: How many that live.
        expired: How many that have expired.
        revoked: How many revoked JWTs.
    """
    end = int(time.time()) + 86_400
    with create_app(read_settings(environment)).app_context():
        put(IssuedToken, (opaque(number % owners, end) for number in range(tokens)))
        put(IssuedToken, (opaque(number % owners, end - 2 * 86_400) for number in range(expired)))
        put(RevokedToken, ({"jti": secrets.token_urlsafe(16), "expires_at": end} for _ in range(revoked)))


def client(name: str) -> dict[str, Any]:
    moment = int(time.time())
    more = {"scope": "read:logs", "default_scope": "", "grant_types": "client_credentials", "claims": {}}
    return {"client_id": f"ktc_{name}", "name": name, "created_at": moment, "tokens_not_before": 0, **more}


def opaque(number: int, expires_at: int) -> dict[str, Any]:
    said = {"scope": "read:logs", "audience": AUDIENCE, "claims": {}, "issued_at": expires_at - 3_600}
    return {"digest": secrets.token_bytes(32), "client_id": f"ktc_opaque-{number}", "expires_at": expires_at, **said}


def put(model: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    todo: Iterator[dict[str, Any]] = iter(rows)
    while some := list(islice(todo, BATCH)):
        with transaction():
            db.session.execute(insert(model), some)
