"""Why a client assertion is refused: each cause with its sentence for the operator, and what to do.

In production the caller reads one and the same response for all of them; only the log, the trail and `flask explain`
have the cause. A word of the request is part of a sentence only as `logs.shown` returns it.
"""

from __future__ import annotations

from app.refusals.assertion_cause import AssertionCause
from app.refusals.key_set_causes import KEY_SET_CAUSES
from app.refusals.platform_causes import PLATFORM_CAUSES

ISSUER_ALONE = "Set `aud` to the issuer, as the metadata has it, and to nothing else."
PARTIES = "Set `iss` and `sub` to the client's id, which begins with `ktc_`."
CLOCK = "Synchronize the client's clock: it may differ by at most 60 seconds."
SIGN_WITH = "Sign with RS256 or ES256 and the client's private key."
ADD_KEY = "The operator adds it with `flask clients add-key`; `flask clients keys CLIENT` lists the keys that it has."
BOTH = "Send `client_assertion` and `client_assertion_type` together."
NEW_EACH_TIME = "Create an assertion with a new random `jti` for each request, also when you try again."


ASSERTION_CAUSES = {
    "no_type": AssertionCause(
        "the parameter client_assertion was sent without client_assertion_type",
        "`client_assertion` was sent without `client_assertion_type`.", BOTH, "invalid_request",
    ),
    "no_assertion": AssertionCause(
        "the parameter client_assertion_type was sent without client_assertion",
        "`client_assertion_type` was sent without `client_assertion`.", BOTH, "invalid_request",
    ),
    "other_type": AssertionCause(
        "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "`client_assertion_type` has another value.",
        "Send `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`; SAML is not supported.",
    ),
    "encrypted": AssertionCause(
        "the assertion is encrypted: it has five parts, and must be a signed JWT, which has three",
        "The assertion is encrypted: it has five parts.", "Send a signed JWT: it has three parts.",
    ),
    "stray_character": AssertionCause(
        "the assertion has a character that no JWT has, as a line end, a space or a quotation mark",
        "The assertion has a line end, a space or a quotation mark, often at its end.",
        "Send the three parts and the dots alone; of a file, without the line end.",
    ),
    "not_a_jwt": AssertionCause(
        "the assertion is not a JWT: it must have three parts, and has {parts}",
        "The assertion is not a JWT.", "Send all of it: three parts of Base64url with dots between, without quotes.",
    ),
    "malformed": AssertionCause(
        "the assertion's {part} is not a JSON object in Base64url",
        "A part of the assertion is not a JSON object in Base64url.",
        "Encode header and claims as JSON in Base64url, without padding.",
    ),
    "header": AssertionCause(
        "the assertion's header is not valid: {fault}",
        "A member of the assertion's header has the wrong type.", "`kid` and `alg` are texts.",
    ),
    "too_long": AssertionCause(
        "the assertion is too long: its header has at most 4096 characters",
        "The header of the assertion is too long.", "Leave out certificates and keys: `kid` names the key.",
    ),
    "critical": AssertionCause(
        "the assertion has critical extensions (crit), and none is supported",
        "The assertion has critical extensions.", "Leave out `crit`.",
    ),
    "typ": AssertionCause(
        "typ must be JWT or client-authentication+jwt, or be left out, and is {typ}",
        "The `typ` of the assertion is that of another kind of token.",
        "Set it to `JWT` or `client-authentication+jwt`, or leave it out.",
    ),
    "unsigned": AssertionCause(
        "the assertion is not signed: alg is none", "The assertion is not signed.", SIGN_WITH,
    ),
    "hmac": AssertionCause(
        "the assertion is signed with {alg}, a shared secret, and must be signed with a private key",
        "The assertion is signed with a secret (`client_secret_jwt`).", SIGN_WITH,
    ),
    "algorithm": AssertionCause(
        "the assertion is signed with {alg}, and RS256 and ES256 are supported",
        "The assertion is signed with another algorithm.", SIGN_WITH,
    ),
    "party_missing": AssertionCause(
        "the assertion has no {name}, or it is not text: iss and sub must both be the client_id",
        "`iss` or `sub` is missing.", PARTIES,
    ),
    "issuer_is_server": AssertionCause(
        "iss is this server, and must be the client_id; did you mean {sub}?",
        "`iss` is the issuer of this server.", PARTIES,
    ),
    "parties_differ": AssertionCause(
        "iss and sub must both be the client_id, and differ; did you mean {sub} for both?",
        "`iss` and `sub` differ.", PARTIES,
    ),
    "another_id": AssertionCause(
        "the parameter client_id is not the sub of the assertion",
        "The parameter `client_id` names another client than the assertion.", "Leave it out, or send the same id.",
    ),
    "no_key": AssertionCause(
        "the client has no key: `flask clients add-key` gives it one",
        "The client has no key.", ADD_KEY,
    ),
    "kid_unknown": AssertionCause(
        "no key of the client has the kid {kid}; {known}",
        "The `kid` of the assertion names no key of the client.",
        ADD_KEY + " A client that has a `jwks_uri` publishes it there.",
    ),
    "kid_missing": AssertionCause(
        "the assertion has no kid, and the client has {count} keys: {known}",
        "The assertion has no `kid`, and the client has several keys.", "Set `kid` in the header of the assertion.",
    ),
    "key_algorithm": AssertionCause(
        "the assertion is signed with {alg}, and the key {kid} is for {wanted}",
        "The assertion is signed with another algorithm than its key is for.", "Sign with the algorithm of the key.",
    ),
    "key_ended": AssertionCause(
        "the key {kid} of the client ended {ago} ago",
        "The key was removed, or has ended.", "Sign with a key that `flask clients keys CLIENT` lists.",
    ),
    "wrong_key": AssertionCause(
        "the signature is wrong: the assertion was not signed with the key {kid}, or was changed",
        "The assertion was signed with another private key.",
        "Compare the public key with that of `flask clients keys CLIENT`, or register the new one.",
    ),
    "audience_missing": AssertionCause(
        "the assertion has no aud: it must be {issuer}", "`aud` is missing.", ISSUER_ALONE,
    ),
    "audience_list": AssertionCause(
        "aud must be {issuer} as a text, and is {form}", "`aud` is a list, or no text.", ISSUER_ALONE,
    ),
    "audience_endpoint": AssertionCause(
        "aud must be {issuer}, and is the address of an endpoint", "`aud` is the address of an endpoint.", ISSUER_ALONE,
    ),
    "audience_slash": AssertionCause(
        "aud must be {issuer}, without a slash at the end", "`aud` has a slash too many.", ISSUER_ALONE,
    ),
    "audience": AssertionCause(
        "aud is {aud}, and must be {issuer}", "`aud` is not the issuer.", ISSUER_ALONE,
    ),
    "time_form": AssertionCause(
        "{name} is not a number of seconds since 1970",
        "`exp`, `nbf` or `iat` is not a number.", "Write times in seconds since 1970, without quotes.",
    ),
    "no_expiry": AssertionCause(
        "the assertion has no exp: it must expire within {most}",
        "`exp` is missing.", "Let the assertion expire within 5 minutes, or what `KEYTURN_ASSERTION_SECONDS` says.",
    ),
    "expired": AssertionCause(
        "the assertion expired {ago} ago", "The assertion has expired.",
        "Create it immediately before the request. " + CLOCK,
    ),
    "lives_too_long": AssertionCause(
        "exp is {ahead} ahead, and at most {most} are accepted",
        "The assertion lives too long.",
        "Let it expire within 5 minutes, or what `KEYTURN_ASSERTION_SECONDS` says; if it does, synchronize the clocks.",
    ),
    "not_yet": AssertionCause(
        "the assertion is not valid yet: {name} is {ahead} ahead", "`nbf` or `iat` is in the future.", CLOCK,
    ),
    "no_jti": AssertionCause(
        "the assertion has no jti, or it is not a text of 1 to 255 characters", "`jti` is missing.", NEW_EACH_TIME,
    ),
    "replayed": AssertionCause(
        "the assertion was used before, {ago} ago: its jti was first seen at {first}",
        "The assertion was used before.", NEW_EACH_TIME,
    ),
} | PLATFORM_CAUSES | KEY_SET_CAUSES  # fmt: skip


def rows(code: str) -> tuple[tuple[str, str], ...]:
    """The causes of an error code with their remedies, as in `codes.CODES`."""
    return tuple((each.cause, each.remedy) for each in ASSERTION_CAUSES.values() if each.code == code)


def remedy_for(reason: str) -> str | None:
    """What to do about a refused assertion; None if the reason is not one of these causes."""
    return next((each.remedy for each in ASSERTION_CAUSES.values() if each.matches(reason)), None)
