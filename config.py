"""The demo clients, and every setting: its variable, its default and its check.

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
    """A client whose secret or private key everyone knows: registered in development, refused in production."""

    client_id: str
    secret: str = ""
    key_file: str = ""  # in place of a secret: a file with its private key, a JWK
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
    # A service without a secret: it signs its requests, also those by which it introspects tokens (docs/clients.md).
    DemoClient(
        client_id="demo-signer",
        key_file="app/operations/demo_key.json",
        scope="reports:read",
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


ON_OFF = OneOf(("on", "off"))


def setting(variable: str, default: object, check: Whole | OneOf | Form) -> Any:
    """One row of the table below; docs/settings.md says what it is for, and a test compares the two."""
    return field(default=default, metadata={"variable": variable, "check": check})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting: its variable, its default and its check. docs/settings.md says what each is for."""

    # Address and mode.
    env: str = setting("KEYTURN_ENV", "development", OneOf(("development", "production")))
    port: int = setting("PORT", 8_000, Whole(1, 65_535, ""))
    issuer: str = setting("KEYTURN_ISSUER", "http://127.0.0.1:8000", Form.ISSUER)
    audience: str = setting("KEYTURN_AUDIENCE", "", Form.ABSOLUTE_URI)

    # Database, keys and tokens.
    database_url: str = setting("KEYTURN_DATABASE_URL", "sqlite:///keyturn.db", Form.DATABASE)
    database_url_file: str = setting("KEYTURN_DATABASE_URL_FILE", "", Form.CREDENTIAL)
    secret_keys: tuple[str, ...] = setting("KEYTURN_SECRET_KEYS", (), Form.FERNET_KEYS)
    secret_keys_file: str = setting("KEYTURN_SECRET_KEYS_FILE", "", Form.CREDENTIAL)
    signing_alg: str = setting("KEYTURN_SIGNING_ALG", "RS256", OneOf(("RS256", "ES256")))
    access_token_seconds: int = setting(
        "KEYTURN_ACCESS_TOKEN_SECONDS", 3_600, Whole(1, MAX_ACCESS_TOKEN_SECONDS, "seconds")
    )
    assertion_seconds: int = setting("KEYTURN_ASSERTION_SECONDS", 300, Whole(30, 3_600, "seconds"))

    # Proxies and resources.
    trusted_proxies: int = setting("KEYTURN_TRUSTED_PROXIES", 0, Whole(0, 10, "proxies"))
    resources: tuple[Resource, ...] = setting("KEYTURN_FILE", (), Form.RESOURCES)
    sample_api: str = setting("KEYTURN_SAMPLE_API", "on", ON_OFF)

    # Limits.
    limit_failures: str = setting("KEYTURN_LIMIT_FAILURES", "60/minute", Form.RATE)
    limit_address: str = setting("KEYTURN_LIMIT_ADDRESS", "300/minute", Form.RATE)
    limit_requests: str = setting("KEYTURN_LIMIT_REQUESTS", "", Form.RATE)
    limit_introspection: str = setting("KEYTURN_LIMIT_INTROSPECTION", "", Form.RATE)
    limit_api: str = setting("KEYTURN_LIMIT_API", "", Form.RATE)
    redis_url: str = setting("KEYTURN_REDIS_URL", "", Form.REDIS)
    redis_url_file: str = setting("KEYTURN_REDIS_URL_FILE", "", Form.CREDENTIAL)

    # Upkeep and the audit trail.
    upkeep: str = setting("KEYTURN_UPKEEP", "on", ON_OFF)
    key_rotation_days: int = setting("KEYTURN_KEY_ROTATION_DAYS", 90, Whole(0, 3_650, "days"))
    audit_days: int = setting("KEYTURN_AUDIT_DAYS", 90, Whole(1, 3_650, "days"))
    audit_rows: int = setting("KEYTURN_AUDIT_ROWS", 1_000_000, Whole(1_000, 100_000_000, "rows"))

    # Requests, logs and commands.
    max_body_bytes: int = setting("KEYTURN_MAX_BODY_BYTES", 16_384, Whole(1_024, 1_048_576, "bytes"))
    target_url: str = setting("KEYTURN_TARGET_URL", "", Form.DATABASE)
    journal: str = setting("KEYTURN_JOURNAL", "on", ON_OFF)
    access_log: str = setting("KEYTURN_ACCESS_LOG", "off", ON_OFF)
    operator: str = setting("KEYTURN_OPERATOR", "", Form.NAME)

    # Cores and metrics.
    pin_workers: str = setting("KEYTURN_PIN_WORKERS", "on", ON_OFF)
    metrics_bind: str = setting("KEYTURN_METRICS_BIND", "", Form.ADDRESS)
    metrics_clients: int = setting("KEYTURN_METRICS_CLIENTS", 50, Whole(0, 10_000, "clients"))

    # What `app/settings/` found while it read the variables and the file.
    issuers: tuple[Issuer, ...] = ()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Another issuer whose tokens may authenticate clients; without `jwks_uri` and `jwks_file` its metadata is read."""

    name: str
    issuer: str
    audience: str
    identity_claims: tuple[str, ...] = ("sub",)
    algorithms: tuple[str, ...] = ("RS256",)
    max_token_seconds: int = 3_600
    jwks_uri: str = ""
    jwks_file: str = ""
    private_network: bool = False
