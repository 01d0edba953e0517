"""An entry as one readable line, for the terminal of a development server and for `flask tail`.

18:25:40 POST /oauth/token      400 invalid_scope demo-reporting basic scope="reports:raed"  did you mean …?  (5d94…)
"""

from __future__ import annotations

import re
import shutil
import textwrap
import time
from typing import TextIO

import click

from app.journal.entry import Entry
from app.logs import has_color, is_terminal

PATH_CHARACTERS = 16
INDENT = " " * 9  # below the method
MIN_CHARACTERS = 60


def line(entry: Entry, stream: TextIO) -> str:
    """The line as this stream shows it: on a terminal with colors, and a long one in several rows."""
    width = shutil.get_terminal_size((100, 24)).columns if is_terminal(stream) else None
    text = plain(entry, max(width, MIN_CHARACTERS) if width else None)
    return colored(text, entry) if has_color(stream) else text


def plain(entry: Entry, width: int | None = None) -> str:
    """The line; with a width, in characters, the part that does not fit begins a new row."""
    moment = time.strftime("%H:%M:%S", time.localtime(entry.at))
    head = f"{moment} {entry.method:4} {entry.path:{PATH_CHARACTERS}} {entry.status} {' '.join(facts(entry))}".rstrip()
    tail = "  ".join(filter(None, (advice(entry), f"({entry.request_id})" if entry.request_id else "")))
    if width is None or len(head) + 2 + len(tail) <= width:
        return f"{head}  {tail}"
    rows = textwrap.wrap(head, width, subsequent_indent=INDENT, break_on_hyphens=False)
    rows += textwrap.wrap(tail, width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)
    return "\n".join(rows)


def facts(entry: Entry) -> list[str]:
    """What was sent and what the result was, in a few words."""
    scope = entry.scope or entry.granted
    found = [
        entry.error,
        entry.client_id,
        "" if entry.auth == "none" else entry.auth,
        f'scope="{scope}"' if scope else "",
        entry.token if entry.granted else "",
        "" if entry.active is None else "active" if entry.active else "not active",
        "playground" if entry.from_playground else "",
    ]
    return [each for each in found if each]


def advice(entry: Entry) -> str:
    """The reason; only its question if the line already has the misspelt word."""
    meant = re.search(r"did you mean .*", entry.reason)
    return meant[0] if meant and entry.scope else entry.reason


def colored(text: str, entry: Entry) -> str:
    """The line with the status and the error in a color, and the time and the request id dim."""
    color = "green" if entry.status < 400 else "yellow" if entry.status < 500 else "red"
    status = f"{entry.status} {entry.error}".rstrip()
    text = click.style(text[:8], dim=True) + text[8:].replace(f" {status}", f" {click.style(status, fg=color)}", 1)
    return text.replace(f"({entry.request_id})", click.style(f"({entry.request_id})", dim=True))
