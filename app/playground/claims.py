"""The claims of our tokens: what each says, where it is defined, and which check reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim; `checked_by` is the name of the check that reads it, or None."""

    sentence: str
    source: str
    checked_by: str | None


CLAIMS = {
    "iss": Claim("Who issued the token: this server's issuer.", "RFC 7519, section 4.1.1", "iss"),
    "aud": Claim("The API that the token is for; it follows from the scope.", "RFC 7519, section 4.1.3", "aud"),
    "sub": Claim("Whom the token is about: with this grant, the client itself.", "RFC 9068, section 2.2", "claims"),
    "client_id": Claim("The client that the token was issued to.", "RFC 9068, section 2.2", "token_client_known"),
    "iat": Claim("When the token was issued, in seconds since 1970.", "RFC 7519, section 4.1.6", "nbf_iat"),
    "exp": Claim("When the token expires, in seconds since 1970.", "RFC 7519, section 4.1.4", "exp"),
    "jti": Claim("The token's own id, by which it can be revoked.", "RFC 7519, section 4.1.7", "not_revoked"),
    "scope": Claim("What the token permits.", "RFC 9068, section 2.2.3", "scope"),
    "gen": Claim(
        "How often all tokens of this client were revoked before; left out if never.", "our own", "generation"
    ),
    "alg": Claim("The algorithm of the signature.", "RFC 7515, section 4.1.1", "alg"),
    "typ": Claim("The kind of the JWT: an access token.", "RFC 9068, section 2.1", "typ"),
    "kid": Claim("The id of the key that signed the token.", "RFC 7515, section 4.1.4", "kid"),
}
