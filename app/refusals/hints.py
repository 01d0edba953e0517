"""What may be behind a refusal: a secret that is nearly right, a word that is nearly known.

Nothing here decides anything. What is found goes into the reason of a refusal, for the operator, and in
development for the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import unquote_plus

MEDIA_TYPES = {
    "application/json": "JSON was sent",
    "multipart/form-data": "a multipart form was sent",
    "": "no media type was sent",
}
# A path that may be logged: nothing in it is as long as half a secret.
PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._~-]{0,23}){1,8}")
NOT_HERE = {
    "/.well-known/openid-configuration": "this server is not an OpenID Provider: "
    "its metadata is at /.well-known/oauth-authorization-server (RFC 8414)",
    "/token": "the token endpoint is /oauth/token",
    "/oauth2/token": "the token endpoint is /oauth/token",
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


def nothing_at(path: str) -> str:
    """What is wrong with the path of a request that led nowhere."""
    if path in NOT_HERE:
        return NOT_HERE[path]
    what = f"there is nothing at {path}" if PLAIN_PATH.fullmatch(path) else "there is nothing at this path"
    if "//" in path:
        return f"{what}: a slash is doubled"
    return f"{what}: it ends with a slash" if path.endswith("/") and path != "/" else what
