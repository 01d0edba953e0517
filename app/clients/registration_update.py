"""Changes of a registration: only what is named, by the rules for a new one, with one audit event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.audit import trail
from app.audit.event import Event
from app.clients import registration_rules as rules
from app.clients.client_row import ClientRow
from app.clients.key_set_address import checked_jwks_uri, put_jwks_uri
from app.clients.registered_values import GRANT
from app.clients.registration import refuse_taken
from app.clients.registry import get_client
from app.storage.database import transaction


@dataclass(frozen=True, slots=True)
class Change:
    """One value of a registration, before and after; `what` is its column."""

    what: str
    old: Any
    new: Any

    def summary(self) -> str:
        """The change for the audit trail: the words removed and added, and of claims only the names."""
        if isinstance(self.new, dict):
            names = self.old | self.new
            return " ".join([self.what, *(name for name in names if self.old.get(name) != self.new.get(name))])
        old, new = (str(value).split(" ") if value else [] for value in (self.old, self.new))
        words = [f"-{word}" for word in old if word not in new] + [f"+{word}" for word in new if word not in old]
        return " ".join([self.what, *(words or ["in another order"])])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The values that a registration should have; None leaves a value as it is.

    Attributes:
        name: A new name; the id never changes.
        scope: What the client may ever request. A default scope that is not given follows: see `next_scopes`.
        default_scope: What it gets if it requests none.
        access_token_seconds: The lifetime of its tokens in seconds; `default` for the server's setting.
        auth_method: The only method by which it may authenticate; `any` for each of them.
        has_grant: Whether it may get tokens at all.
        token_format: `jwt` or `opaque`.
        resource_server: The audience of the API that it is; `none` if it is no longer one.
        jwks_uri: Where its keys are, in place of those that are stored here; `none` if they are no longer there.
        claims: Added to the claims that it has; a claim of the same name is replaced.
        drops_claims: Whether its current claims are removed first.
    """

    name: str | None = None
    scope: str | None = None
    default_scope: str | None = None
    access_token_seconds: int | Literal["default"] | None = None
    auth_method: str | None = None
    has_grant: bool | None = None
    token_format: str | None = None
    resource_server: str | None = None
    jwks_uri: str | None = None
    claims: Mapping[str, str] | None = None
    drops_claims: bool = False

    def checked(self, client: ClientRow) -> dict[str, Any]:
        """The columns that may change, with their checked values."""
        wanted: dict[str, Any] = {"claims": next_claims(client, self.claims or {}, drops=self.drops_claims)}
        wanted["scope"], wanted["default_scope"] = next_scopes(client, self.scope, self.default_scope)
        if self.name is not None:
            wanted["name"] = free_name(client, self.name)
        if self.access_token_seconds is not None:
            wanted["access_token_seconds"] = rules.checked_lifetime(self.access_token_seconds)
        if self.auth_method is not None:
            wanted["token_endpoint_auth_method"] = rules.checked_method(self.auth_method)
        if self.has_grant is not None:
            wanted["grant_types"] = next_grant(self.has_grant, wanted["scope"])
        if self.token_format is not None:
            wanted["token_format"] = rules.checked_format(self.token_format)
        if self.resource_server is not None:
            wanted["resource_server"] = rules.checked_resource_server(self.resource_server)
        if self.jwks_uri is not None:
            wanted["jwks_uri"] = checked_jwks_uri(self.jwks_uri)
        return wanted


def update(id_or_name: str, wanted: Wanted) -> tuple[ClientRow, list[Change]]:
    """Change a registration.

    Returns:
        The client, and the changes: none, and no event is written, if nothing differs.

    Raises:
        RegistrationError: If there is no such client, or a value is not valid; the text says which.
    """
    with transaction():
        client = get_client(id_or_name)
        values = wanted.checked(client)
        changes = [Change(what, old, new) for what, new in values.items() if (old := getattr(client, what)) != new]
        for change in changes:
            setattr(client, change.what, change.new)
            if change.what == "jwks_uri":
                put_jwks_uri(client, change.new)
        if changes:
            reason = "; ".join(change.summary() for change in changes)
            trail.record(Event.CLIENT_UPDATED, client_id=client.client_id, reason=reason)
    return client, changes


def free_name(client: ClientRow, name: str) -> str:
    if name != client.name:
        rules.checked_client_name(name)
        refuse_taken(name)
    return name


def next_scopes(client: ClientRow, scope: str | None, default: str | None) -> tuple[str, str]:
    """The scope and the default scope after a change.

    A default scope that is not given stays the whole scope if it was that, and otherwise keeps the words that
    are left in the scope. What is not changed is not checked: keyturn.toml may no longer declare it.
    """
    if scope is None and default is None:
        return client.scope, client.default_scope
    chosen = client.scope if scope is None else rules.checked_scope(scope)
    if default is None and client.default_scope != client.scope:
        default = " ".join(word for word in client.default_scope.split() if word in chosen.split()) or None
    return chosen, rules.checked_default(default, chosen)


def next_grant(has_grant: bool, scope: str) -> str:
    return GRANT if has_grant and rules.checked_scope(scope) else ""


def next_claims(client: ClientRow, claims: Mapping[str, str], *, drops: bool) -> dict[str, str]:
    if not claims:
        return {} if drops else client.claims
    return rules.checked_claims(claims if drops else {**client.claims, **claims})
