"""TOML files that people write: what is wrong has its line, and an unknown key the nearest known one."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
KEY = r"""(?:"[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
PATH = rf"{KEY}(?:\s*\.\s*{KEY})*"
HEADER = re.compile(rf"\s*\[\[?\s*({PATH})\s*\]")
ASSIGNMENT = re.compile(rf"\s*({PATH})\s*=")


def decoded(content: bytes) -> str:
    """Decode a file, which TOML wants in UTF-8; a byte order mark is allowed.

    Raises:
        ValueError: If it cannot be decoded; the text says what it is and where.
    """
    if content.startswith(UTF_16) or b"\0" in content:
        raise ValueError("it is not UTF-8 but UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: a character is not UTF-8: save the file as UTF-8") from error


def parsed(text: str) -> dict[str, Any]:
    """The document that a text is.

    Raises:
        ValueError: If it is not TOML; the text names the line.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        number = int(found[1]) if found else len(text.splitlines())
        wrong = text.splitlines()[number - 1 : number]
        is_bare = wrong and re.match(r"\s*[^\s\"'#=\[]*[^\sA-Za-z0-9_.\"'#=-][^\"'#=]*=", wrong[0])
        advice = 'a scope is in quotes: "read:logs" = "…"' if is_bare else str(error).partition(" (at ")[0]
        raise ValueError(f"line {number}: {advice}") from error


def unknown_key(table: Mapping[str, object], known: Iterable[str], text: str) -> str | None:
    """What is wrong with an unknown key: it is misspelt, and ignoring it would hide that."""
    for key in table:
        if key not in known:
            return f"{at_line(key, text)}{unknown(key, known)}"
    return None


def unknown(key: str, known: Iterable[str]) -> str:
    meant = get_close_matches(key, list(known), n=1)
    return f"{key} is unknown" + (f"; did you mean {meant[0]}?" if meant else "")


def at_line(word: str, text: str) -> str:
    """The line of a key or of a table's name, as far as a search can tell."""
    pattern = re.compile(rf"[\s\[.\"']*([\w.\"']*\.)?[\"']?{re.escape(word)}[\"'\s.=\]]")
    found = next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)
    return f"line {found}: " if found else ""


def lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each table and key, by its whole path; keys of inline tables are left out.

    A table of an array has its number in its path, from 1.
    """
    found: dict[tuple[str, ...], int] = {}
    counts: Counter[tuple[str, ...]] = Counter()
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            path = table = split(header[1])
            if line.lstrip().startswith("[["):
                counts[path] += 1
                path = table = (*path, str(counts[path]))
        elif assignment := ASSIGNMENT.match(line):
            path = table + split(assignment[1])
        else:
            continue
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], number)
    return found


def split(path: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in re.findall(KEY, path))
