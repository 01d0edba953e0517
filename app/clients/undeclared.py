"""Clients that are registered for a scope, an audience or an issuer that keyturn.toml no longer declares.

Nothing refuses to run because of them: the rest of such a client's scope still works if it is requested, and
`flask clients update` fixes the registration. `flask prepare` and the start of a server name them.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Row, select

from app.clients.client_row import ClientRow
from app.clients.client_trust import ClientTrust
from app.clients.credential_kinds import CREDENTIAL_KINDS
from app.clients.registration_rules import listed
from app.clients.scope import current_scopes
from app.clock import now
from app.settings import current_settings
from app.storage.database import db

MAX_SENTENCES = 10
MAX_NAMES = 10
PAGE_ROWS = 1_000


def all_sentences() -> Iterator[str]:
    """A sentence for each scope, audience and issuer."""
    yield from sentences()
    yield from issuer_sentences()


def sentences() -> Iterator[str]:
    """A sentence for each scope and audience, at most MAX_SENTENCES of each, with the clients and how to fix them."""
    scopes, audiences = find()
    file = current_scopes().file.name
    for word, clients in list(scopes.items())[:MAX_SENTENCES]:
        name, scope = clients[0]
        left = " ".join(each for each in scope.split() if each in current_scopes().audiences)
        option = f"--scope '{left}'" if left else "--no-grant"
        yield (
            f"{file} does not declare the scope {word} of {listed([name for name, _ in clients], most=MAX_NAMES)}:"
            f" declare it, or remove it with `flask clients update {name} {option}`."
        )
    for audience, names in list(audiences.items())[:MAX_SENTENCES]:
        yield (
            f"{file} does not declare the audience {audience} of {listed(names, most=MAX_NAMES)}:"
            f" declare it, or remove it with `flask clients update {names[0]} --resource-server none`."
        )
    if max(len(scopes), len(audiences)) > MAX_SENTENCES:
        yield f"In total {file} does not declare {len(scopes)} scopes and {len(audiences)} audiences of clients."


def issuer_sentences() -> Iterator[str]:
    """A sentence for each issuer, at most MAX_SENTENCES, with the trusts that match no token because of it."""
    declared = [each.issuer for each in current_settings().issuers]
    kind = CREDENTIAL_KINDS["client_trust"]
    query = select(ClientTrust.issuer, ClientRow.name, ClientTrust.name)
    query = query.join(ClientRow, ClientRow.id == ClientTrust.client_row).order_by(ClientTrust.id)
    trusts: dict[str, list[tuple[str, str]]] = {}
    for issuer, client, name in db.session.execute(query.where(kind.works(now()), ClientTrust.issuer.not_in(declared))):
        trusts.setdefault(issuer, []).append((client, name))
    for issuer, found in list(trusts.items())[:MAX_SENTENCES]:
        names, (client, name) = [f"{each[1]} of {each[0]}" for each in found], found[0]
        yield (
            f"{current_scopes().file.name} does not declare the issuer {issuer} of the trusts"
            f" {listed(names, most=MAX_NAMES)}: declare it, or end them with `flask clients untrust {client} {name}`."
        )


def find() -> tuple[dict[str, list[tuple[str, str]]], dict[str, list[str]]]:
    """What is not declared: each scope with the names and scopes of its clients, each audience with their names."""
    declared = current_scopes().audiences
    known = {each.audience for each in current_settings().resources}
    scopes: dict[str, list[tuple[str, str]]] = {}
    audiences: dict[str, list[str]] = {}
    for client in all_clients():
        for word in client.scope.split():
            if client.grant_types and word not in declared:
                scopes.setdefault(word, []).append((client.name, client.scope))
        if client.resource_server is not None and client.resource_server not in known:
            audiences.setdefault(client.resource_server, []).append(client.name)
    return scopes, audiences


def all_clients() -> Iterator[Row[int, str, str, str, str | None]]:
    """The clients, read PAGE_ROWS at a time: a server-side cursor needs a transaction, and reads have none."""
    columns = (ClientRow.id, ClientRow.name, ClientRow.scope, ClientRow.grant_types, ClientRow.resource_server)
    query, last = select(*columns).order_by(ClientRow.id).limit(PAGE_ROWS), 0
    while page := db.session.execute(query.where(ClientRow.id > last)).all():
        yield from page
        last = page[-1].id
