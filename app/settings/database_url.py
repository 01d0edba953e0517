"""The check of KEYTURN_DATABASE_URL: the whole text, and the parameters in its query.

SQLAlchemy and psycopg read such a URL leniently: white space becomes part of a name, a query of SQLite is dropped,
and some parameters of psycopg fail only when a token is requested. So all of it is checked here, at start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote_plus

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.settings.setting_forms import PORT

FORM = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST[:PORT]/DATABASE, percent-encoded"
NAME = r"[A-Za-z0-9._-]+"
SQLITE = r"sqlite:///([^?]+)"
POSTGRESQL = (
    rf"postgresql://([^/?#@]*@)?(({NAME}(,{NAME})*|\[[0-9A-Fa-f:.]+\])(:{PORT})?)?/(?P<database>[^/?#]+)"
    r"(\?(?P<query>[^#]*))?"
)
# Tried in this order: the first pattern that is found says what is wrong, also with some texts that have a form.
FAULTS = (
    (r"\s", "it contains white space; a space is %20"),
    (r"%(?![0-9A-Fa-f]{2})", "a % is %25"),
    (r"%[01][0-9A-Fa-f]|%7[fF]", "it contains a control character"),
    (r"^postgres:", "write postgresql:// instead of postgres://"),
    (r"^postgresql\+", "write postgresql:// without a driver: there is one, psycopg"),
    (r"^sqlite:///[^?]*\?", "SQLite takes no parameters here, and a ? in the file's name is %3F"),
    (r"^sqlite:///~", "~ is not expanded: write the folder's whole path"),
    (r"^sqlite:.*(memory:|/$)", "it names no file, and every worker would have a database of its own"),
    (r"^postgresql://([^@]*@)?[^/?@]*:[0-9]+,", "write several hosts with ports as /DATABASE?host=A:5432&host=B:5432"),
    (r"^postgresql://([^?]*@[^?]*@|[^@/]*[/?#].*@)", "a / ? # or @ in the user or the password is %2F %3F %23 or %40"),
    (rf"^postgresql://([^@]*@)?[^/?@]*:(?!{PORT}/)[^/:@\]]*/", "a port is a number from 1 to 65535"),
)


def one_of(*words: str) -> Callable[[str], str | None]:
    return lambda text: None if text in words else f"one of {', '.join(words)}"


def absolute_file(text: str) -> str | None:
    is_readable = Path(text).is_absolute() and Path(text).is_file() and os.access(text, os.R_OK)
    return None if is_readable else "the absolute path of a file that this user can read"


def root_certificates(text: str) -> str | None:
    return None if text == "system" or not absolute_file(text) else f"system, or {absolute_file(text)}"


def matching(pattern: str, wanted: str) -> Callable[[str], str | None]:
    return lambda text: None if re.fullmatch(pattern, text) else wanted


# The parameters that are allowed after the `?`, each with the check of its value. We set the others of psycopg and
# libpq ourselves (`options`, `connect_timeout`, `prepare_threshold`), or they would not work (read-only hosts).
PARAMETERS: Mapping[str, Callable[[str], str | None]] = {
    "host": matching(rf"/[^,]*|{NAME}(:{PORT})?|{NAME}(,{NAME})*", "HOST[:PORT], or the folder of a unix socket"),
    "port": matching(rf"{PORT}(,{PORT})*", "a port, or one for each host, separated by commas"),
    "sslmode": one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslrootcert": root_certificates,
    "sslcert": absolute_file,
    "sslkey": absolute_file,
    "channel_binding": one_of("disable", "prefer", "require"),
    "target_session_attrs": one_of("any", "read-write", "primary"),
    "application_name": matching(r"[\x20-\x7e]{1,63}", "1 to 63 printable ASCII characters"),
}


def checked_database_url(text: str) -> str:
    """The URL of a database, as it is, if all of it can be used.

    Raises:
        ValueError: With what it must be, and what is wrong.
    """
    wrong = next((sentence for pattern, sentence in FAULTS if re.search(pattern, text)), None)
    postgresql = re.fullmatch(POSTGRESQL, text)
    if not wrong and postgresql:
        wrong = query_fault(postgresql["query"] or "") or host_fault(make_url_or_none(text))
    if wrong or not (postgresql or re.fullmatch(SQLITE, text)):
        raise ValueError(f"{FORM}: {wrong}" if wrong else FORM)
    return text


def query_fault(query: str) -> str | None:
    """What is wrong with the query of a PostgreSQL URL; names are shown, values are not."""
    pairs = [
        (name, unquote_plus(value)) for name, _, value in (pair.partition("=") for pair in query.split("&") if query)
    ]
    names = [name for name, _ in pairs]
    for name, value in pairs:
        if name not in PARAMETERS:
            return f"of parameters behind the ? it takes {', '.join(PARAMETERS)}, and no other"
        if wanted := PARAMETERS[name](value):
            return f"its {name} must be {wanted}"
        if names.count(name) > 1 and name != "host":
            return f"it has {name} twice"
    return None


def make_url_or_none(text: str) -> URL | None:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        return None


def host_fault(url: URL | None) -> str | None:
    """What is wrong with the hosts and ports of a PostgreSQL URL, by SQLAlchemy's own reading of them."""
    if url is None:
        return "it cannot be read"
    if (url.host and "host" in url.query) or (url.port and "port" in url.query):
        return "it has the host or the port twice, before the database and behind the ?"
    url = url.set(drivername="postgresql+psycopg")
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        return "its hosts and ports do not fit together"
    return None
