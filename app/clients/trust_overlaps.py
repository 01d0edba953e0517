"""Trusts of different clients that one token could match, so that no server could tell the clients apart.

The register is looked at as it is, as it will be with what files declare, or as a changed keyturn.toml makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import select

from app.clients import trust_rules
from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.credential import has_ended
from app.settings import current_settings
from app.storage.database import db
from config import Issuer

OVERLAP = (
    "a token of {issuer} could match the trusts of {one} and of {other}, and no server could tell the two clients "
    "apart: let both expect one claim more, with different values"
)
ANY, STAR = "", "*"  # no value of a claim is empty


class Held(NamedTuple):
    """A trust, and the name of the client that has it; `place` is where a file declares it."""

    client: str
    issuer: str
    claims: Mapping[str, str]
    place: str = ""


Index = dict[tuple[str, str, str], list[Held]]  # by an issuer, a claim, and its value


def in_register() -> list[Held]:
    """The trusts that work, also those of disabled clients: they may be enabled again."""
    query = select(ClientRow.name, ClientTrust).join(ClientTrust, ClientTrust.client_row == ClientRow.id)
    rows = db.session.execute(query.order_by(ClientTrust.id)).all()
    return [Held(client, trust.issuer, trust.claims) for client, trust in rows if not has_ended(trust)]


def find(new: Iterable[Held], others: Iterable[Held]) -> Iterator[tuple[Held, Held, str]]:
    """Each two clients of which a trust overlaps, one of them a new one, and a sentence; each two once."""
    issuers = {each.issuer: each for each in current_settings().issuers}
    index = indexed(others)
    found: set[frozenset[str]] = set()
    for one in new:
        if (issuer := issuers.get(one.issuer)) is None:
            continue
        for other in candidates(issuer, one, index):
            both = frozenset((one.client, other.client))
            if len(both) == 2 and both not in found and trust_rules.overlap(issuer, one.claims, other.claims):
                found.add(both)
                yield one, other, OVERLAP.format(issuer=issuer.name, one=one.client, other=other.client)


def indexed(trusts: Iterable[Held]) -> Index:
    """Trusts by each claim and its value: thousands of clients may trust one issuer."""
    index: Index = {}
    for each in trusts:
        for name, value in each.claims.items():
            for key in (ANY, STAR if STAR in value else value):
                index.setdefault((each.issuer, name, key), []).append(each)
    return index


def candidates(issuer: Issuer, one: Held, index: Index) -> Iterator[Held]:
    """The trusts that may have an identity claim in common with this one."""
    for name in issuer.identity_claims:
        value = one.claims.get(name)
        if value is not None:
            for key in (ANY,) if STAR in value else (value, STAR):
                yield from index.get((issuer.issuer, name, key), ())
