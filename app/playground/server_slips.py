"""The slips of the server, on purpose: a button for each fault that a page can show.

They are made from the table of `app/faults/`; without that room there are none. For a response the learner guesses
what a good client does, and for a token which check of the API fails. `GUESSES` and `CHECKS` have what the table
does not; a test checks that no fault is left out.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from app.playground.slip import GRANT, Slip, to_api, to_server

ROOM = "app.faults"
CLIENT = "fault"
NO_RESPONSE = 0
REPORTS = "It reports that this is no token response"

# What a good client does, and two things that others do.
GUESSES = {
    "401": ("It stops, and reports it", "It tries again: the secret is right", "It tries another secret"),
    "429": ("It waits as long as `Retry-After` says", "It tries again at once", "It stops for good"),
    "503": ("It waits as long as `Retry-After` says", "It tries again until it works", "It uses an expired token"),
    "500": ("It tries again, after a pause that grows", "It tries again at once", "It tries another secret"),
    "slow-5s": ("It gives up after its own time-out", "It waits as long as it takes", "It sends a second request"),
    "drop": ("It tries again on a new connection", "It treats the secret as wrong", "It waits for the response"),
    "cut": ("It tries again, and ignores the half", "It uses the half that arrived", "It waits for the other half"),
    "truncated": (REPORTS, "It completes the JSON", "It uses the part that arrived"),
    "html": (REPORTS, "It continues: 200 means success", "It looks for a token in the page"),
    "redirect": ("It does not follow it", "It follows it, with its credentials", "It uses the new address from now on"),
    "empty": (REPORTS, "It calls the API without a token", "It treats 200 as success"),
    "wrong-type": ("It refuses it, or reads it as JSON", "It uses the body as the token", "It writes it to its log"),
    "no-access-token": (REPORTS, "It sends `Bearer undefined`", "It sends `Bearer` without a token"),
    "no-token-type": ("It refuses the response", "It assumes Bearer", "It sends the token in the URL"),
    "no-expires-in": ("It uses the token until an API refuses it", "It requests one for each call", "It crashes"),
    "negative-expires-in": ("It treats the token as expired", "It requests tokens until one lasts", "It crashes"),
    "text-expires-in": ("It reads a number, or none", "It crashes, as the type is wrong", "It reads 0"),
    "less-scope": ("It compares `scope` with its request", "It continues: it has a token", "It requests it in a loop"),
}  # fmt: skip
RESPONSES = {
    "401": (401, "invalid_client"),
    "429": (429, "temporarily_unavailable"),
    "503": (503, "temporarily_unavailable"),
    "500": (500, "server_error"),
    "drop": (NO_RESPONSE, None),
    "cut": (NO_RESPONSE, None),
    "redirect": (NO_RESPONSE, None),  # a browser hides it from the page
}
# The check that fails, and two others.
CHECKS = {
    "expired": ("exp", "signature", "aud"),
    "not-yet-valid": ("nbf_iat", "exp", "signature"),
    "wrong-audience": ("aud", "scope", "iss"),
    "wrong-issuer": ("iss", "signature", "kid"),
    "unknown-kid": ("kid", "signature", "iss"),
    "wrong-typ": ("typ", "alg", "signature"),
    "no-scope": ("scope", "aud", "signature"),
    "alg-none": ("alg", "signature", "kid"),
    "hmac": ("alg", "signature", "kid"),
    "bad-signature": ("signature", "kid", "alg"),
}
LABELS = {
    "exp": "The check of the expiry",
    "nbf_iat": "The check that its time has begun",
    "aud": "The check of the audience",
    "iss": "The check of the issuer",
    "kid": "The check of the key's id",
    "typ": "The check of the type",
    "scope": "The check of the scope",
    "alg": "The check of the algorithm",
    "signature": "The check of the signature",
}


def find_slips() -> tuple[Slip, ...]:
    """A slip for each fault of a response or a token; none if the room does not exist."""
    if not find_spec(ROOM):
        return ()
    faults = import_module(f"{ROOM}.table").FAULTS.values()
    shown = [fault for fault in faults if fault.name in GUESSES or fault.name in CHECKS]
    return tuple(of_token(fault, n) if fault.name in CHECKS else of_response(fault, n) for n, fault in enumerate(shown))


def of_response(fault: Any, number: int) -> Slip:
    status, error = RESPONSES.get(fault.name, (200, None))
    return Slip(
        name=fault.used_as,
        group="server",
        title=fault.used_as,
        question=f"The request is right, and the server is at fault: {in_sentence(fault)}. What does a good client do?",
        guesses=rotated(GUESSES[fault.name], number),
        right=number % 3,
        request=to_server(GRANT),
        status=status,
        error=error,
        remedy=f"A good client {fault.good[0].lower()}{fault.good[1:].strip()}",
        client=CLIENT,
        acts_as=fault.used_as,
    )


def of_token(fault: Any, number: int) -> Slip:
    failed, *_ = CHECKS[fault.name]
    lacks_scope = failed == "scope"
    first, second, third = (LABELS[check] for check in CHECKS[fault.name])
    return Slip(
        name=fault.used_as,
        group="server_token",
        title=fault.used_as,
        question=f"A client gets a token, and calls an API with it: {in_sentence(fault)}. Which check fails?",
        guesses=rotated((first, second, third), number),
        right=number % 3,
        request=to_api("Bearer {token}"),
        status=403 if lacks_scope else 401,
        error="insufficient_scope" if lacks_scope else "invalid_token",
        check=failed,
        remedy=f"A good API {fault.good[0].lower()}{fault.good[1:].strip()}",
        client=CLIENT,
        acts_as=fault.used_as,
    )


def in_sentence(fault: Any) -> str:
    """What happens, without the variants of the name."""
    return str(fault.happens).partition(";")[0]


def rotated(guesses: tuple[str, str, str], number: int) -> tuple[str, str, str]:
    """The guesses in another order: the right one, which is the first, moves to another place each time."""
    first, second, third = guesses
    return ((first, second, third), (second, first, third), (third, second, first))[number % 3]
