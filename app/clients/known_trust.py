"""How the trusts that a token may match are found, by one statement, and which client has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Text, bindparam, cast, literal_column, select

from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.settings.issuer_tables import MAX_IDENTITY_CLAIMS
from app.storage.fast_statement import Statement

MAX_COMPARED = 500  # trusts, in search of the nearest one after a refusal
COLUMNS = (
    ClientTrust.id.label("id"),
    ClientTrust.name.label("name"),
    cast(ClientTrust.claims, Text).label("claims_json"),
    ClientTrust.not_after.label("not_after"),
    ClientTrust.ended_at.label("ended_at"),
    ClientRow.client_id.label("client_id"),
    ClientRow.name.label("client"),
)
NAMES = [f"identity_{number}" for number in range(MAX_IDENTITY_CLAIMS + 1)]

# By the index of both columns: a trust without an exact identity has an empty one.
FIND_TRUSTS = Statement(
    select(*COLUMNS)
    .join(ClientRow, ClientRow.id == ClientTrust.client_row)
    .where(ClientTrust.issuer == bindparam("issuer"), ClientTrust.identity.in_([bindparam(name) for name in NAMES]))
    .order_by(ClientTrust.id)
)
FIND_SOME = Statement(
    select(*COLUMNS)
    .join(ClientRow, ClientRow.id == ClientTrust.client_row)
    .where(ClientTrust.issuer == bindparam("issuer"))
    # First those of the client that the request names, then the newest.
    .order_by((ClientRow.client_id == bindparam("client_id")).desc(), ClientTrust.id.desc())
    .limit(literal_column(str(MAX_COMPARED)))
    .offset(literal_column("0"))  # numbers, which need no parameter
)


class KnownTrust(NamedTuple):
    """A trust as a request reads it; `client` is the name of the client."""

    id: int
    name: str
    claims_json: str
    not_after: int | None
    ended_at: int | None
    client_id: str
    client: str

    @property
    def claims(self) -> Mapping[str, str]:
        return parsed(self.claims_json)


@lru_cache(maxsize=1_024)
def parsed(claims_json: str) -> Mapping[str, str]:
    found: dict[str, str] = json.loads(claims_json)
    return found


def find_trusts(issuer: str, identities: Sequence[str]) -> list[KnownTrust]:
    """The trusts in an issuer that a token with these identities may match, ended ones too, by one statement."""
    values = dict(zip(NAMES, [*identities, *[""] * len(NAMES)], strict=False))
    return known_trusts(FIND_TRUSTS.run(issuer=issuer, **values))


def find_some(issuer: str, client_id: str) -> list[KnownTrust]:
    """Some trusts in an issuer, first those of a client: to name the nearest one after a refusal."""
    return known_trusts(FIND_SOME.run(issuer=issuer, client_id=client_id))


def known_trusts(rows: Sequence[Any]) -> list[KnownTrust]:
    return [KnownTrust(**row._asdict()) for row in rows]
