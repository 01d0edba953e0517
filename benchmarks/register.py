"""Fills the database that is measured: many clients, many tokens, many rows of yesterday.

Rows are inserted in bulk: the benchmark measures their number, not how they were made.
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
CALLERS = 10  # clients that send requests, in turn, however many are registered
BATCH = 20_000
RARELY = "1000000/second"  # the limits are on, but never reached


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
    """The ids of the clients that send requests, evenly spread among the registered ones."""
    return [f"ktc_{kind}-{number * count // CALLERS}" for number in range(CALLERS)]


def register(environment: Mapping[str, str], count: int) -> None:
    """Register `count` clients of each format, and an API, in a database that `flask prepare` made."""
    with create_app(read_settings(environment)).app_context():
        put(ClientRow, ({"token_format": "jwt", **client(f"jwt-{number}")} for number in range(count)))
        put(ClientRow, ({"token_format": "opaque", **client(f"opaque-{number}")} for number in range(count)))
        put(ClientRow, [client("api") | {"token_format": "jwt", "resource_server": AUDIENCE, "scope": ""}])
        first = db.session.scalar(select(func.min(ClientRow.id))) or 0
        secret = {"name": "secret-1", "digest": digest(SECRET), "created_at": int(time.time())}
        put(ClientSecret, ({"client_row": first + number, **secret} for number in range(2 * count + 1)))


def issue(environment: Mapping[str, str], owners: int, *, tokens: int = 0, expired: int = 0, revoked: int = 0) -> None:
    """Store live and expired opaque tokens, and revoked JWTs that have not expired yet.

    Args:
        environment: Of an app whose clients are registered.
        owners: How many of its clients own the tokens.
        tokens: Number of live opaque tokens.
        expired: Number of expired opaque tokens.
        revoked: Number of revoked JWTs.
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
    more = {"scope": "read:logs", "audience": AUDIENCE, "claims": {}, "issued_at": expires_at - 3_600}
    return {"digest": secrets.token_bytes(32), "client_id": f"ktc_opaque-{number}", "expires_at": expires_at, **more}


def put(model: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    todo: Iterator[dict[str, Any]] = iter(rows)
    while some := list(islice(todo, BATCH)):
        with transaction():
            db.session.execute(insert(model), some)
