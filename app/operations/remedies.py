"""What to do about a refusal: the remedy from the table of error codes for the cause that its reason describes."""

from __future__ import annotations

import re

from app.refusals.assertion_causes import remedy_for
from app.refusals.codes import CODES

# Words in a reason, each with words of the cause that it describes; the first match counts.
CAUSES = (
    ("JSON", "as JSON"),
    ("the URL has", "in the URL"),
    ("is in URL or form", "in the URL"),
    ("twice:", "sent twice"),
    ("the request has", "in two ways"),
    ("UTF-8", "not UTF-8"),
    ("Content-Encoding", "compressed"),
    ("https only", "Plain http"),
    ("ends with a newline", "space or newline|misspelt"),
    ("white space around", "space or newline|misspelt"),
    ("quotes", "quotes"),
    ("percent", "percent-encoded twice"),
    ("looks like a secret", "swapped"),
    ("neither Basic", "No secret"),
    ("the secret .* expired", "after a rotation"),
    ("is registered for (client_secret|private_key|federated)", "another method"),
    ("is disabled", "disabled"),
    ("without a grant", "without a grant"),
    ("not registered as a resource server", "introspects"),
    ("issued to another client", "revokes"),
    ("separated by commas", "commas"),
    ("two resources|two APIs", "two APIs"),
    ("is not registered for the scope", "not registered for one"),
    ("scope .* is unknown", "misspelt"),
    ("the token expired", "expired"),
    ("was revoked|were revoked", "was revoked"),
    ("another API", "another API"),
    ("not a JWT|incomplete", "cut off"),
    ("clock:", "clocks"),
    ("key was withdrawn", "withdrawn"),
    ("token lacks the scope", "less scope"),
    ("slash too many", "slash"),
    ("OpenID", "OpenID"),
    ("did you mean", "misspelt"),
)


def for_reason(code: str, reason: str) -> str | None:
    """The remedy for the cause that a reason describes; None if the table has none for it."""
    if remedy := remedy_for(reason):
        return remedy
    for words, of_cause in CAUSES:
        if re.search(words, reason):
            causes = CODES[code].causes
            return next((remedy for cause, remedy in causes if re.search(of_cause, cause)), None)
    return None
