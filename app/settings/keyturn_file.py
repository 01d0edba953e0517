"""`keyturn.toml`: the resources that this server issues tokens for, and their scopes.

A fault in the file is reported with its line, and an unknown key with the nearest known one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from app.settings.setting_forms import ABSOLUTE_URI
from config import Resource

FORM = "a TOML file with [resources.NAME] and [resources.NAME.scopes]"
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def declared_resources(path: str) -> tuple[Resource, ...]:
    """The resources that a TOML file declares; one without an audience has an empty one.

    Raises:
        ValueError: With what the file must be, and the first thing that is wrong with it.
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError("a file that can be read") from error
    text = decoded(content)
    document = parsed(text)
    tables = document.get("resources", {})
    if wrong := unknown_key(document, ("resources",), text) or fault(tables, text):
        raise ValueError(f"{FORM}: {wrong}")
    return tuple(Resource(name, table.get("audience", ""), table["scopes"]) for name, table in tables.items())


def decoded(content: bytes) -> str:
    """Decode the file, which TOML wants in UTF-8; a byte order mark is allowed."""
    if content.startswith(UTF_16) or b"\0" in content:
        raise ValueError(f"{FORM}: it is not UTF-8 but UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{FORM}: line {line}: a character is not UTF-8: save the file as UTF-8") from error


def parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        number = int(found[1]) if found else len(text.splitlines())
        wrong = text.splitlines()[number - 1 : number]
        is_bare = wrong and re.match(r"\s*[^\s\"'#=\[]*[^\sA-Za-z0-9_.\"'#=-][^\"'#=]*=", wrong[0])
        advice = 'a scope is in quotes: "read:logs" = "…"' if is_bare else str(error).partition(" (at ")[0]
        raise ValueError(f"{FORM}: line {number}: {advice}") from error


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


def unknown_key(table: Mapping[str, object], known: Iterable[str], text: str) -> str | None:
    """What is wrong with an unknown key: it is misspelt, and ignoring it would hide that."""
    for key in table:
        if key not in known:
            meant = get_close_matches(key, list(known), n=1)
            return f"{at_line(key, text)}{key} is unknown" + (f"; did you mean {meant[0]}?" if meant else "")
    return None


def at_line(word: str, text: str) -> str:
    """The line of a key or of a table's name, as far as a search can tell."""
    pattern = re.compile(rf"[\s\[.\"']*([\w.\"']*\.)?[\"']?{re.escape(word)}[\"'\s.=\]]")
    found = next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)
    return f"line {found}: " if found else ""
