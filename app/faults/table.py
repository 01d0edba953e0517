"""Every fault: its name, what happens, and what a good client does.

The code, docs/faults.md and everything else that offers faults use this table. A response or a token is faulty for
the client id `fault-NAME`; metadata or keys are faulty at the issuer `/faults/NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What goes wrong."""

    RESPONSE = "response"
    TOKEN = "token"
    ISSUER = "issuer"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Args:
        kind: What goes wrong.
        name: What follows `fault-` in a client id, or `/faults/` in an issuer.
        happens: What the server does, as a phrase after the name.
        good: What a good client does; for a token and an issuer, what a good API does.
    """

    kind: Kind
    name: str
    happens: str
    good: str

    @property
    def used_as(self) -> str:
        """The client id, or the path below the server's issuer."""
        return f"/faults/{self.name}" if self.kind is Kind.ISSUER else f"fault-{self.name}"


RETRIES = "Waits as long as `Retry-After` says, then tries again, a bounded number of times."
NO_TOKEN = "Reports that the response is not a token response; never uses a missing token."
REFUSES = "Refuses the token with 401 `invalid_token`. "
BY_KEYS = "Uses the keys that it has; tries again later, a bounded number of times."
BY_METADATA = "Reports that the issuer has no metadata, within a bounded time; never guesses the addresses."

RESPONSES = (
    ("401", "401 `invalid_client`, though the secret is right", "Stops, and reports it: trying again changes nothing."),
    ("429", "429 with `Retry-After: 1`", RETRIES),
    ("503", "503 with `Retry-After: 1`", RETRIES),
    ("500", "500 `server_error`", "Tries again after a pause that grows, a bounded number of times."),
    (
        "slow-5s",
        "the response comes 5 seconds late; from 1 to 30 seconds",
        "Has a time-out of its own, and then gives up.",
    ),
    ("drop", "the connection is closed before the first byte of the response", "Tries again on a new connection."),
    (
        "cut",
        "the connection is closed in the middle of the body, before `Content-Length`",
        "Tries again; never uses half a response.",
    ),
    ("truncated", "the JSON ends in the middle, in a complete HTTP response", NO_TOKEN),
    ("html", "200 with a page of HTML, as from a proxy", NO_TOKEN),
    ("redirect", "302 to a page of HTML", "Does not follow it: the credentials are for the token endpoint alone."),
    ("empty", "200 with an empty body", NO_TOKEN),
    ("wrong-type", "the token response as `text/plain`", "Refuses it, or reads it as JSON; both are safe."),
    ("no-access-token", "`access_token` is missing", NO_TOKEN),
    ("no-token-type", "`token_type` is missing", "Refuses it: RFC 6749, section 7.1 forbids a token of unknown type."),
    ("no-expires-in", "`expires_in` is missing", "Uses the token until an API refuses it, then requests another."),
    ("negative-expires-in", "`expires_in` is -1", "Treats the token as expired, without a loop of requests."),
    (
        "text-expires-in",
        '`expires_in` is a string, as `"3600"`',
        "Reads it as a number, or as missing; does not crash.",
    ),
    (
        "less-scope",
        "the scope of response and token lacks its last word; a scope of one word becomes empty",
        "Compares `scope` with what it requested (RFC 6749, section 3.3), and reports what is missing.",
    ),
)
TOKENS = (
    ("expired", "the token expired 10 minutes ago", REFUSES + "The client requests another, once."),
    ("not-yet-valid", "the token is valid in 10 minutes (`nbf`)", REFUSES + "A leeway of 60 seconds is enough."),
    ("wrong-audience", "the token is for another API (`aud`)", REFUSES),
    ("wrong-issuer", "the token is from another issuer (`iss`), signed with this server's key", REFUSES),
    (
        "unknown-kid",
        "the token is signed by a key that was never published",
        REFUSES + "Fetches the keys at most once.",
    ),
    ("wrong-typ", "the token's `typ` is JWT, as an ID token's is", REFUSES),
    ("no-scope", "the token has no scope", "Refuses the request with 403 `insufficient_scope`."),
    ("alg-none", "the token has `alg: none` and no signature", REFUSES),
    ("hmac", "the token is signed by HMAC, with the public key as the secret", REFUSES + "See RFC 8725, section 2.1."),
    ("bad-signature", "one character of the token's signature is changed", REFUSES),
)
ISSUERS = (
    ("metadata-down", "the response for the metadata is 503", BY_METADATA),
    ("metadata-slow-5s", "the metadata comes 5 seconds late; from 1 to 30 seconds", BY_METADATA),
    ("metadata-empty", "the metadata is `{}`", BY_METADATA),
    (
        "metadata-other-issuer",
        "the metadata names another issuer",
        "Refuses the metadata (RFC 8414, section 3.3).",
    ),
    ("jwks-down", "the response for the JWKS is 503", BY_KEYS),
    ("jwks-slow-5s", "the JWKS comes 5 seconds late; from 1 to 30 seconds", BY_KEYS + " Its own requests do not wait."),
    ("jwks-empty", "the JWKS has no key", "Accepts no token; fetches the keys again later, not for each token."),
    (
        "jwks-rotated",
        "the JWKS has only a key that does not sign, like a copy from before a rotation",
        "Fetches the keys once for an unknown `kid`, then refuses the token; with `-once` it finds the key.",
    ),
)
KINDS = ((Kind.RESPONSE, RESPONSES), (Kind.TOKEN, TOKENS), (Kind.ISSUER, ISSUERS))
FAULTS = {name: Fault(kind, name, *texts) for kind, rows in KINDS for name, *texts in rows}
