"""This file is a signing key and its life: next, active, retired, gone.

The state is never stored: it follows from four moments, so every worker of every machine sees a
key begin and end in the same second, without being told.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Text
from sqlalchemy.orm import Mapped, mapped_column

import config
from app.storage.database import Base

JWKS_MAX_AGE_SECONDS = 300
READ_SECONDS = 5  # a worker may know the keys as they were so long ago
LEEWAY_SECONDS = 60
# A key is published this long before it signs: whoever cached the JWKS has fetched it again by then.
LEAD_SECONDS = JWKS_MAX_AGE_SECONDS + READ_SECONDS
# And this long after it last signed: its last token has expired by then.
LINGER_SECONDS = config.MAX_ACCESS_TOKEN_SECONDS + LEEWAY_SECONDS + READ_SECONDS


class SigningKey(Base):
    """A key pair. Moments are in whole seconds since the epoch; None is not decided yet.

    `kid` is the RFC 7638 thumbprint; `public_jwk` is what the JWKS shows; `private_pem` is
    encrypted with Fernet.
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

    def state(self, moment: int) -> str:
        """`next`, `active`, `retired` or `gone`.

        Whoever compares keys asks all of them about one moment: the second may turn in between.
        """
        if self.gone_at is not None and self.gone_at <= moment:
            return "gone"
        if self.retired_at is not None and self.retired_at <= moment:
            return "retired"
        return "active" if self.signs_from <= moment else "next"

    def retire(self, moment: int) -> None:
        """Sign until then, be published until the last token has expired."""
        self.retired_at = moment
        self.gone_at = moment + LINGER_SECONDS

    def withdraw(self, moment: int) -> None:
        """Sign no more, and be published no more."""
        self.retired_at = moment if self.retired_at is None else min(self.retired_at, moment)
        self.gone_at = moment
