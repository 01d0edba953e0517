"""Log lines and request ids, and what is never logged.

A line is one JSON object on standard error, gunicorn's too (`gunicorn_log.py`); on the terminal of a development
server it is a readable line, and what the request line or a command's own output says already is left out. It
contains nothing that looks like a secret or a token: our own begin with `kts_` and `kta_`, and a JWT with `eyJ`. In
any other encoding only its length tells a secret from a name, so a word that a caller sent passes `shown` before it
becomes part of a log line or a reason.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import click
from flask import Flask, Response, g, has_request_context, request

import config
from app.settings import current_settings
from app.trusted_proxies import plain_address

log = logging.getLogger("keyturn")
MAX_CHARACTERS = 1_000
REDACTED = "[redacted]"
ENCODE = json.JSONEncoder().encode

SECRET = re.compile(r"(kts_|kta_|eyJ)[A-Za-z0-9_.~%-]+", re.IGNORECASE)
LIKE_A_SECRET = re.compile("kts_|kta_|eyJ", re.IGNORECASE)
# Scopes, grant types, media types and path segments look like this. Half a secret, in Base64 or not, has a run of
# 20 characters with a digit or a capital letter among them.
NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9:._/+-]{0,47}")
RUN = re.compile(r"(?=[a-z+/=_-]*[A-Z0-9])[A-Za-z0-9+/=_-]{20,}")
PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
# W3C Trace Context, section 3.2.2; an id of zeros alone is none.
TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
# A UUID or another hexadecimal number, or a ULID. A secret in Base64 looks like neither.
NUMBER = re.compile(r"[0-9a-f-]+|[0-9A-F-]+|[0-7][0-9A-HJKMNP-TV-Z]{25}")
MAX_NUMBER = 40  # a hexadecimal secret is longer


def looks_secret(text: str) -> bool:
    """Whether a log has less of a text, or of one that begins or ends with it."""
    return LIKE_A_SECRET.search(text) is not None


def unlike_a_secret(make: Callable[[], str]) -> str:
    """A random id, made anew while it looks like a secret, as one in a thousand does: no log would have it."""
    while looks_secret(made := make()):
        pass
    return made


def redact(text: str) -> str:
    """The text without anything that looks like a secret or a token."""
    return SECRET.sub(REDACTED, text)


def shown(word: str) -> str:
    """A word that a caller sent if it looks like a name and not like a secret, otherwise REDACTED."""
    return word if NAME.fullmatch(word) and not RUN.search(word) and not SECRET.search(word) else REDACTED


def shown_name(word: str) -> str:
    """As `shown`, and a number as it is: keys and tenants of many platforms have such names."""
    return word if len(word) <= MAX_NUMBER and NUMBER.fullmatch(word) else shown(word)


def shown_path(path: str) -> str:
    """A path, each segment as `shown` returns it."""
    return "/".join(segment and shown(segment) for segment in path[:MAX_CHARACTERS].split("/"))


def one_line(text: str) -> str:
    """The text as a log or the trail may store it: printable, at most MAX_CHARACTERS, without secrets."""
    line = redact(text)[:MAX_CHARACTERS]
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)


class JsonLine(logging.Formatter):
    """One JSON object: `time` (RFC 3339, UTC, with milliseconds), `level`, `message`, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        seconds, milliseconds = divmod(int(record.created * 1_000), 1_000)
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}Z",
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if has_request_context():
            here = g._get_current_object().__dict__
            line["request_id"], line["trace_id"] = here.get("request_id"), here.get("trace_id")
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # As a whole: no name and no escape of JSON looks like the beginning of a secret.
        return redact(ENCODE({name: value for name, value in line.items() if value is not None}))


class ReadableLine(logging.Formatter):
    """A line for people, such as `18:25:40 warning: the database does not respond yet`."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        fields = [f"{name}={text}" for name, text in getattr(record, "fields", {}).items() if text is not None]
        text = one_line(" ".join([record.getMessage(), *fields]))
        line = f"{self.formatTime(record, '%H:%M:%S')} {level}{text}"
        return f"{line}\n{redact(self.formatException(record.exc_info))}" if record.exc_info else line

    @staticmethod
    def is_news(record: logging.LogRecord) -> bool:
        """Whether neither the request line nor the output of a command says the same."""
        is_said = has_request_context() or click.get_current_context(silent=True)
        return record.levelno > logging.INFO or not is_said


def is_terminal(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty()


def has_color(stream: TextIO) -> bool:
    """Whether a terminal shows colors, and its user wants them (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_for_people(settings: config.Settings) -> bool:
    """Whether somebody reads the lines as they come: in development, on a terminal."""
    return not settings.is_production and is_terminal(sys.stderr)


def request_id() -> str | None:
    """The id of the current request; None outside a request."""
    return g.get("request_id") if has_request_context() else None


def is_request_id(sent: str) -> bool:
    """Whether a proxy's X-Request-Id is an id, and not a secret in the wrong header."""
    is_harmless = NUMBER.fullmatch(sent) or not (RUN.search(sent) or SECRET.search(sent))
    return bool(PLAIN_ID.fullmatch(sent) and is_harmless)


def in_json(level: int = logging.NOTSET) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)
    handler.setFormatter(JsonLine())
    return handler


def readable() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ReadableLine())
    handler.addFilter(ReadableLine.is_news)
    return handler


def init_app(app: Flask, trusted_proxies: int) -> None:
    if not log.handlers:
        log.addHandler(readable() if is_for_people(current_settings.of(app)) else in_json())
        log.setLevel(logging.INFO)
        # The warnings of libraries, for which nothing else is configured.
        logging.lastResort = in_json(logging.WARNING)
    # Authlib logs the whole bearer token at DEBUG ("Issue token %r to %r").
    logging.getLogger("authlib.oauth2.rfc6749.grants.client_credentials").disabled = True

    @app.before_request
    def name_request() -> None:
        # Once each: every look at `request` or `g` calls four functions.
        here, environ = g._get_current_object(), request.environ
        here.address = plain_address(environ.get("REMOTE_ADDR") or "") or None
        sent = environ.get("HTTP_X_REQUEST_ID", "") if trusted_proxies else ""
        here.request_id = sent if sent and is_request_id(sent) else secrets.token_hex(8)
        if trusted_proxies and (trace := TRACE_PARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))):
            here.trace_id = trace[1]

    @app.after_request
    def show_request_id(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        return response
