"""The forms of the settings that are texts: issuer, URI, Redis URL, keys, rate.

Each function accepts the whole text, or raises `ValueError` with what the variable must be and, after a colon,
what is wrong. No message repeats the text: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

ABSOLUTE_URI = r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]+"
LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
SEGMENT = r"/[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
LOOPBACK = r"(127\.0\.0\.1|\[::1\]|localhost)"
PORT = (
    r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"  # without a leading zero
)
# Clients compare the issuer byte for byte, so nothing is allowed that could be written in two ways.
ISSUER = rf"(https://{LABEL}(\.{LABEL})*|http://{LOOPBACK})(:{PORT})?({SEGMENT})*"
ISSUER_FORM = "https://HOST[:PORT][/PATH] without a trailing slash, or http:// on loopback"
FERNET_KEY = "[A-Za-z0-9+/_-]{43}="
REDIS = rf"rediss?://([^\s/?#@]*@)?([A-Za-z0-9._-]+|\[[0-9a-f:]+\])(:{PORT})?(/[0-9]{{1,3}})?"
REDIS_FORM = "redis://[:PASSWORD@]HOST[:PORT][/NUMBER], with the password percent-encoded"
ADDRESS = rf"(\[[0-9a-f:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):{PORT}"
ADDRESS_FORM = "HOST:PORT, such as 127.0.0.1:9100, or [::1]:9100"
NAME = r"[!-~\u00a1-\uffff]([ -~\u00a1-\uffff]{0,62}[!-~\u00a1-\uffff])?"
RATE = "|[1-9][0-9]{0,8}/(second|minute|hour|day)"
MAX_URI_CHARACTERS = 200  # in every token, which must stay short enough for a header

# Tried in this order: the first pattern that is found says what is wrong.
ISSUER_FAULTS = (
    (r"\s", "it contains white space"),
    (r"[^\x21-\x7e]", "it contains a character that is not ASCII"),
    (r"^(?!https?://)", "it does not begin with https://, in lower case"),
    (r"[?#]", "it has a query or a fragment"),
    (r"^https?://[^/]*@", "it contains a user or a password"),
    (r"^https?://[^/]*[A-Z]", "its host has upper case letters"),
    (r"^https?://[^/]*_", "its host has an underscore"),
    (r"^https?://\[(?!::1\])", "its host is an IPv6 address: use a name"),
    (r"^https://\[", "its host is an IPv6 address: use a name"),
    (rf"^http://(?!{LOOPBACK}(?=[:/]|$))", "http:// is for 127.0.0.1, [::1] and localhost only, so use https://"),
    (r"/$", "it ends with a slash"),
    (rf"^https?://[^/]*:(?!{PORT}(/|$))[^/:\]]*(/|$)", "its port is not a number from 1 to 65535"),
    (r"//.*//", "its path has two slashes in a row"),
    (r"//.*/\.", "a part of its path begins with a dot"),
    (r"^https?://[^/]+/.*[^A-Za-z0-9._~/-]", "its path has a character other than letters, digits and . _ ~ -"),
)


def whole(pattern: str, wanted: str) -> Callable[[str], str]:
    """A check that the whole text has a form."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text) or len(text) > MAX_URI_CHARACTERS:
            raise ValueError(wanted)
        return text

    return read


def issuer(text: str) -> str:
    if len(text) > MAX_URI_CHARACTERS:
        raise ValueError(f"{ISSUER_FORM}: it is longer than {MAX_URI_CHARACTERS} characters")
    if not re.fullmatch(ISSUER, text):
        raise ValueError(f"{ISSUER_FORM}: {first_fault(ISSUER_FAULTS, text) or 'its host is not a name'}")
    return text


def first_fault(faults: Sequence[tuple[str, str]], text: str) -> str | None:
    return next((sentence for pattern, sentence in faults if re.search(pattern, text)), None)


def redis_url(text: str) -> str:
    return whole(REDIS, REDIS_FORM)(text)


def absolute_uri(text: str) -> str:
    return whole(ABSOLUTE_URI, "an absolute URI without a fragment")(text)


def address(text: str) -> str:
    return whole(ADDRESS, ADDRESS_FORM)(text)


def rate(text: str) -> str:
    return whole(RATE, "a number and a time, as in 60/minute; empty for none")(text)


def name(text: str) -> str:
    return whole(NAME, "at most 64 printable characters, the first and the last no space")(text)


def fernet_keys(text: str) -> tuple[str, ...]:
    keys = tuple(re.split(r"\s*,\s*|\s+", text.strip()))
    # Fernet ignores what follows the `=` of a key, such as a second key: it would be lost without a word.
    if not all(re.fullmatch(FERNET_KEY, key) for key in keys):
        raise ValueError(
            "keys as `flask keys new-secret` prints them, newest first, separated by commas or in a line each"
        )
    return keys
