"""How a client gets trusts in other issuers, and how one of them is ended.

Each change is one transaction with its audit event; a change that is refused writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from app.audit import trail
from app.audit.event import Event
from app.clients import credential, registration_rules, trust_overlaps
from app.clients.client import TRUST_METHOD
from app.clients.client_row import ClientRow
from app.clients.client_trust import MAX_TRUSTS, ClientTrust
from app.clients.credential_rules import get, make_room
from app.clients.registration_rules import RegistrationError
from app.clients.registry import get_client
from app.clients.secret_rotation import refuse_past
from app.clients.trust_overlaps import Held
from app.clients.trust_rules import NewTrust
from app.clock import now
from app.storage.database import transaction

LAST = (
    "{name} is the only trust of {client} that works: without it the client gets no token. "
    "`flask clients trust {client}` gives it another one; --last ends this one all the same"
)
BY_OTHER = (
    "{client} is registered for {method}, and may not use a token of another issuer: "
    "`flask clients update {client} --auth-method any` (or federated_jwt) allows it"
)
TOO_MANY = f"a client has at most {MAX_TRUSTS} trusts; `flask clients untrust` ends one"


def add_trust(
    id_or_name: str, new: NewTrust, *, name: str | None = None, not_after: int | None = None
) -> tuple[ClientTrust, bool]:
    """Let a client authenticate with tokens of another issuer; its other credentials still work.

    Args:
        id_or_name: The client.
        new: A checked trust.
        name: Its name; None for the name of its issuer and a number.
        not_after: Its planned end, in seconds since the epoch; None for no end.

    Returns:
        The trust, and whether it is new: a client that expects the same already is not changed.

    Raises:
        RegistrationError: If there is no such client, it may not use a trust, the name is not valid or taken, a token
            could match the trust of another client too, or it would have more than MAX_TRUSTS.
    """
    refuse_past(not_after)
    with transaction():
        client = get_client(id_or_name)
        if client.token_endpoint_auth_method not in (None, TRUST_METHOD):
            raise RegistrationError(BY_OTHER.format(client=client.name, method=client.token_endpoint_auth_method))
        if found := same(client, new):
            if name not in (None, found.name):
                raise RegistrationError(f"{client.name} expects the same already: that trust is named {found.name}")
            return found, False
        trust = put(client, new, name=name, not_after=not_after)
        trail.record(Event.CLIENT_TRUST_ADDED, client_id=client.client_id, reason=summary(trust))
    return trust, True


def same(client: ClientRow, new: NewTrust) -> ClientTrust | None:
    """The trust of a client that works and expects the same."""
    return next((each for each in usable(client) if (each.issuer, each.claims) == (new.issuer, new.claims)), None)


def put(client: ClientRow, new: NewTrust, *, name: str | None = None, not_after: int | None = None) -> ClientTrust:
    """Give a client a trust, in the caller's transaction, without an event.

    Raises:
        RegistrationError: As `add_trust`.
    """
    refuse_overlap(client, new)
    return append(client, new, name=name, not_after=not_after)


def append(client: ClientRow, new: NewTrust, *, name: str | None = None, not_after: int | None = None) -> ClientTrust:
    """Give a client a trust that overlaps with no other, in the caller's transaction, without an event."""
    name = free_name(client, new.issuer_name, name)  # before one that has ended is removed: its row is deleted last
    make_room(client.trusts, 1, most=MAX_TRUSTS, refusal=TOO_MANY)
    trust = ClientTrust(
        name=name,
        issuer=new.issuer,
        identity=new.identity,
        claims=new.claims,
        not_after=not_after,
    )
    client.trusts.append(trust)
    return trust


def free_name(client: ClientRow, issuer_name: str, name: str | None) -> str:
    taken = {each.name for each in client.trusts}
    if name in taken:
        raise RegistrationError(f"{client.name} has a trust named {name}")
    return registration_rules.checked_name(
        name or next(free for n in count(1) if (free := f"{issuer_name}-{n}") not in taken)
    )


def refuse_overlap(client: ClientRow, new: NewTrust) -> None:
    """Refuse a trust that a token could match beside one of another client, as far as that can be known.

    Reliable only in a transaction: there is one at a time. A disabled client counts: it may be enabled again.
    """
    held = Held(client.name, new.issuer, new.claims)
    for _, _, sentence in trust_overlaps.find([held], trust_overlaps.in_register()):
        raise RegistrationError(sentence)


def remove_trust(id_or_name: str, name: str, *, last: bool = False) -> bool:
    """End one trust now, for good, whatever the clock of a server says. Tokens that it got stay valid.

    Args:
        id_or_name: The client.
        name: The trust.
        last: Also if no other trust of a client without another credential works.

    Returns:
        False if it was ended before: then nothing is changed.

    Raises:
        RegistrationError: If there is no such client or trust, or it is the last one that works.
    """
    with transaction():
        client = get_client(id_or_name)
        trust = get_trust(client, name)
        if trust.ended_at is not None:
            return False
        if not last and usable(client) == [trust] and client.token_endpoint_auth_method == TRUST_METHOD:
            raise RegistrationError(LAST.format(name=trust.name, client=client.name))
        end(client, trust)
    return True


def end(client: ClientRow, trust: ClientTrust) -> None:
    """End one trust now, in the caller's transaction."""
    trust.end(now())
    trail.record(Event.CLIENT_TRUST_REMOVED, client_id=client.client_id, reason=summary(trust))


def replace(client: ClientRow, trusts: Sequence[NewTrust]) -> None:
    """Let a client have these trusts and no other, in the caller's transaction, which has found that none overlaps.

    Raises:
        RegistrationError: If it would have more than MAX_TRUSTS.
    """
    wanted = [(each.issuer, each.claims, each.identity) for each in trusts]
    for old in usable(client):
        if (old.issuer, old.claims, old.identity) not in wanted:
            end(client, old)
    for each in trusts:
        if same(client, each) is None:
            trust = append(client, each)
            trail.record(Event.CLIENT_TRUST_ADDED, client_id=client.client_id, reason=summary(trust))


def usable(client: ClientRow) -> list[ClientTrust]:
    """The trusts of a client that still work."""
    return credential.usable(client.trusts)


def get_trust(client: ClientRow, name: str) -> ClientTrust:
    """The trust of a client with this name.

    Raises:
        RegistrationError: If there is none; the text names one that is spelt nearly like it, or all of them.
    """
    return get({each.name: each for each in client.trusts}, name, refusal=f"{client.name} has no trust named")


def summary(trust: ClientTrust) -> str:
    """A trust for the audit trail: its name, its issuer, and the names of the claims."""
    return f"trust {trust.name}: {trust.issuer} {' '.join(trust.claims)}"
