"""The encryption of all signing keys with the newest of KEYTURN_SECRET_KEYS."""

from __future__ import annotations

from app.audit import trail
from app.audit.event import Event
from app.clock import now
from app.keys import cipher
from app.keys.key_rows import all_keys
from app.storage.database import transaction


def reseal() -> tuple[int, int]:
    """Encrypt the private keys with the newest secret key.

    Returns:
        How many were encrypted again, and how many that sign or will sign cannot be decrypted.
    """
    resealed, closed = 0, 0
    with transaction():
        moment = now()
        for key in [each for each in all_keys() if each.state(moment) != "gone"]:
            try:
                plaintext = cipher.decrypt(key.private_pem)
            except cipher.SealedKeyError:
                closed += key.state(moment) in ("active", "next")
                continue
            if not cipher.is_newest(key.private_pem):
                key.private_pem = cipher.encrypt(plaintext)
                resealed += 1
        if resealed:
            trail.record(Event.KEYS_RESEALED, reason=f"{resealed} keys")
    return resealed, closed
