"""The fault that a client id such as `fault-429-once~a7` requests, or an issuer, without `fault-`.

NAME, then `-once` or `-firstN` for only the first requests, then `~RUN`, so that each run of tests has its own count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from app.faults.table import FAULTS, Fault, Kind
from app.logs import shown

CLIENT = "fault"
PREFIX = CLIENT + "-"
FORM = re.compile(r"(?P<name>.+?)((?P<once>-once)|-first(?P<first>[1-9][0-9]?))?(~[A-Za-z0-9._-]{1,32})?")
SLOW = re.compile(r"(?P<what>.*slow)-(?P<seconds>[1-9][0-9]{0,3})s")
MAX_SECONDS = 30
MAX_CHARACTERS = 100


class UnknownFaultError(Exception):
    """No fault has this name; the text suggests one."""


@dataclass(frozen=True, slots=True)
class FaultId:
    """A fault that was requested.

    Args:
        text: The whole id, which is also the name of its count.
        fault: The fault.
        seconds: How long it lasts, for one that is slow; otherwise 0.
        first: How many requests have it; None for all of them.
    """

    text: str
    fault: Fault
    seconds: int = 0
    first: int | None = None

    @property
    def name(self) -> str:
        """The fault's name, with the number of seconds that was requested."""
        return self.fault.name.replace("-5s", f"-{self.seconds}s")


def read_id(text: str, *kinds: Kind) -> FaultId:
    """Read an id, without `fault-`.

    Raises:
        UnknownFaultError: If it names no fault of these kinds.
    """
    found = FORM.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    name = found["name"] if found else text
    slow = SLOW.fullmatch(name)
    seconds = int(slow["seconds"]) if slow else 0
    if slow and seconds > MAX_SECONDS:
        raise UnknownFaultError(f"a response can be slow by 1 to {MAX_SECONDS} seconds")
    fault = FAULTS.get(f"{slow['what']}-5s" if slow else name)
    if not found or fault is None or fault.kind not in kinds:
        raise UnknownFaultError(advice(name, fault, kinds))
    return FaultId(text, fault, seconds, first_of(found))


def first_of(found: re.Match[str]) -> int | None:
    if found["first"]:
        return int(found["first"])
    return 1 if found["once"] else None


def advice(name: str, fault: Fault | None, kinds: tuple[Kind, ...]) -> str:
    """What is meant by a name that no fault of these kinds has."""
    if fault:
        used_as = "an issuer" if fault.kind is Kind.ISSUER else "a client id"
        return f"the fault {fault.name} is {used_as}: {fault.used_as}"
    names = [each.name for each in FAULTS.values() if each.kind in kinds]
    near = get_close_matches(name[:MAX_CHARACTERS], names, n=1, cutoff=0.4)
    meant = f"did you mean {FAULTS[near[0]].used_as}?" if near else "docs/faults.md lists all"
    return f"there is no fault {shown(name)}; {meant}"
