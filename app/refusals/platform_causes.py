"""Why a token of another issuer does not authenticate a client: each cause with its sentence, and what to do.

Nothing about trusts is part of a cause before the signature is right.
"""

from __future__ import annotations

from app.refusals.assertion_cause import AssertionCause

DECLARED = "Declare the issuer in keyturn.toml, `[issuers.NAME]`, exactly as the `iss` of its tokens has it."
IN_TABLE = "Compare its table in keyturn.toml with the tokens that the platform issues."
AUDIENCE = "Let the job request its token for that audience, or set `audience` of the issuer in keyturn.toml."
NEW_TOKEN = "Request a new token of the platform immediately before the request."
EXPECTED = "Compare with `flask clients trusts CLIENT`; `flask clients trust` adds what it should expect."

PLATFORM_CAUSES = {
    "issuer_unknown": AssertionCause(
        "iss is {iss}, which keyturn.toml does not declare{meant}",
        "`iss` is neither the client's id nor a trusted issuer.", DECLARED,
    ),
    "platform_typ": AssertionCause(
        "typ of a token of {issuer} must be JWT or JOSE, or be left out, and is {typ}",
        "The `typ` of the platform's token is that of another kind of token.",
        "Send the token that the platform issues to identify the job, not one for its own API.",
    ),
    "platform_algorithm": AssertionCause(
        "the token of {issuer} is signed with {alg}, and keyturn.toml allows {allowed}",
        "The platform's token is signed with another algorithm.", "Set `algorithms` of the issuer in keyturn.toml.",
    ),
    "platform_kid_unknown": AssertionCause(
        "the issuer {issuer} has no key with the kid {kid}; it has {known}",
        "The `kid` of the platform's token names no key of its issuer.",
        "Write its `jwks_file` again if its keys were rotated; otherwise another server or cluster of that kind has "
        "issued the token.",
    ),
    "platform_kid_missing": AssertionCause(
        "the token of {issuer} has no kid, and the issuer has {count} keys: {known}",
        "The platform's token has no `kid`, and its issuer has several keys.", IN_TABLE,
    ),
    "platform_key_algorithm": AssertionCause(
        "the token of {issuer} is signed with {alg}, and its key {kid} is for {wanted}",
        "The platform's token is signed with another algorithm than its key is for.", IN_TABLE,
    ),
    "platform_wrong_key": AssertionCause(
        "the signature is wrong: the token was not signed with the key {kid} of {issuer}, or was changed",
        "The platform's token was signed with another key, or was changed.",
        "Send all of it; if that is done, somebody else has signed it.",
    ),
    "platform_audience_missing": AssertionCause(
        "the token of {issuer} has no aud: it must be {audience}",
        "The platform's token has no `aud`.", AUDIENCE,
    ),
    "platform_audience_list": AssertionCause(
        "aud of a token of {issuer} is a list of {count}, and must be {audience} alone",
        "The platform's token is for several audiences.", AUDIENCE,
    ),
    "platform_audience": AssertionCause(
        "aud of a token of {issuer} must be {audience}, and is {aud}",
        "The platform's token is for another audience.", AUDIENCE,
    ),
    "platform_time_missing": AssertionCause(
        "the token of {issuer} has no {name}, and must say how long it lives",
        "`exp` or `iat` of the platform's token is missing.", IN_TABLE,
    ),
    "platform_expired": AssertionCause(
        "the token of {issuer} expired {ago} ago", "The platform's token has expired.", NEW_TOKEN,
    ),
    "platform_lives_too_long": AssertionCause(
        "the token of {issuer} lives {life}, and keyturn.toml allows {most}",
        "The platform's token lives too long.",
        "Let the platform issue it for a shorter time, or raise `max_token_seconds` of the issuer.",
    ),
    "no_trust": AssertionCause(
        "no client trusts a token of {issuer}",
        "No client trusts the issuer of the token.", "The operator adds the trust with `flask clients trust`.",
    ),
    "claim_missing": AssertionCause(
        "the token has no claim {claim}; {trust} expects {expected}",
        "The platform's token lacks a claim that the client's trust expects.", EXPECTED,
    ),
    "claim_form": AssertionCause(
        "no trust can expect a list or an object, as the claim {claim} is; {trust} expects {expected}",
        "A claim of the platform's token is a list or an object.",
        "Expect a claim that is text, a number, true or false; `/NAME/NAME` names one within an object.",
    ),
    "claim_differs": AssertionCause(
        "the claim {claim} is {came}; {trust} expects {expected}",
        "A claim of the platform's token is not what the client's trust expects.", EXPECTED,
    ),
    "trust_not_found": AssertionCause(
        "the token matches {trust}, which was registered when keyturn.toml had other identity_claims of {issuer}",
        "The `identity_claims` of the issuer were changed since the trust was registered.",
        "End the trust with `flask clients untrust`, and register it again.",
    ),
    "trust_ended": AssertionCause(
        "the trust {trust} ended {ago} ago",
        "The trust was ended, or has ended.", "The operator adds a new one with `flask clients trust`.",
    ),
    "trust_ambiguous": AssertionCause(
        "the token matches the trusts of {clients}: it must be that of one client",
        "The platform's token matches the trusts of two clients.",
        "Let both expect one claim more, with different values; `flask clients untrust` ends the old ones.",
    ),
    "trust_of_another": AssertionCause(
        "the parameter client_id must be {client_id}, or be left out: the token matches {trust}",
        "The parameter `client_id` names another client than the one that trusts the token.",
        "Leave it out, or send the id of that client.",
    ),
}  # fmt: skip
