"""Durations and times as an operator types them: `3600`, `90d`, `12h`, `2026-12-24T12:00:00Z`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import click

from app.clock import duration, now

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
MAX_SECONDS = 3_650 * 86_400
END_OF_TIME = 253_402_300_800  # the year 10000 cannot be shown
IN_UNITS = re.compile(r"([0-9]{1,9})([smhdw]?)")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
A_DURATION = "a duration is seconds, or a number with s, m, h, d or w, as in 90d; at most 3650d"
A_TIME = f"a time is as in 2026-12-24T12:00:00Z, with its zone (RFC 3339), or a duration from now: {A_DURATION}"


def parse_duration(text: str) -> int | None:
    """The seconds of a duration; None if it is none."""
    found = IN_UNITS.fullmatch(text)
    seconds = int(found[1]) * SECONDS[found[2]] if found else None
    return seconds if seconds is not None and seconds <= MAX_SECONDS else None


def parse_time(text: str) -> int | None:
    """Seconds since the epoch of a time of RFC 3339, rounded down, or of a duration from now; None if it is neither."""
    if RFC_3339.fullmatch(text):
        try:
            at = int(datetime.fromisoformat(text.upper()).timestamp())
        except ValueError:  # the 30th of February; a second of 60
            return None
        return at if 0 <= at < END_OF_TIME else None
    seconds = parse_duration(text)
    return None if seconds is None else now() + seconds


class Duration(click.ParamType[int]):
    """An option in seconds."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        seconds = parse_duration(value) if isinstance(value, str) else int(value)
        return self.fail(A_DURATION, param, ctx) if seconds is None else seconds


class Time(click.ParamType[int]):
    """An option in seconds since the epoch."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        at = parse_time(value) if isinstance(value, str) else int(value)
        return self.fail(A_TIME, param, ctx) if at is None else at


class TimeOrNever(Time):
    """An option in seconds since the epoch, or None for `never`: given as -1, as None is an option without a value."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return NEVER if value == "never" else super().convert(value, param, ctx)


NEVER = -1


def within(default: str, meaning: str) -> Any:
    """The option --within: the period that a command looks at, before now or after."""
    text = f"{meaning} (default {default})."
    return click.option("--within", type=Duration(), default=default, metavar="DURATION", help=text)


def ago(at: int) -> str:
    """How long ago a moment was ("3 minutes ago")."""
    return f"{duration(now() - at)} ago" if at < now() else "just now"
