"""Values of a registration as an operator types them: a lifetime, and claims."""

from __future__ import annotations

import re
from typing import Literal

from app.clients.registration_rules import RegistrationError


def parse_lifetime(text: str | None) -> int | Literal["default"] | None:
    if text is None:
        return None
    if text == "default":
        return "default"
    if not re.fullmatch("[0-9]{1,9}", text):
        raise RegistrationError("a lifetime is a whole number of seconds, or `default`")
    return int(text)


def parse_claims(pairs: tuple[str, ...]) -> dict[str, str]:
    claims: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name in claims:
            raise RegistrationError("a claim is written KEY=VALUE, each key once")
        claims[name] = value
    return claims
