"""What the commands about secrets print: how a secret is used, and what ending it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from app.audit.reports import Use
from app.clients.client_row import ClientRow
from app.clients.credential import has_ended
from app.clients.secret_use import SecretUse
from app.clock import duration, now
from app.operations.command_group import moment
from app.operations.time_options import ago

MOST_ADDRESSES = 5  # in a sentence


def describe_use(found: SecretUse) -> dict[str, Any]:
    """How a secret is used, for --json."""
    secret = found.secret
    names = ("name", "created_at", "not_after", "ended_at", "last_used_at")
    members = ("address", "issued", "refused", "first_at", "last_at")
    return {
        **{name: getattr(secret, name) for name in names},
        "state": "ended" if has_ended(secret) else "works",
        "is_in_use": found.is_in_use,
        "used_from": [{name: getattr(use, name) for name in members} for use in found.uses],
        "longest_pause": found.pause,
        "safe_to_end_at": found.safe_at,
    }


def use_as_text(found: SecretUse) -> str:
    """A secret as a block of lines."""
    return "\n".join([found.secret.name, *(f"  {what:13}{value}" for what, value in rows(found))])


def rows(found: SecretUse) -> Iterator[tuple[str, str]]:
    secret, last = found.secret, found.secret.last_used_at
    yield "created", moment(secret.created_at)
    if has_ended(secret):
        yield "ended", moment(secret.not_after or secret.ended_at or 0)
    else:
        yield "works", f"until {moment(secret.not_after)}" if secret.not_after else "without a planned end"
    in_use = ", in use" if found.is_in_use else ""
    yield "last used", f"{moment(last)} ({ago(last)}{in_use})" if last else "never"
    for use in found.uses:
        tokens = f"{use.issued} token" + ("s" if use.issued != 1 else "")
        refused = f", {use.refused} refused" if use.refused else ""
        yield "from", f"{use.address}: {tokens}{refused}, last {moment(use.last_at)}"
    if found.safe_at is not None:
        yield "safe to end", safe(found)


def safe(found: SecretUse) -> str:
    """When it is safe to end a secret, and why then."""
    pause = f"its longest pause was {duration(found.pause)}" if found.pause else "its longest pause is not known yet"
    since = "it was last used" if found.secret.last_used_at else "it was created"
    at = found.safe_at or 0
    if at <= now():
        return f"yes: {since} {ago(found.secret.last_used_at or found.secret.created_at)}, and {pause}"
    return f"from {moment(at)} on, if it is not used until then: {pause}"


def still_used(found: SecretUse) -> str:
    """In a clause: when a secret was last used, and from where."""
    last = found.secret.last_used_at
    return f"was last used {ago(last)}{from_where(found.uses)}" if last else "was never used"


def from_where(uses: Sequence[Use]) -> str:
    if not uses:
        return ""
    names = [str(use.address) for use in uses]
    more = f" and {len(names) - MOST_ADDRESSES} more" if len(names) > MOST_ADDRESSES else ""
    return f" from {', '.join(names[:MOST_ADDRESSES])}{more}"


def after_rotation(client: ClientRow, old: Sequence[SecretUse]) -> Iterator[str]:
    """Sentences about the secrets that were replaced."""
    for found in old:
        name, end = found.secret.name, found.secret.not_after
        if has_ended(found.secret):
            yield f"{name} has ended; it {still_used(found)}. What still sends it is refused."
        elif end:
            yield f"{name} works until {moment(end)}; it {still_used(found)}."
    if any(not has_ended(found.secret) for found in old):
        yield f"`flask clients secrets {client.name}` shows what still sends it, and when it is safe to end."
