"""What the upkeep removes: one line for each kind of row that has expired.

A clock may be wrong, and what is removed does not come back. So what a clock could still need is removed a day late,
and the old events of the trail at most a day of them in 24 hours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from flask import Flask
from sqlalchemy import ColumnElement, or_, select

from app.audit import retention
from app.authentication.federation_token import source_of
from app.authentication.replay import UsedAssertion
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.secret import ClientSecret
from app.clock import DAY_SECONDS, LEEWAY_SECONDS, now
from app.keys.signing_key import SigningKey
from app.per_app import PerApp
from app.remote_keys.fetched_key_set import FetchedKeySet
from app.settings import current_settings
from app.storage.database import Base, BeginStep, delete_in_steps
from app.tokens.stored_token import IssuedToken, RevokedToken

# How long a refusal can name the secret that has ended: "the secret blue expired 3 days ago".
ENDED_SECRET_SECONDS = 7 * DAY_SECONDS
# How long a file that declares a key or a trust which has ended does not bring it back: `flask apply` finds the row.
DECLARED_SECONDS = 365 * DAY_SECONDS


class Removal(NamedTuple):
    """A table, and which of its rows are of no use at a moment, in seconds since the epoch."""

    model: type[Base]
    is_of_no_use: Callable[[int], ColumnElement[bool]]


def nobody_names(moment: int) -> ColumnElement[bool]:
    """The key sets of which neither keyturn.toml nor a client names the source, and that nobody fetched for a day.

    Servers of one fleet may have another keyturn.toml for a while.
    """
    issuers = [source_of(each).name for each in current_settings().issuers]
    clients = select(ClientRow.jwks_uri).where(ClientRow.jwks_uri.is_not(None))
    is_named = or_(FetchedKeySet.source.in_(issuers), FetchedKeySet.source.in_(clients))
    return ~is_named & (FetchedKeySet.next_try_at <= moment - DAY_SECONDS)


REMOVALS = {
    # An opaque token that is removed too early is refused, and its client requests another.
    "opaque tokens": Removal(IssuedToken, lambda moment: IssuedToken.expires_at <= moment - LEEWAY_SECONDS),
    "revocations": Removal(RevokedToken, RevokedToken.is_of_no_use),
    "secrets": Removal(ClientSecret, lambda moment: ClientSecret.not_after <= moment - ENDED_SECRET_SECONDS),
    # A client has at most eight of each, those that have ended included.
    "client keys": Removal(ClientKey, lambda moment: ClientKey.not_after <= moment - DECLARED_SECONDS),
    "client trusts": Removal(ClientTrust, lambda moment: ClientTrust.not_after <= moment - DECLARED_SECONDS),
    "key sets": Removal(FetchedKeySet, nobody_names),
    "used assertions": Removal(UsedAssertion, UsedAssertion.is_of_no_use),
    "signing keys": Removal(SigningKey, SigningKey.is_of_no_use),
}

# A room above this one adds its own in its `init_app`.
current_removals = PerApp[dict[str, Removal]]("removals")


def init_app(app: Flask) -> None:
    current_removals.set(app, dict(REMOVALS))


def remove_expired(begin_step: BeginStep, trim_by_age: Callable[[BeginStep], int]) -> Mapping[str, int]:
    """Remove what no check needs, in small steps.

    Args:
        begin_step: Called first in the transaction of each step; what it raises ends the removal.
        trim_by_age: Removes old events of the trail, in such steps, and returns how many.

    Returns:
        How many rows of each kind were removed.
    """
    removed = {
        what: delete_in_steps(each.model, each.is_of_no_use(now()), begin_step=begin_step)
        for what, each in current_removals().items()
    }
    trimmed = retention.trim_rows(current_settings(), begin_step=begin_step) + trim_by_age(begin_step)
    return removed | {"audit events": trimmed}
