"""This file is every setting, read from the environment, and the demo clients.

The guide defines its client credentials here; so do we, for learners: `DEMO_CLIENTS`.
Real clients are registered with `flask clients create` and are kept in the database.
A setting is one `setting(…)` of `Settings`: its variable, its default, its check.
All faults are found at once, and no message repeats a value: it may be a secret.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from flask import current_app
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

ROOT = Path(__file__).parent
MAX_ACCESS_TOKEN_SECONDS = 86_400
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3
ABSOLUTE_URI = r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]+"
# Clients compare the issuer byte for byte, so nothing is allowed that could be written in two ways.
ISSUER_FORM = "https://HOST[:PORT][/PATH] without a slash at the end, or http:// on loopback (PORT sets its port)"
HOST, SEGMENT = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", r"/[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
ISSUER = rf"(https://{HOST}|http://(127\.0\.0\.1|\[::1\]|localhost))(:[1-9][0-9]{{0,4}})?({SEGMENT})*"
REDIS_FORM = "redis://[:PASSWORD@]HOST[:PORT][/NUMBER], with the password percent-encoded"
REDIS = r"rediss?://([^\s/?#@]*@)?([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:([1-5]?[0-9]{1,4}|6[0-4][0-9]{3}))?(/[0-9]{1,3})?"
MAX_URI_CHARACTERS = 200  # in every token, which must stay short enough for a header


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client whose secret everyone knows: seeded in development, refused in production."""

    client_id: str
    secret: str
    scope: str
    default_scope: str | None = None
    access_token_seconds: int | None = None
    token_format: str = "jwt"
    resource_server: str | None = None


DEMO_CLIENTS = (
    # A partner's shop updates the stock, and reads the delivery status when it asks for that.
    DemoClient(
        "demo-partner",
        "kts_demo-partner-is-for-learning-only",
        "inventory:read inventory:write shipments:read",
        default_scope="inventory:read inventory:write",
    ),
    # An internal service pulls a report every hour.
    DemoClient("demo-reporting", "kts_demo-reporting-is-for-learning-only", "reports:read"),
    # An integration with an administrator's rights.
    DemoClient("demo-admin", "kts_demo-admin-is-for-learning-only", "read:logs write:logs read:all_data"),
    # Tokens of two seconds, so that expiry can be seen.
    DemoClient("demo-brief", "kts_demo-brief-is-for-learning-only", "read:logs", access_token_seconds=2),
    # Tokens that say nothing, and have to be asked about.
    DemoClient(
        "demo-opaque",
        "kts_demo-opaque-is-for-learning-only",
        "inventory:read shipments:read",
        default_scope="inventory:read",
        token_format="opaque",
    ),
    # The API behind shipments:read (examples/resource_server.py), which asks about tokens and gets none itself.
    DemoClient(
        "demo-shipments", "kts_demo-shipments-is-for-learning-only", "", resource_server="http://127.0.0.1:8001"
    ),
)


@dataclass(frozen=True, slots=True)
class Resource:
    """An API that our tokens open: its audience, and its scopes with their descriptions."""

    name: str
    audience: str
    scopes: Mapping[str, str]


def whole_number(low: int, high: int, unit: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high} ({unit})")
        return int(text)

    return read


def matching(pattern: str, wanted: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text) or len(text) > MAX_URI_CHARACTERS:
            raise ValueError(wanted)
        return text

    return read


rate = matching("|[1-9][0-9]{0,8}/(second|minute|hour|day)", "a number and a time, as in 60/minute; empty for none")


def supported_database(text: str) -> str:
    wanted = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ValueError(wanted) from error
    # SQLite in memory is out: every worker would have a database of its own.
    is_plain_file = url.database and not url.query and "memory:" not in url.database
    if not (url.drivername == "sqlite" and is_plain_file) and not (url.drivername == "postgresql" and url.database):
        raise ValueError(wanted)
    return text


def fernet_keys(text: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(","))
    try:
        for key in keys:
            Fernet(key)
    except ValueError as error:
        raise ValueError("keys as `flask keys new-secret` prints them, newest first, commas between") from error
    return keys


def declared_resources(text: str) -> tuple[Resource, ...]:
    """The resources that a TOML file declares; where it names no audience, `load` fills it in."""
    try:
        tables = tomllib.loads(Path(text).read_text())["resources"]
        scopes = [pair for table in tables.values() for pair in table["scopes"].items()]
        audiences = [table["audience"] for table in tables.values() if "audience" in table]
    except OSError as error:
        raise ValueError("a file that can be read") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("a TOML file with [resources.NAME] and [resources.NAME.scopes]") from error
    if not scopes or not all(SCOPE_TOKEN.fullmatch(scope) and isinstance(about, str) for scope, about in scopes):
        raise ValueError("a file with scopes as in RFC 6749, section 3.3, each with a description")
    if len(dict(scopes)) < len(scopes):
        raise ValueError("a file in which every scope belongs to exactly one resource")
    if not all(isinstance(audience, str) and re.fullmatch(ABSOLUTE_URI, audience) for audience in audiences):
        raise ValueError("a file in which every audience is an absolute URI without a fragment")
    return tuple(Resource(name, table.get("audience", ""), table["scopes"]) for name, table in tables.items())


def setting(variable: str, default: object, read: Callable[[str], object]) -> Any:
    return field(default=default, metadata={"variable": variable, "read": read})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a deployer may choose."""

    env: str = setting("KEYTURN_ENV", "development", matching("development|production", "development or production"))
    issuer: str = setting("KEYTURN_ISSUER", "http://127.0.0.1:8000", matching(ISSUER, ISSUER_FORM))
    audience: str = setting("KEYTURN_AUDIENCE", "", matching(ABSOLUTE_URI, "an absolute URI without a fragment"))
    database_url: str = setting("KEYTURN_DATABASE_URL", "sqlite:///keyturn.db", supported_database)
    secret_keys: tuple[str, ...] = setting("KEYTURN_SECRET_KEYS", (), fernet_keys)
    signing_alg: str = setting("KEYTURN_SIGNING_ALG", "RS256", matching("RS256|ES256", "RS256 or ES256"))
    access_token_seconds: int = setting(
        "KEYTURN_ACCESS_TOKEN_SECONDS", 3_600, whole_number(1, MAX_ACCESS_TOKEN_SECONDS, "seconds")
    )
    trusted_proxies: int = setting("KEYTURN_TRUSTED_PROXIES", 0, whole_number(0, 10, "proxies"))
    resources: tuple[Resource, ...] = setting("KEYTURN_FILE", (), declared_resources)
    limit_failures: str = setting("KEYTURN_LIMIT_FAILURES", "60/minute", rate)
    limit_address: str = setting("KEYTURN_LIMIT_ADDRESS", "300/minute", rate)
    limit_requests: str = setting("KEYTURN_LIMIT_REQUESTS", "", rate)
    limit_introspection: str = setting("KEYTURN_LIMIT_INTROSPECTION", "", rate)
    redis_url: str = setting("KEYTURN_REDIS_URL", "", matching(REDIS, REDIS_FORM))
    audit_days: int = setting("KEYTURN_AUDIT_DAYS", 90, whole_number(1, 3_650, "days"))
    audit_rows: int = setting("KEYTURN_AUDIT_ROWS", 1_000_000, whole_number(1_000, 100_000_000, "rows"))
    max_body_bytes: int = setting("KEYTURN_MAX_BODY_BYTES", 16_384, whole_number(1_024, 1_048_576, "bytes"))
    faults: tuple[str, ...] = ()

    @property
    def is_production(self) -> bool:
        return self.env == "production"


def load(environ: Mapping[str, str]) -> Settings:
    """Read all settings; an empty variable counts as one that is not set, but an empty limit as none.

    Every fault is one sentence in `Settings.faults`, and the setting has its default instead:
    `flask keys new-secret` runs whatever is wrong. The server and the other commands refuse faults.
    """
    values, faults = read_each({name: text for name, text in environ.items() if text or "_LIMIT_" in name})
    settings = Settings(**values)
    audience = settings.audience or settings.issuer
    resources = tuple(replace(each, audience=each.audience or audience) for each in settings.resources)
    settings = replace(settings, audience=audience, resources=resources)
    faults = contradictions(settings) | faults  # of two faults of one variable, the one of its own
    return replace(settings, faults=tuple(f"{variable} must be {wanted}." for variable, wanted in faults.items()))


def read_each(given: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The value of each setting that is given and good, and what each other variable must be."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    given.setdefault("KEYTURN_FILE", str(ROOT / "keyturn.toml"))
    if port := given.get("PORT"):  # the server listens there, so the issuer follows, unless it is given
        given.setdefault("KEYTURN_ISSUER", f"http://127.0.0.1:{port}")
    for each in fields(Settings):
        variable = each.metadata.get("variable")
        if variable in given:
            try:
                values[each.name] = each.metadata["read"](given[variable])
            except ValueError as error:
                faults[variable] = str(error)
    return values, faults


def contradictions(settings: Settings) -> dict[str, str]:
    """What variables must be because of others."""
    faults = {}
    if settings.is_production and not settings.issuer.startswith("https://"):
        faults["KEYTURN_ISSUER"] = "an https URL in production"
    if settings.is_production and not settings.secret_keys:
        faults["KEYTURN_SECRET_KEYS"] = "set in production: `flask keys new-secret` prints one"
    if len({each.audience for each in settings.resources}) < len(settings.resources):
        faults["KEYTURN_FILE"] = "a file in which no two resources have one audience (samples: KEYTURN_AUDIENCE)"
    return faults


def current() -> Settings:
    """The settings of the app that answers now; of itself, as its proxy would cost three times as much."""
    return current_app._get_current_object().config["KEYTURN"]  # type: ignore[attr-defined, no-any-return]
