"""The demo clients, and every setting: its variable, its default, its check, and what it is for.

The guide defines its client credentials in `config.js`; here they are `DEMO_CLIENTS`. A change takes
effect at the next `make run`. Real clients are registered with `flask clients create` and are in the database.
This module is data: `app/settings/` reads the variables and performs the checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

MAX_ACCESS_TOKEN_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoClient:
    """A client whose secret everyone knows: registered in development, refused in production."""

    client_id: str
    secret: str
    scope: str
    default_scope: str | None = None  # None: all of `scope`
    access_token_seconds: int | None = None  # None: KEYTURN_ACCESS_TOKEN_SECONDS
    token_format: str = "jwt"  # or "opaque"
    resource_server: str | None = None  # the audience of an API, whose tokens this client may introspect


DEMO_CLIENTS = (
    # A partner's shop: it updates the stock, and reads the delivery status if it requests that scope.
    DemoClient(
        client_id="demo-partner",
        secret="kts_demo-partner-is-for-learning-only",
        scope="inventory:read inventory:write shipments:read",
        default_scope="inventory:read inventory:write",
    ),
    # An internal service: it reads a report every hour.
    DemoClient(
        client_id="demo-reporting",
        secret="kts_demo-reporting-is-for-learning-only",
        scope="reports:read",
    ),
    # An integration with an administrator's rights.
    DemoClient(
        client_id="demo-admin",
        secret="kts_demo-admin-is-for-learning-only",
        scope="read:logs write:logs read:all_data",
    ),
    # A client whose tokens expire after two seconds, to show an expired token.
    DemoClient(
        client_id="demo-brief",
        secret="kts_demo-brief-is-for-learning-only",
        scope="read:logs",
        access_token_seconds=2,
    ),
    # A client with opaque tokens: an API has to introspect them.
    DemoClient(
        client_id="demo-opaque",
        secret="kts_demo-opaque-is-for-learning-only",
        scope="inventory:read shipments:read",
        default_scope="inventory:read",
        token_format="opaque",
    ),
    # The API that requires shipments:read (examples/resource_server.py): it introspects tokens and gets none itself.
    DemoClient(
        client_id="demo-shipments",
        secret="kts_demo-shipments-is-for-learning-only",
        scope="",
        resource_server="http://127.0.0.1:8001",
    ),
    # The client of every fault: as `fault-expired` it gets an expired token (docs/faults.md).
    DemoClient(
        client_id="fault",
        secret="kts_fault-is-for-learning-only",
        scope="read:logs reports:read inventory:read shipments:read",
        default_scope="read:logs reports:read inventory:read",
    ),
)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, of this unit."""

    low: int
    high: int
    unit: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these words."""

    words: tuple[str, ...]


class Form(Enum):
    """A text whose form `app/settings/` checks."""

    ISSUER = auto()
    ABSOLUTE_URI = auto()
    DATABASE = auto()
    REDIS = auto()
    FERNET_KEYS = auto()
    RATE = auto()
    NAME = auto()
    RESOURCES = auto()
    CREDENTIAL = auto()
    ADDRESS = auto()


def setting(variable: str, default: object, check: Whole | OneOf | Form, about: str) -> Any:
    """One row of the table below, which docs/settings.md repeats: a test compares them."""
    return field(default=default, metadata={"variable": variable, "check": check, "about": about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting: its variable, its default, its check, and what it is for."""

    env: str = setting(
        "KEYTURN_ENV",
        "development",
        OneOf(("development", "production")),
        "`production` requires https and secret keys, refuses demo clients, and gives no hints. "
        "Must be set if the issuer is https, a proxy is trusted, or the server listens beyond loopback.",
    )
    port: int = setting(
        "PORT",
        8_000,
        Whole(1, 65_535, ""),
        "The port of `make run` and of `gunicorn wsgi:app`, on 127.0.0.1 unless `--bind` says otherwise.",
    )
    issuer: str = setting(
        "KEYTURN_ISSUER",
        "http://127.0.0.1:8000",
        Form.ISSUER,
        "The URL at which clients reach this server, without a trailing slash; the default follows `PORT`. "
        "The `iss` of every token. Plain http is for loopback only.",
    )
    audience: str = setting(
        "KEYTURN_AUDIENCE",
        "",
        Form.ABSOLUTE_URI,
        "The `aud` of tokens for the sample API.",
    )
    database_url: str = setting(
        "KEYTURN_DATABASE_URL",
        "sqlite:///keyturn.db",
        Form.DATABASE,
        "A SQLite file, relative to `instance/`, or `postgresql://USER:PASSWORD@HOST/DATABASE`; "
        "see [the database URL](#the-database-url).",
    )
    database_url_file: str = setting(
        "KEYTURN_DATABASE_URL_FILE",
        "",
        Form.CREDENTIAL,
        "Instead of `KEYTURN_DATABASE_URL`: [a file](#secrets-in-files) that contains its value.",
    )
    secret_keys: tuple[str, ...] = setting(
        "KEYTURN_SECRET_KEYS",
        (),
        Form.FERNET_KEYS,
        "The keys that encrypt the signing keys at rest, newest first, separated by commas. "
        "Development generates one; production must be given one.",
    )
    secret_keys_file: str = setting(
        "KEYTURN_SECRET_KEYS_FILE",
        "",
        Form.CREDENTIAL,
        "Instead of `KEYTURN_SECRET_KEYS`: [a file](#secrets-in-files) that contains its value.",
    )
    signing_alg: str = setting(
        "KEYTURN_SIGNING_ALG",
        "RS256",
        OneOf(("RS256", "ES256")),
        "`RS256` or `ES256`, for the next signing key that is created: a change takes effect at the next rotation.",
    )
    access_token_seconds: int = setting(
        "KEYTURN_ACCESS_TOKEN_SECONDS",
        3_600,
        Whole(1, MAX_ACCESS_TOKEN_SECONDS, "seconds"),
        "How long a token is valid, unless its client has a lifetime of its own.",
    )
    trusted_proxies: int = setting(
        "KEYTURN_TRUSTED_PROXIES",
        0,
        Whole(0, 10, "proxies"),
        "How many proxies in front set `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Request-Id`. "
        "Over a unix socket it must be 1 or more; otherwise no client has an address.",
    )
    resources: tuple[Resource, ...] = setting(
        "KEYTURN_FILE",
        (),
        Form.RESOURCES,
        "The file that declares the resources and their scopes, TOML in UTF-8.",
    )
    sample_api: str = setting(
        "KEYTURN_SAMPLE_API",
        "on",
        OneOf(("on", "off")),
        "`off` removes the sample API, including `/admin/logs`, and `/.well-known/oauth-protected-resource`: "
        "each is 404. Nothing else changes; read the audit trail with `flask explain` and `flask audit`.",
    )
    limit_failures: str = setting(
        "KEYTURN_LIMIT_FAILURES",
        "60/minute",
        Form.RATE,
        "How many failed authentications of one client id from one address are allowed before the next one gets 429. "
        "A correct secret is never counted and never refused by this limit. "
        "A limit is a number per `second`, `minute`, `hour` or `day`; empty means none.",
    )
    limit_address: str = setting(
        "KEYTURN_LIMIT_ADDRESS",
        "300/minute",
        Form.RATE,
        "The same for one address, whatever the client id; an IPv6 address counts by its /64 network.",
    )
    limit_requests: str = setting(
        "KEYTURN_LIMIT_REQUESTS",
        "",
        Form.RATE,
        "How many tokens a client may request.",
    )
    limit_introspection: str = setting(
        "KEYTURN_LIMIT_INTROSPECTION",
        "",
        Form.RATE,
        "How many tokens an API may introspect. Every token sent to that API counts, valid or not; "
        "once the limit is reached the API can admit nobody.",
    )
    limit_api: str = setting(
        "KEYTURN_LIMIT_API",
        "",
        Form.RATE,
        "How many requests a client may make to guarded routes, counted after its token is checked.",
    )
    redis_url: str = setting(
        "KEYTURN_REDIS_URL",
        "",
        Form.REDIS,
        "`redis://HOST:PORT/NUMBER`: all workers count together. "
        "Without Redis, or while it is down, each worker counts separately.",
    )
    redis_url_file: str = setting(
        "KEYTURN_REDIS_URL_FILE",
        "",
        Form.CREDENTIAL,
        "Instead of `KEYTURN_REDIS_URL`: [a file](#secrets-in-files) that contains its value.",
    )
    upkeep: str = setting(
        "KEYTURN_UPKEEP",
        "on",
        OneOf(("on", "off")),
        "`on` lets the workers remove what has expired, rotate the signing key and log what ends soon: "
        "see [upkeep](upkeep.md). With `off`, run `flask cleanup --old-events` every hour.",
    )
    key_rotation_days: int = setting(
        "KEYTURN_KEY_ROTATION_DAYS",
        90,
        Whole(0, 3_650, "days"),
        "How long a signing key signs before the upkeep rotates it; 0 leaves rotation to `flask keys rotate`.",
    )
    audit_days: int = setting(
        "KEYTURN_AUDIT_DAYS",
        90,
        Whole(1, 3_650, "days"),
        "How many days of events the audit trail keeps.",
    )
    audit_rows: int = setting(
        "KEYTURN_AUDIT_ROWS",
        1_000_000,
        Whole(1_000, 100_000_000, "rows"),
        "The most rows the audit trail has of each of six kinds: see [what is recorded](logs.md#what-is-recorded).",
    )
    max_body_bytes: int = setting(
        "KEYTURN_MAX_BODY_BYTES",
        16_384,
        Whole(1_024, 1_048_576, "bytes"),
        "The longest request body.",
    )
    target_url: str = setting(
        "KEYTURN_TARGET_URL",
        "",
        Form.DATABASE,
        "Where [`flask db copy`](backup.md#from-sqlite-to-postgresql-and-back) copies to, unless an argument says so; "
        "in the form of `KEYTURN_DATABASE_URL`.",
    )

    journal: str = setting(
        "KEYTURN_JOURNAL",
        "on",
        OneOf(("on", "off")),
        "In development, `on` records what each request sent, without secrets, in `instance/requests.jsonl`: "
        "`flask lesson`, `flask tail` and `flask explain --last` read it. Production never records it.",
    )
    access_log: str = setting(
        "KEYTURN_ACCESS_LOG",
        "off",
        OneOf(("on", "off")),
        "`on` writes one more line for each request: its method, path, status and duration, "
        "and what no other line of that request says.",
    )
    operator: str = setting(
        "KEYTURN_OPERATOR",
        "",
        Form.NAME,
        "Who runs a command, as the audit trail records it; `sudo -u keyturn` is recorded as `ANNA as keyturn`.",
    )
    pin_workers: str = setting(
        "KEYTURN_PIN_WORKERS",
        "on",
        OneOf(("on", "off")),
        "`off` lets every worker use every core. `on` pins each worker to one core if every core gets equally many "
        "workers: that saves a quarter of a token's CPU time, unless another busy server is on the machine.",
    )
    metrics_bind: str = setting(
        "KEYTURN_METRICS_BIND",
        "",
        Form.ADDRESS,
        "`HOST:PORT`, at which gunicorn also serves `/metrics` for Prometheus; empty for none. "
        "Anyone who reaches it can read [the metrics](metrics.md#metrics).",
    )
    metrics_clients: int = setting(
        "KEYTURN_METRICS_CLIENTS",
        50,
        Whole(0, 10_000, "clients"),
        "How many clients the metrics count separately: those registered first; the rest are `other`.",
    )

    # What `app/settings/` found while it read the variables.
    env_is_set: bool = False
    faults: tuple[str, ...] = ()
    resources_file: str = ""

    @property
    def is_production(self) -> bool:
        return self.env == "production"

    @property
    def has_sample_api(self) -> bool:
        return self.sample_api == "on"


@dataclass(frozen=True, slots=True)
class Resource:
    """An API that accepts our tokens: its audience, and its scopes with their descriptions."""

    name: str
    audience: str
    scopes: Mapping[str, str]
