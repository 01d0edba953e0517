"""The kinds of credentials that a client may have, as one table for all that looks at each of them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement

from app.clients.client import KEY_METHOD, SECRET_METHODS, TRUST_METHOD
from app.clients.client_key import ClientKey
from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.secret import ClientSecret

METHOD = ClientRow.token_endpoint_auth_method


class CredentialKind(NamedTuple):
    """One kind.

    Attributes:
        word: What it is called in a sentence.
        model: Its table.
        name: How one of a client's is called, as a column.
        methods: The methods by which a client authenticates with it.
        end: The command that ends one, with the client and the name of it.
    """

    word: str
    model: type[ClientSecret | ClientKey | ClientTrust]
    name: ColumnElement[str]
    methods: tuple[str, ...]
    end: str

    def has_use(self) -> ColumnElement[bool]:
        """Whether a client may authenticate with it."""
        return METHOD.is_(None) | METHOD.in_(self.methods)

    def works(self, moment: int) -> ColumnElement[bool]:
        """Whether it has not ended at a moment, in seconds since the epoch."""
        return self.model.ended_at.is_(None) & (self.model.not_after.is_(None) | (self.model.not_after > moment))


# By what it is called where a machine reads it: in metrics, and in what `flask clients ending` returns.
CREDENTIAL_KINDS = {
    "secret": CredentialKind(
        "secret", ClientSecret, ClientSecret.name.expression, SECRET_METHODS, "flask clients revoke-secret"
    ),
    "client_key": CredentialKind("key", ClientKey, ClientKey.kid.expression, (KEY_METHOD,), "flask clients remove-key"),
    "client_trust": CredentialKind(
        "trust", ClientTrust, ClientTrust.name.expression, (TRUST_METHOD,), "flask clients untrust"
    ),
}
