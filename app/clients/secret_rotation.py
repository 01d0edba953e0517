"""How a client gets a new secret while the old ones run out."""

from __future__ import annotations

from itertools import count

from app.audit import trail
from app.audit.event import Event
from app.clients import registration_rules
from app.clients.client_row import ClientRow
from app.clients.registration_rules import RegistrationError
from app.clients.registry import get_client
from app.clients.secret import MAX_SECRETS, ClientSecret, digest, generate, has_ended
from app.clock import now
from app.storage.database import transaction

MAX_OVERLAP_SECONDS = 604_800


def rotate_secret(id_or_name: str, *, name: str | None = None, overlap: int = 0) -> str:
    """Create a new secret for a client and let the old ones run out.

    Args:
        id_or_name: The client.
        name: The name of the new secret; None for `secret-N`.
        overlap: Seconds for which the old secrets still work, 0 to 604800; 0 ends them now, whatever the clock
            of a server says.

    Returns:
        The new secret in plaintext: shown once, stored only as a digest.

    Raises:
        RegistrationError: If there is no such client, the overlap or the name is not valid, or MAX_SECRETS of its
            secrets still work.

    See RFC 7591, section 3.2.1 (`client_secret_expires_at`). The overlap is our own.
    """
    if not 0 <= overlap <= MAX_OVERLAP_SECONDS:
        raise RegistrationError(f"the overlap is 0 to {MAX_OVERLAP_SECONDS} seconds")
    plaintext = generate()
    with transaction():
        client = get_client(id_or_name)
        for old in client.secrets:
            if overlap:
                old.end_by(now() + overlap)
            else:
                old.end(now())
        make_room(client)
        taken = {old.name for old in client.secrets}
        if name in taken:
            raise RegistrationError(f"the client has a secret named {name}")
        new_name = name or next(free for n in count(1) if (free := f"secret-{n}") not in taken)
        client.secrets.append(ClientSecret(name=registration_rules.checked_name(new_name), digest=digest(plaintext)))
        trail.record(Event.SECRET_ROTATED, client_id=client.client_id, reason=f"overlap {overlap} seconds")
    return plaintext


def make_room(client: ClientRow) -> None:
    """Remove secrets that have ended, oldest first, until one more fits."""
    for old in [each for each in client.secrets if has_ended(each)]:
        if len(client.secrets) >= MAX_SECRETS:
            client.secrets.remove(old)
    if len(client.secrets) >= MAX_SECRETS:
        raise RegistrationError(
            f"the client has {MAX_SECRETS} secrets that still work; rotate with an overlap of 0 to end them"
        )
