"""The entries of the table of error codes, `codes.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """An error code.

    Args:
        status: The usual HTTP status.
        description: The default `error_description`: constant, in the characters of RFC 6749, section 5.2.
        meaning: What has happened, in a sentence or two.
        causes: The usual causes, each with its remedy.
        command: A curl command that does it right, with `error_pages.VARIABLES`.
        source: Where the code is defined.
        other_statuses: The statuses that it has beside the usual one.
    """

    status: int
    description: str
    meaning: str
    causes: tuple[tuple[str, str], ...]
    command: str
    source: str
    other_statuses: tuple[int, ...] = ()
