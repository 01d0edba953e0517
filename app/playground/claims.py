"""The header members and claims of our tokens (RFC 9068, section 2): what each says, and who checks it.

The playground shows them beside a token that is taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.tokens.access_token import GENERATION


@dataclass(frozen=True, slots=True)
class Claim:
    """A member of a token's header or of its claims.

    Args:
        sentence: What it says, for a reader who sees it for the first time.
        source: The section that defines it.
        checked_by: Who compares it with what.
    """

    sentence: str
    source: str
    checked_by: str


CLAIMS = {
    "alg": Claim(
        "The algorithm of the signature: RS256 or ES256, never `none`.",
        "RFC 7515, section 4.1.1",
        "The API, against the algorithms that it accepts. It never lets the token choose.",
    ),
    "typ": Claim(
        "The kind of token: an access token, so that no other JWT can pass for one.",
        "RFC 9068, section 2.1",
        "The API: it must be `at+jwt`.",
    ),
    "kid": Claim(
        "The id of the key that signed the token: its fingerprint. The JWKS has the public key with this id.",
        "RFC 7515, section 4.1.4",
        "The API. It finds the key by this id, and refuses a token whose key is not published.",
    ),
    "iss": Claim(
        "The issuer: the authorization server that issued the token.",
        "RFC 7519, section 4.1.1",
        "The API, against the one issuer that it trusts.",
    ),
    "aud": Claim(
        "The audience: the API that the token is for. It follows from the scope that was requested.",
        "RFC 7519, section 4.1.3",
        "The API, against its own name. It refuses a token for another API.",
    ),
    "sub": Claim(
        "The subject: whom the token is about. There is no user in this flow, so it is the client itself.",
        "RFC 9068, section 2.2",
        "Nobody has to; an API may use it for rules of its own.",
    ),
    "client_id": Claim(
        "The client that requested the token.",
        "RFC 8693, section 4.3",
        "This server: the client must still exist and be enabled. An API may count requests by it.",
    ),
    "iat": Claim(
        "When the token was issued, in seconds since 1970.",
        "RFC 7519, section 4.1.6",
        "The API: more than 60 seconds in the future means that a clock is wrong.",
    ),
    "exp": Claim(
        "When the token expires, in seconds since 1970. The client then requests a new one.",
        "RFC 7519, section 4.1.4",
        "The API, against its clock, at each request.",
    ),
    "nbf": Claim(
        "Not before: the token is not valid until then, in seconds since 1970.",
        "RFC 7519, section 4.1.5",
        "The API, against its clock.",
    ),
    "jti": Claim(
        "The id of this one token. A revocation is stored under it.",
        "RFC 7519, section 4.1.7",
        "This server, against its list of revoked tokens. An API that only verifies signatures has no such list.",
    ),
    "scope": Claim(
        "What the token allows: words with a space between them.",
        "RFC 8693, section 4.2",
        "Each route of the API. If the word that it requires is missing, the response is 403.",
    ),
    GENERATION: Claim(
        "How often all tokens of the client were revoked at once. An older number is refused.",
        "our own; no RFC defines it",
        "This server, against the client's present number.",
    ),
}
