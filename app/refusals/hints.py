"""This file is what may be behind a refusal: a secret that is nearly right, a word that is nearly known.

Nothing here decides anything. What is found goes into the reason of a refusal, for the operator, and in
development for the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import unquote_plus

import config

DEMO_IDS = {demo.client_id for demo in config.DEMO_CLIENTS}
MEDIA_TYPES = {
    "application/json": "JSON was sent",
    "multipart/form-data": "a multipart form was sent",
    "": "no media type was sent",
}
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def nearly_the_secret(sent: str) -> tuple[tuple[str, str], ...]:
    """What the caller may have meant, each with what is wrong then: always as many, for equal work (R024)."""
    ends = "the secret ends with a newline" if sent.endswith("\n") else "white space stands around the secret"
    return (
        (sent.strip(), ends),
        (sent.strip("\"' \r\n"), "the secret is in quotes"),
        (unquote_plus(sent, errors="replace"), "the secret would match after percent-decoding"),
    )


def odd_id(sent: str) -> str:
    """What is wrong with the shape of a client id that is unknown, behind a comma; nothing of it is repeated.

    By its shape alone: whether another spelling is a client's is never looked up, for equal work (R024).
    """
    meant = sent.strip().strip("\"'\ufeff")
    shapes = (
        (not sent, "client_id is missing or empty"),
        (meant.lower().startswith("kts_"), "its id looks like a secret"),
        (sent.startswith("\ufeff"), "its id begins with a byte order mark"),
        (sent.endswith("\n"), "its id ends with a newline"),
        (sent != sent.strip(), "white space stands around its id"),
        (sent != meant, "its id is in quotes"),
        (unquote_plus(sent, errors="replace") != sent, "its id is percent-encoded once too often"),
        (meant.lower().startswith("ktc_") and not meant.startswith("ktc_"), "its id is in another case than ktc_"),
        (meant != meant.lower() and meant.lower() in DEMO_IDS, "its id is in another case than a demo client's"),
    )
    return next((f", {why}" for is_so, why in shapes if is_so), "")


def unknown_scope(word: str, known: Iterable[str]) -> str:
    """What is wrong with a word of a scope that is not declared."""
    if "," in word:
        return "the words of the scope are separated by commas, not by spaces"
    found = get_close_matches(word, list(known), n=1)
    return f"the scope {word} is unknown" + (f"; did you mean {found[0]}?" if found else "")


def sent_instead(media_type: str) -> str:
    return MEDIA_TYPES.get(media_type, f"{media_type} was sent")


def duration(seconds: int) -> str:
    """3 days, 70 seconds: the largest unit of which there are at least two, or one second."""
    size, unit = next((pair for pair in UNITS if seconds >= 2 * pair[0]), UNITS[-1])
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"
