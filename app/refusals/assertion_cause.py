"""A cause for which a client assertion is refused: its sentence for the operator, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AssertionCause:
    """A cause.

    Args:
        sentence: What the operator reads; in braces what differs from request to request.
        cause: What has happened, for the page of the error code.
        remedy: What to do.
        code: The error code.
    """

    sentence: str
    cause: str
    remedy: str
    code: str = "invalid_client"

    def matches(self, reason: str) -> bool:
        """Whether a reason is this cause's."""
        return bool(re.match(re.sub(r"\\\{\w+\\\}", ".*", re.escape(self.sentence)), reason))
