"""A signing key and its states: standby, next, active, retired, gone.

A standby key is published and signs only when it has to: every cache of the JWKS has it by then. What is planned
is derived from stored times, so every worker on every machine sees a key begin and end in the same second, without
a message. What is ordered is a stored fact that no clock can undo: a key that was withdrawn is gone
(`withdrawn_at`), and a key that must sign at once does (`signs_from` below 0), also on a machine whose clock is
behind the operator's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ColumnElement, Text, and_, or_
from sqlalchemy.orm import Mapped, mapped_column

import config
from app.clock import LEEWAY_SECONDS
from app.storage.database import Base

JWKS_MAX_AGE_SECONDS = 300
READ_SECONDS = 5  # how old a worker's copy of the keys may be
# A key is published this long before it signs: by then every cache of the JWKS has been renewed.
LEAD_SECONDS = JWKS_MAX_AGE_SECONDS + READ_SECONDS
# And this long after it last signed: by then its last token has expired.
LINGER_SECONDS = config.MAX_ACCESS_TOKEN_SECONDS + LEEWAY_SECONDS + READ_SECONDS
AT_ONCE = 0  # a time that is past on every clock
NEVER = 253_402_300_799  # the end of the year 9999: when a standby key signs. The previous release takes it for `next`


class SigningKey(Base):
    """A key pair. Times are in whole seconds since the epoch; None is not decided yet.

    `kid` is the thumbprint of RFC 7638, section 3; `public_jwk` is the key in the JWKS; `private_pem` is
    encrypted with Fernet. A key with a `withdrawn_at` is withdrawn; the value is for people. A `signs_from` that is
    not above 0 is an order, past on every clock; without its sign it is the time of the order, 0 if unknown.
    """

    __tablename__ = "signing_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    kid: Mapped[str] = mapped_column(Text, unique=True)
    alg: Mapped[str] = mapped_column(Text)
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSON)
    private_pem: Mapped[str] = mapped_column(Text)
    published_at: Mapped[int]
    signs_from: Mapped[int]
    retired_at: Mapped[int | None]
    gone_at: Mapped[int | None]
    withdrawn_at: Mapped[int | None]

    def state(self, moment: int) -> str:
        """`standby`, `next`, `active`, `retired` or `gone`.

        To compare keys, pass the same moment for all of them: the clock may tick in between.
        """
        if self.withdrawn_at is not None or (self.gone_at is not None and self.gone_at <= moment):
            return "gone"
        if self.retired_at is not None and self.retired_at <= moment:
            return "retired"
        if self.signs_from <= moment:
            return "active"
        return "standby" if self.signs_from == NEVER else "next"

    def sign_at_once(self, moment: int) -> None:
        """Sign from now on, whatever the clock of a machine says; a key that signs already has since when it does."""
        if self.signs_from > 0:
            self.signs_from = -min(self.signs_from, moment)

    def signs_since(self) -> int | None:
        """When it began to sign, or will; None for a standby key."""
        if self.signs_from == NEVER:
            return None
        return abs(self.signs_from) or self.published_at

    def retire(self, moment: int) -> None:
        """Sign until that moment, and stay published until the last token has expired."""
        self.retired_at = moment
        self.gone_at = moment + LINGER_SECONDS

    def stay(self) -> None:
        """Continue to sign: the planned successor does not take over."""
        self.retired_at = self.gone_at = None

    def withdraw(self, moment: int) -> None:
        """Stop signing, and be published no longer."""
        self.withdrawn_at = self.gone_at = moment  # the previous release reads `gone_at` only
        self.retired_at = AT_ONCE

    @classmethod
    def is_of_no_use(cls, moment: int) -> ColumnElement[bool]:
        """Which rows `flask cleanup` may remove: a day late, as a clock that is ahead must not end a valid token.

        The row of a withdrawn key stays until the last token that it signed has expired, so that `flask keys
        list` shows it meanwhile. Its removal revives nothing, whatever the clock: an unknown `kid` is refused.
        """
        planned = and_(cls.withdrawn_at.is_(None), cls.gone_at <= moment - config.MAX_ACCESS_TOKEN_SECONDS)
        return or_(planned, cls.withdrawn_at <= moment - LINGER_SECONDS)


class KeyGeneration(Base):
    """How often the keys have been changed: one row.

    The statement that finds a client, and the one that checks a JWT, also read it, so that each worker
    notices a change at its next request and reads the keys again.
    """

    __tablename__ = "key_generation"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]
