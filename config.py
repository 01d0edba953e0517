"""The demo clients, and every setting with its variable, its default and its check.

The guide defines its client credentials here; so do we, for learners: `DEMO_CLIENTS`.
Real clients are registered with `flask clients create` and are kept in the database.
This file is data: `app/settings.py` reads the variables and performs the checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

MAX_ACCESS_TOKEN_SECONDS = 86_400


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
class Whole:
    """A whole number from `low` to `high`."""

    low: int
    high: int
    unit: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these words."""

    words: tuple[str, ...]


class Form(Enum):
    """A text of a form that `app/settings.py` knows."""

    ISSUER = auto()
    ABSOLUTE_URI = auto()
    DATABASE = auto()
    REDIS = auto()
    FERNET_KEYS = auto()
    RATE = auto()
    RESOURCES = auto()


@dataclass(frozen=True, slots=True)
class Resource:
    """An API that our tokens open: its audience, and its scopes with their descriptions."""

    name: str
    audience: str
    scopes: Mapping[str, str]


def setting(variable: str, default: object, check: Whole | OneOf | Form) -> Any:
    return field(default=default, metadata={"variable": variable, "check": check})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a deployer may choose."""

    env: str = setting("KEYTURN_ENV", "development", OneOf(("development", "production")))
    issuer: str = setting("KEYTURN_ISSUER", "http://127.0.0.1:8000", Form.ISSUER)
    audience: str = setting("KEYTURN_AUDIENCE", "", Form.ABSOLUTE_URI)
    database_url: str = setting("KEYTURN_DATABASE_URL", "sqlite:///keyturn.db", Form.DATABASE)
    secret_keys: tuple[str, ...] = setting("KEYTURN_SECRET_KEYS", (), Form.FERNET_KEYS)
    signing_alg: str = setting("KEYTURN_SIGNING_ALG", "RS256", OneOf(("RS256", "ES256")))
    access_token_seconds: int = setting(
        "KEYTURN_ACCESS_TOKEN_SECONDS", 3_600, Whole(1, MAX_ACCESS_TOKEN_SECONDS, "seconds")
    )
    trusted_proxies: int = setting("KEYTURN_TRUSTED_PROXIES", 0, Whole(0, 10, "proxies"))
    resources: tuple[Resource, ...] = setting("KEYTURN_FILE", (), Form.RESOURCES)
    limit_failures: str = setting("KEYTURN_LIMIT_FAILURES", "60/minute", Form.RATE)
    limit_address: str = setting("KEYTURN_LIMIT_ADDRESS", "300/minute", Form.RATE)
    limit_requests: str = setting("KEYTURN_LIMIT_REQUESTS", "", Form.RATE)
    limit_introspection: str = setting("KEYTURN_LIMIT_INTROSPECTION", "", Form.RATE)
    limit_api: str = setting("KEYTURN_LIMIT_API", "", Form.RATE)
    redis_url: str = setting("KEYTURN_REDIS_URL", "", Form.REDIS)
    audit_days: int = setting("KEYTURN_AUDIT_DAYS", 90, Whole(1, 3_650, "days"))
    audit_rows: int = setting("KEYTURN_AUDIT_ROWS", 1_000_000, Whole(1_000, 100_000_000, "rows"))
    max_body_bytes: int = setting("KEYTURN_MAX_BODY_BYTES", 16_384, Whole(1_024, 1_048_576, "bytes"))
    faults: tuple[str, ...] = ()

    @property
    def is_production(self) -> bool:
        return self.env == "production"
