"""What is said of an error code; `codes.py` says it of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """An error code.

    Args:
        status: The usual HTTP status.
        description: What `error_description` says where no better text is given: constant, in the characters of
            RFC 6749, section 5.2.
        meaning: What has happened, in a sentence or two.
        causes: What usually leads here, each with what to do about it.
        command: A curl command that does it right, with `error_pages.VARIABLES`.
        source: Where it is defined.
        other_statuses: Those that it has beside the usual one.
    """

    status: int
    description: str
    meaning: str
    causes: tuple[tuple[str, str], ...]
    command: str
    source: str
    other_statuses: tuple[int, ...] = ()
