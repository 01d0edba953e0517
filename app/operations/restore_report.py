"""What `flask restore` says about a backup, in words and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.copying.orders import Losses, Orders
from app.operations.command_group import moment

MAX_NAMES = 10
ORDERED = {
    "tokens": "tokens that were revoked",
    "clients_tokens": "clients whose tokens were all revoked",
    "disabled": "clients that were disabled",
    "deleted": "clients that were deleted",
    "secrets": "secrets that were ended",
    "client_keys": "keys of clients that were ended",
    "trusts": "trusts of clients that were ended",
    "withdrawn_keys": "signing keys that were withdrawn",
    "registrations": "clients whose registration was changed",
}
LOST = {
    "clients": "clients that were registered",
    "enabled": "clients that were enabled",
    "secrets": "secrets that were created",
    "client_keys": "keys of clients that were added",
    "trusts": "trusts of clients that were added",
    "signing_keys": "signing keys, whose tokens will be refused",
    "opaque_tokens": "opaque tokens that were issued",
}
UNKNOWN = (
    "What was ordered since the backup is unknown: {why}. Tokens that were revoked, secrets, keys and trusts of "
    "clients that were ended, clients that were disabled or deleted, and signing keys that were withdrawn since then "
    "work again. "
    "--revoke-tokens (later: `flask tokens revoke-all`) revokes all earlier tokens; `flask keys withdraw` and "
    "`flask clients` do the rest."
)
NOTHING_ORDERED = "Nothing was revoked, ended, disabled, deleted or withdrawn since the backup."
CHOOSE = (
    "Nothing was changed. Choose --keep-orders to carry these over (registrations are left as the backup has them), or "
    "--drop-orders to let them all work again."
)
KEPT = "They are carried over; registrations are as the backup has them. The signing keys are the present ones."
LOST_KEY = (
    "No key in KEYTURN_SECRET_KEYS decrypts its signing key {kid}: add the one of its time behind the others. "
    "If that is lost, `flask keys rotate --now --lost-secret-key` creates a new signing key; earlier tokens stay valid."
)
REVOKED = "All tokens that were issued until now are revoked; clients request new ones with the secrets that they have."
ASIDE = "The database that was there is now {aside}."
DONE = "The backup is in place, with the schema of this release. Start the servers."


@dataclass(kw_only=True)
class Restored:
    """A backup, and what was found about it and done with it.

    Attributes:
        file: The backup.
        revision: The schema that it has.
        content: What the present database has, in words; None if it has nothing.
        last_event_at: When its last audit event happened; None if it has none.
        orders: What was ordered since; None if that is unknown.
        losses: What it lacks; None if that is unknown.
        why_unknown: Why the present database could not be compared.
        closed_kid: The key that signs, if no secret key decrypts it.
        keeps: Whether the orders were carried over.
        revokes: Whether all tokens were revoked.
        aside: What the replaced database is named now.
        is_in_place: Whether the backup has taken the database's place.
    """

    file: Path
    revision: str
    content: str | None = None
    last_event_at: int | None = None
    orders: Orders | None = None
    losses: Losses | None = None
    why_unknown: str = ""
    closed_kid: str | None = None
    keeps: bool = False
    revokes: bool = False
    aside: Path | None = None
    is_in_place: bool = False

    def comparison(self) -> list[str]:
        """What is known about the time since the backup."""
        until = moment(self.last_event_at) if self.last_event_at else "none"
        lines = [f"{self.file}: schema {self.revision}, undamaged, last event {until}."]
        if self.orders is None or self.losses is None:
            return [*lines, UNKNOWN.format(why=self.why_unknown)]
        if found := self.orders.as_dict():
            lines += ["Ordered since the backup, which does not have it:", *listed(found, ORDERED)]
        else:
            lines.append(NOTHING_ORDERED)
        if lost := self.losses.as_dict():
            lines += ["In the database now, and not in the backup:", *listed(lost, LOST)]
        return lines

    def sentences(self) -> list[str]:
        lines = self.comparison()
        if self.keeps:
            lines.append(KEPT)
        if self.closed_kid:
            lines.append(LOST_KEY.format(kid=self.closed_kid))
        if self.revokes:
            lines.append(REVOKED)
        if self.aside:
            lines.append(ASIDE.format(aside=self.aside))
        return [*lines, DONE] if self.is_in_place else lines

    def document(self) -> dict[str, Any]:
        return {
            "dry_run": not self.is_in_place,  # whatever is refused has no document
            "file": str(self.file),
            "revision": self.revision,
            "last_event_at": self.last_event_at,
            "ordered_since": self.orders and self.orders.as_dict(),
            "lacks": self.losses and self.losses.as_dict(),
            "unknown_because": self.why_unknown or None,
            "orders_kept": self.keeps,
            "earlier_tokens_revoked": self.revokes and self.is_in_place,
            "secret_key_fits": self.closed_kid is None,
            "replaced": str(self.aside) if self.aside else None,
            "restored": self.is_in_place,
        }


def listed(found: dict[str, tuple[str, ...]], words: dict[str, str]) -> list[str]:
    return [f"  {words[kind]}: {len(names):,} ({some(names)})" for kind, names in found.items()]


def some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")
