"""What a client's secrets, keys and trusts have in common: when they end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from sqlalchemy.orm import Mapped, mapped_column

from app.clock import now


class Ending(Protocol):
    """What ends at a planned time, or when an operator ends it."""

    @property
    def not_after(self) -> int | None: ...
    @property
    def ended_at(self) -> int | None: ...


class Credential:
    """The columns of each. All times are in whole seconds since the epoch.

    `not_after` is its planned end. An operator has ended one with an `ended_at`: no clock undoes that.
    """

    created_at: Mapped[int] = mapped_column(default=now)
    not_after: Mapped[int | None]
    last_used_at: Mapped[int | None]
    ended_at: Mapped[int | None]

    def end(self, moment: int) -> None:
        """End it now, for good."""
        self.ended_at = moment if self.ended_at is None else self.ended_at
        self.end_by(moment)

    def end_by(self, moment: int) -> None:
        """End it at that moment, unless it ends earlier."""
        self.not_after = moment if self.not_after is None else min(self.not_after, moment)


E = TypeVar("E", bound=Ending)


def has_ended(credential: Ending) -> bool:
    """Whether an operator has ended it, or its planned end has passed."""
    # Authlib lets a secret past its end authenticate; RFC 7591, section 3.2.1 does not.
    return credential.ended_at is not None or (credential.not_after is not None and credential.not_after <= now())


def usable(credentials: Iterable[E]) -> list[E]:
    """Those that still work."""
    return [each for each in credentials if not has_ended(each)]
