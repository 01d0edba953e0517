"""This file is what may be behind a refusal: a secret that is nearly right, a word that is nearly known.

Nothing here decides anything. What is found goes into the reason of a refusal, for the operator, and in
development for the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import unquote_plus

MEDIA_TYPES = {
    "application/json": "JSON was sent",
    "multipart/form-data": "a multipart form was sent",
    "": "no media type was sent",
}


def nearly_the_secret(sent: str) -> tuple[tuple[str, str], ...]:
    """What the caller may have meant, each with what is wrong then: always as many, for equal work (R024)."""
    ends = "the secret ends with a newline" if sent.endswith("\n") else "white space stands around the secret"
    return (
        (sent.strip(), ends),
        (sent.strip("\"' \r\n"), "the secret is in quotes"),
        (unquote_plus(sent, errors="replace"), "the secret would match after percent-decoding"),
    )


def unknown_scope(word: str, known: Iterable[str]) -> str:
    """What is wrong with a word of a scope that is not declared."""
    if "," in word:
        return "the words of the scope are separated by commas, not by spaces"
    found = get_close_matches(word, list(known), n=1)
    return f"the scope {word} is unknown" + (f"; did you mean {found[0]}?" if found else "")


def sent_instead(media_type: str) -> str:
    return MEDIA_TYPES.get(media_type, f"{media_type} was sent")
