"""The claims of an assertion whose signature is right: its audience, its times, its `jti` (RFC 7523, section 3)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn

from app.authentication.assertion import refuse
from app.checks import Check, making
from app.clock import LEEWAY_SECONDS, duration, now
from app.logs import shown
from app.settings import current_settings

AUDIENCE = Check("assertion_aud", "Its aud is the issuer, and nothing else.", "RFC 7523, section 3")
TIMES = Check("assertion_times", "It has not expired, and expires soon.", "RFC 7523, section 3")

MAX_MOMENT = 2**53
MAX_JTI_CHARACTERS = 255


def check_claims(claims: Mapping[str, Any]) -> tuple[str, int]:
    """Check the claims of an assertion whose signature is right.

    Returns:
        Its `jti`, and its end in whole seconds since the epoch.
    """
    check_audience(claims.get("aud"))
    end = check_times(claims)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI_CHARACTERS:
        refuse("no_jti")
    return jti, end


def check_times(claims: Mapping[str, Any]) -> int:
    """Compare the times with the clock, with a leeway on each (RFC 7523, section 3, items 4 and 5)."""
    making.now.check = TIMES
    check_time_forms(claims)
    most = current_settings().assertion_seconds
    if "exp" not in claims:
        refuse("no_expiry", most=duration(most))
    moment, end = now(), int(claims["exp"])
    if end + LEEWAY_SECONDS <= moment:
        refuse("expired", ago=duration(moment - end))
    if end > moment + most + LEEWAY_SECONDS:
        refuse("lives_too_long", ahead=duration(end - moment), most=duration(most))
    for name in ("nbf", "iat"):
        if claims.get(name, 0) > moment + LEEWAY_SECONDS:
            refuse("not_yet", name=name, ahead=duration(int(claims[name]) - moment))
    return end


def check_time_forms(claims: Mapping[str, Any]) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        # Not a bool, not NaN, not 1e999.
        if type(value) not in (int, float) or not 0 <= value <= MAX_MOMENT:
            refuse("time_form", name=name)


def check_audience(aud: object) -> None:
    """The issuer is the only audience (draft-ietf-oauth-rfc7523bis): that of another server is never this one's."""
    making.now.check = AUDIENCE
    issuer = current_settings().issuer
    if aud == issuer:
        return
    if aud is None:
        refuse("audience_missing", issuer=issuer)
    if not isinstance(aud, str):
        refuse("audience_list", issuer=issuer, form="a list" if isinstance(aud, list) else "no text")
    if aud.startswith(f"{issuer}/oauth/"):
        refuse("audience_endpoint", issuer=issuer)
    if aud.rstrip("/") == issuer:
        refuse("audience_slash", issuer=issuer)
    refuse("audience", issuer=issuer, aud=shown(aud))


def refuse_replay(first_used_at: int) -> NoReturn:
    first = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(first_used_at))
    refuse("replayed", ago=duration(max(0, now() - first_used_at)), first=first)
