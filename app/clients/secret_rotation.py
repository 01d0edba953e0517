"""How a client gets a new secret while the old ones run out, and how one of them is ended.

Each change is one transaction with its audit event; a change that is refused writes nothing.
"""

from __future__ import annotations

from itertools import count

from app.audit import trail
from app.audit.event import Event
from app.clients import credential, registration_rules
from app.clients.client import KEY_METHOD, SECRET_METHODS, TRUST_METHOD
from app.clients.client_row import ClientRow
from app.clients.credential_rules import get, make_room
from app.clients.registration_rules import RegistrationError
from app.clients.registry import get_client
from app.clients.secret import MAX_SECRETS, ClientSecret, digest, generate
from app.clock import now
from app.storage.database import transaction

MAX_OVERLAP_SECONDS = 604_800
BY_KEY = (
    "{client} is registered for {method}, and may not use a secret: `flask clients {command} {client}` gives it "
    "another {what}; `flask clients update {client} --auth-method any` allows a secret beside it"
)
LAST = (
    "{name} is the only secret of {client} that works: without it the client gets no token. "
    "`flask clients rotate-secret {client}` gives it another one; --last ends this one all the same"
)
TOO_MANY = f"the client has {MAX_SECRETS} secrets that still work; `flask clients revoke-secret` ends one"


def rotate_secret(id_or_name: str, *, name: str | None = None, overlap: int = 0, not_after: int | None = None) -> str:
    """Create a new secret for a client and let the old ones run out.

    Args:
        id_or_name: The client.
        name: The name of the new secret; None for `secret-N`.
        overlap: Seconds for which the old secrets still work, 0 to 604800; 0 ends them now, whatever the clock
            of a server says.
        not_after: The planned end of the new secret, in seconds since the epoch; None for no end.

    Returns:
        The new secret in plaintext: shown once, stored only as a digest.

    Raises:
        RegistrationError: If there is no such client, it may not use a secret, the overlap, the end or the name is
            not valid, or MAX_SECRETS of its secrets still work.

    See RFC 7591, section 3.2.1 (`client_secret_expires_at`). The overlap is our own.
    """
    if not 0 <= overlap <= MAX_OVERLAP_SECONDS:
        raise RegistrationError(f"the overlap is 0 to {MAX_OVERLAP_SECONDS} seconds")
    refuse_past(not_after)
    plaintext = generate()
    with transaction():
        client = get_client(id_or_name)
        refuse_by_key(client)
        for old in client.secrets:
            if overlap:
                old.end_by(now() + overlap)
            else:
                old.end(now())
        make_room(client.secrets, 1, most=MAX_SECRETS, refusal=TOO_MANY)
        taken = {old.name for old in client.secrets}
        if name in taken:
            raise RegistrationError(f"the client has a secret named {name}")
        new_name = name or next(free for n in count(1) if (free := f"secret-{n}") not in taken)
        checked = registration_rules.checked_name(new_name)
        client.secrets.append(ClientSecret(name=checked, digest=digest(plaintext), not_after=not_after))
        reason = f"secret {checked}, overlap {overlap} seconds"
        trail.record(Event.SECRET_ROTATED, client_id=client.client_id, reason=reason)
    return plaintext


def revoke_secret(id_or_name: str, name: str, *, last: bool = False) -> bool:
    """End one secret now, for good, whatever the clock of a server says. Tokens that it got stay valid.

    Args:
        id_or_name: The client.
        name: The name of the secret.
        last: Also if no other secret of the client works.

    Returns:
        False if it was ended before: then nothing is changed.

    Raises:
        RegistrationError: If there is no such client or secret, or it is the last one that works and it has no
            key and no trust.
    """
    with transaction():
        client = get_client(id_or_name)
        secret = get_secret(client, name)
        if secret.ended_at is not None:
            return False
        if not last and usable(client) == [secret] and not needs_no_secret(client):
            raise RegistrationError(LAST.format(name=secret.name, client=client.name))
        secret.end(now())
        trail.record(Event.SECRET_REVOKED, client_id=client.client_id, reason=f"secret {secret.name}")
    return True


def refuse_by_key(client: ClientRow) -> None:
    """Refuse a new secret for a client that could not use it."""
    method = client.token_endpoint_auth_method
    if method not in (None, *SECRET_METHODS):
        command, what = ("trust", "trust") if method == TRUST_METHOD else ("add-key", "key")
        raise RegistrationError(BY_KEY.format(client=client.name, method=method, command=command, what=what))


def needs_no_secret(client: ClientRow) -> bool:
    """Whether a client gets tokens without a secret."""
    method = client.token_endpoint_auth_method
    has_key = method in (None, KEY_METHOD) and (client.jwks_uri or credential.usable(client.keys))
    return bool(has_key or (method in (None, TRUST_METHOD) and credential.usable(client.trusts)))


def plan_end(id_or_name: str, name: str, *, not_after: int | None) -> bool:
    """Set when one secret ends: earlier or later than planned, or never.

    Args:
        id_or_name: The client.
        name: The name of the secret.
        not_after: Its new planned end, in seconds since the epoch; None for no end.

    Returns:
        False if that is its planned end already.

    Raises:
        RegistrationError: If there is no such client or secret, the secret was ended by an operator, or the end is
            in the past.
    """
    refuse_past(not_after)
    with transaction():
        client = get_client(id_or_name)
        secret = get_secret(client, name)
        if secret.ended_at is not None:
            raise RegistrationError(f"{secret.name} was ended for good: rotate-secret creates another one")
        if secret.not_after == not_after:
            return False
        secret.not_after = not_after
        end = "no end" if not_after is None else f"ends at {not_after}"
        trail.record(Event.SECRET_UPDATED, client_id=client.client_id, reason=f"secret {secret.name}: {end}")
    return True


def usable(client: ClientRow) -> list[ClientSecret]:
    """The secrets of a client that still work."""
    return credential.usable(client.secrets)


def get_secret(client: ClientRow, name: str) -> ClientSecret:
    """The secret of a client with this name.

    Raises:
        RegistrationError: If there is none; the text names one that is spelt nearly like it, or all of them.
    """
    return get({each.name: each for each in client.secrets}, name, refusal=f"{client.name} has no secret named")


def refuse_past(not_after: int | None) -> None:
    if not_after is not None and not_after <= now():
        raise RegistrationError("the end of a secret is in the future; `flask clients revoke-secret` ends one now")
