"""`keyturn.toml`: the resources that this server issues tokens for with their scopes, and the issuers that it trusts.

A fault in the file is reported with its line, and an unknown key with the nearest known one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from app.settings.issuer_tables import declared_issuers
from app.settings.setting_forms import ABSOLUTE_URI
from app.settings.toml_text import at_line, decoded, parsed, unknown_key
from config import Issuer, Resource

FORM = "a TOML file with [resources.NAME] and [resources.NAME.scopes]"
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3


class Declared(NamedTuple):
    """What the file declares: the fields of `config.Settings` with these names."""

    resources: tuple[Resource, ...] = ()
    issuers: tuple[Issuer, ...] = ()


def declared(path: str) -> Declared:
    """What a TOML file declares; a resource without an audience has an empty one.

    Raises:
        ValueError: With what the file must be, and the first thing that is wrong with it.
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError("a file that can be read") from error
    try:
        text = decoded(content)
        document = parsed(text)
    except ValueError as error:
        raise ValueError(f"{FORM}: {error}") from error
    tables = document.get("resources", {})
    if wrong := misplaced(document, text) or unknown_key(document, Declared._fields, text) or fault(tables, text):
        raise ValueError(f"{FORM}: {wrong}")
    try:
        issuers = declared_issuers(document, text)
    except ValueError as error:
        raise ValueError(f"{FORM}: {error}") from error
    resources = (Resource(name, table.get("audience", ""), table["scopes"]) for name, table in tables.items())
    return Declared(tuple(resources), issuers)


def misplaced(document: dict[str, Any], text: str) -> str | None:
    is_there = "clients" in document
    return f"{at_line('clients', text)}clients are in files of their own, for `flask apply`" if is_there else None


def fault(tables: object, text: str) -> str | None:
    """The first thing that is wrong with the resources."""
    if not isinstance(tables, dict) or not tables:
        return "it declares no resource"
    owners: dict[str, str] = {}
    for name, table in tables.items():
        if wrong := table_fault(name, table, text):
            return wrong
        if twice := owners.keys() & table["scopes"].keys():
            return f"the scope {min(twice)} is in {owners[min(twice)]} and in {name}, and must be in only one of them"
        owners |= dict.fromkeys(table["scopes"], name)
    return None


def table_fault(name: str, table: object, text: str) -> str | None:
    if not isinstance(table, dict):
        return f"resources.{name} is not a table"
    if wrong := unknown_key(table, ("audience", "scopes"), text):
        return wrong
    if not (isinstance(table.get("scopes"), dict) and table["scopes"]):
        return f"[resources.{name}.scopes] is missing or empty"
    audience = table.get("audience")
    if "audience" in table and not (isinstance(audience, str) and re.fullmatch(ABSOLUTE_URI, audience)):
        return f"{at_line('audience', text)}the audience of {name} is not an absolute URI without a fragment"
    return next(filter(None, (scope_fault(scope, about, text) for scope, about in table["scopes"].items())), None)


def scope_fault(scope: str, about: object, text: str) -> str | None:
    line = at_line(scope, text)
    if isinstance(about, dict):
        return f'{line}a scope with a dot is in quotes: "{scope}.…" = "…"'
    if not isinstance(about, str):
        return f"{line}a scope is followed by its description, in quotes"
    if not SCOPE_TOKEN.fullmatch(scope):
        return f"{line}a scope is printable ASCII without spaces, quotes or backslashes (RFC 6749, section 3.3)"
    return None
