"""The coming dates of the signing keys: which signs when, when the next rotation is, what leaves the JWKS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import config
from app.clock import DAY_SECONDS
from app.keys.key_rows import in_state
from app.keys.signing_key import LEAD_SECONDS, LINGER_SECONDS, NEVER, SigningKey


class Coming(NamedTuple):
    """What happens to a key, and when, in seconds since the epoch; a new key has no `kid` yet."""

    at: int
    kid: str | None
    what: str


def next_rotation(keys: Sequence[SigningKey], moment: int, days: int) -> int | None:
    """When the active key is old enough to be rotated; None if that is left to the operator, or has begun.

    Args:
        keys: All keys.
        moment: The current time.
        days: KEYTURN_KEY_ROTATION_DAYS.
    """
    active = in_state("active", keys, moment)
    if active is None or active.retired_at is not None or not days:
        return None
    return (active.signs_since() or moment) + days * DAY_SECONDS


def end_of_active(keys: Sequence[SigningKey], moment: int, days: int) -> int | None:
    """When the active key stops signing as planned; None if no end is planned. Arguments as for `next_rotation`."""
    active = in_state("active", keys, moment)
    if active and active.retired_at is not None:
        return active.retired_at
    rotation = next_rotation(keys, moment, days)
    return None if rotation is None else max(rotation, moment) + LEAD_SECONDS


def coming(keys: Sequence[SigningKey], moment: int, days: int) -> list[Coming]:
    """What is planned, the first first. Arguments as for `next_rotation`."""
    planned = [each for key in keys for each in of_key(key) if each.at > moment]
    if (rotation := next_rotation(keys, moment, days)) is not None:
        planned += of_rotation(keys, moment, max(rotation, moment))
    return sorted(planned, key=lambda each: each.at)


def of_key(key: SigningKey) -> Iterator[Coming]:
    if key.withdrawn_at is not None:
        yield Coming(key.withdrawn_at + LINGER_SECONDS, key.kid, "its row is removed")
        return
    if key.signs_from not in (NEVER, 0):
        yield Coming(key.signs_from, key.kid, "begins to sign")
    if key.retired_at is not None:
        yield Coming(key.retired_at, key.kid, "stops signing: retired")
    if key.gone_at is not None:
        yield Coming(key.gone_at, key.kid, "leaves the JWKS: gone")
        yield Coming(key.gone_at + config.MAX_ACCESS_TOKEN_SECONDS, key.kid, "its row is removed")


def of_rotation(keys: Sequence[SigningKey], moment: int, at: int) -> Iterator[Coming]:
    """What the next rotation by age does."""
    active, standby = in_state("active", keys, moment), in_state("standby", keys, moment)
    if active is None:
        return
    yield Coming(at, active.kid, "is old enough: the upkeep rotates")
    yield Coming(at, None, "a new key is in the JWKS: the standby")
    yield Coming(at + LEAD_SECONDS, standby.kid if standby else None, "begins to sign")
    yield Coming(at + LEAD_SECONDS, active.kid, "stops signing: retired")
    yield Coming(at + LEAD_SECONDS + LINGER_SECONDS, active.kid, "leaves the JWKS: gone")
