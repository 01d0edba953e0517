"""The settings of `config.py`, read from the environment and checked.

All faults are found at once, and no message repeats a value: it may be a secret.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.per_app import PerApp
from config import Form, OneOf, Resource, Settings, Whole

ROOT = Path(__file__).parent.parent
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3
ABSOLUTE_URI = r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]+"
# Clients compare the issuer byte for byte, so nothing is allowed that could be written in two ways.
ISSUER_FORM = "https://HOST[:PORT][/PATH] without a slash at the end, or http:// on loopback (PORT sets its port)"
HOST, SEGMENT = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", r"/[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
ISSUER = rf"(https://{HOST}|http://(127\.0\.0\.1|\[::1\]|localhost))(:[1-9][0-9]{{0,4}})?({SEGMENT})*"
REDIS_FORM = "redis://[:PASSWORD@]HOST[:PORT][/NUMBER], with the password percent-encoded"
REDIS = r"rediss?://([^\s/?#@]*@)?([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:([1-5]?[0-9]{1,4}|6[0-4][0-9]{3}))?(/[0-9]{1,3})?"
MAX_URI_CHARACTERS = 200  # in every token, which must stay short enough for a header

current_settings = PerApp[Settings]("settings")


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read all settings; an empty variable counts as one that is not set, but an empty limit as none.

    Every fault is one sentence in `Settings.faults`, and the setting has its default instead:
    `flask keys new-secret` runs whatever is wrong. The server and the other commands refuse faults.
    """
    values, faults = read_each({name: text for name, text in environ.items() if text or "_LIMIT_" in name})
    settings = Settings(**values)
    audience = settings.audience or settings.issuer
    resources = tuple(replace(each, audience=each.audience or audience) for each in settings.resources)
    file = environ.get("KEYTURN_FILE") or str(ROOT / "keyturn.toml")
    settings = replace(settings, audience=audience, resources=resources, resources_file=file)
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
                values[each.name] = perform(each.metadata["check"], given[variable])
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


def perform(check: Whole | OneOf | Form, text: str) -> object:
    """What a text says, by the check of its setting.

    Raises:
        ValueError: If it is not what is wanted; the message says what is.
    """
    if isinstance(check, Whole):
        if not re.fullmatch(r"[0-9]{1,9}", text) or not check.low <= int(text) <= check.high:
            raise ValueError(f"a whole number from {check.low} to {check.high} ({check.unit})")
        return int(text)
    if isinstance(check, OneOf):
        if text not in check.words:
            raise ValueError(" or ".join(check.words))
        return text
    return FORMS[check](text)


def matching(pattern: str, wanted: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text) or len(text) > MAX_URI_CHARACTERS:
            raise ValueError(wanted)
        return text

    return read


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


FORMS: Mapping[Form, Callable[[str], object]] = {
    Form.ISSUER: matching(ISSUER, ISSUER_FORM),
    Form.ABSOLUTE_URI: matching(ABSOLUTE_URI, "an absolute URI without a fragment"),
    Form.DATABASE: supported_database,
    Form.REDIS: matching(REDIS, REDIS_FORM),
    Form.FERNET_KEYS: fernet_keys,
    Form.RATE: matching(
        "|[1-9][0-9]{0,8}/(second|minute|hour|day)", "a number and a time, as in 60/minute; empty for none"
    ),
    Form.RESOURCES: declared_resources,
}
