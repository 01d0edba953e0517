"""How one of a client's secrets, keys or trusts is found by what was typed, and how many of them there may be."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from app.clients.credential import E, has_ended
from app.clients.registration_rules import RegistrationError
from app.logs import one_line

MAX_SHOWN = 128  # characters of what was typed

T = TypeVar("T")


def get(credentials: Mapping[str, T], name: str, *, refusal: str) -> T:
    """The one with this name.

    Args:
        credentials: All that there are, by their names.
        name: What was typed.
        refusal: The beginning of the sentence if there is none, up to the name.

    Raises:
        RegistrationError: If there is none; the text names one that is spelt nearly like it, or all of them.
    """
    if name in credentials:
        return credentials[name]
    near = get_close_matches(name[:MAX_SHOWN], list(credentials), n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(credentials) or 'none'}"
    raise RegistrationError(f"{refusal} {one_line(name)[:MAX_SHOWN]}; {hint}")


def make_room(credentials: list[E], count: int, *, most: int, refusal: str) -> None:
    """Remove those that have ended, oldest first, until `count` more fit.

    Raises:
        RegistrationError: With this text, if there would be more than `most`.
    """
    for old in [each for each in credentials if has_ended(each)]:
        if len(credentials) + count > most:
            credentials.remove(old)
    if len(credentials) + count > most:
        raise RegistrationError(refusal)
