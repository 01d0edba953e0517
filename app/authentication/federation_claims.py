"""The claims of a token that its issuer has signed: its audience, and its times (RFC 7523, section 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.authentication.assertion import refuse
from app.authentication.assertion_claims import check_time_forms
from app.checks import Check, making
from app.clock import LEEWAY_SECONDS, duration, now
from app.logs import NUMBER, shown
from config import Issuer

AUDIENCE = Check("platform_aud", "Its aud is the one that keyturn.toml has, and nothing else.", "RFC 7523, section 3")
TIMES = Check("platform_times", "It has not expired, and lives no longer than keyturn.toml allows.", "our own")

BETWEEN = re.compile(r"([-:/@._ ]+)")
MAX_SHOWN = 64  # characters of a value


def check_claims(issuer: Issuer, claims: Mapping[str, Any]) -> None:
    """Check the audience and the times of a token whose signature is right.

    It may be used again while it lives: a platform issues one per job or pod, not one per request.

    Raises:
        RefusedError: `invalid_client`, if one is wrong.
    """
    check_audience(issuer, claims.get("aud"))
    check_times(issuer, claims)


def check_audience(issuer: Issuer, aud: object) -> None:
    """One audience alone, or a list of it: what is for others too, others can send."""
    making.now.check = AUDIENCE
    if aud in (issuer.audience, [issuer.audience]):
        return
    if aud is None or aud == []:
        refuse("platform_audience_missing", issuer=issuer.name, audience=issuer.audience)
    if isinstance(aud, list) and len(aud) > 1:
        refuse("platform_audience_list", issuer=issuer.name, audience=issuer.audience, count=len(aud))
    only = aud[0] if isinstance(aud, list) else aud
    refuse("platform_audience", issuer=issuer.name, audience=issuer.audience, aud=shown_value(str(only)))


def check_times(issuer: Issuer, claims: Mapping[str, Any]) -> None:
    making.now.check = TIMES
    check_time_forms(claims)
    for name in ("exp", "iat"):
        if name not in claims:
            refuse("platform_time_missing", issuer=issuer.name, name=name)
    moment, end, life = now(), int(claims["exp"]), claims["exp"] - claims["iat"]
    if end + LEEWAY_SECONDS <= moment:
        refuse("platform_expired", issuer=issuer.name, ago=duration(moment - end))
    for name in ("nbf", "iat"):
        if claims.get(name, 0) > moment + LEEWAY_SECONDS:
            refuse("not_yet", name=name, ahead=duration(int(claims[name]) - moment))
    if life > issuer.max_token_seconds:
        most = duration(issuer.max_token_seconds)
        refuse("platform_lives_too_long", issuer=issuer.name, life=duration(int(life)), most=most)


def shown_value(value: str) -> str:
    """A value that a platform has signed: each part as `shown` returns it, and a number as it is.

    Names of branches and pods are longer than the names of which one alone may be a secret in the wrong place.
    """
    text = value[:MAX_SHOWN]
    if not NUMBER.fullmatch(text):
        text = "".join(part if BETWEEN.fullmatch(part) else part and shown(part) for part in BETWEEN.split(text))
    return text + "..." * (len(value) > MAX_SHOWN)
