"""This file is every change of the signing keys: the first one, rotation, withdrawal.

Each is one transaction with its audit event, and leaves exactly one key that signs, now and at
any later moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from joserfc import jwk
from sqlalchemy import select

from app.audit import trail
from app.audit.event import Event
from app.clock import now
from app.keys import cipher
from app.keys.keystore import current_keystore
from app.keys.signing_key import LEAD_SECONDS, SigningKey
from app.settings import current_settings
from app.storage.database import db, transaction


class RotationError(ValueError):
    """A change of keys that is not possible now; the text says why."""


def make_first() -> SigningKey | None:
    """Make the first key, which signs at once; None if there is one."""
    if all_keys():
        return None
    key = generate()
    with transaction():
        publish(key, signs_from=now())
        trail.record(Event.KEY_CREATED, reason=f"kid {key.kid}, the first")
    return changed(key)


def rotate(*, at_once: bool = False) -> SigningKey:
    """Publish the next key, and let it sign once every cache of the JWKS has seen it.

    Args:
        at_once: Sign with it now. Who has cached the JWKS refuses its tokens until they fetch it
            again; our own workers do so within a second.

    Returns:
        The key that signs next, with the moment from which on.

    Raises:
        RotationError: If a key is published already and waits, unless it shall sign at once.
        SealedKeyError: If no secret key opens the key that signs now, unless the new one shall at once.
    """
    made = generate()
    with transaction():
        keys, moment = all_keys(), now()
        waiting = next((key for key in keys if key.state(moment) == "next"), None)
        if waiting and not at_once:
            raise RotationError(f"the key {waiting.kid} is published and waits; --now lets it sign at once")
        key = waiting or publish(made, signs_from=moment + LEAD_SECONDS)
        if at_once:
            key.signs_from = moment
        for active in [each for each in keys if each.state(moment) == "active" and each is not key]:
            if not at_once:
                cipher.decrypt(active.private_pem)  # raises if the servers have another secret key than this command
            active.retire(key.signs_from)
        trail.record(Event.KEY_ROTATED, reason=f"kid {key.kid} signs from {key.signs_from}")
    return changed(key)


def withdraw(kid: str) -> SigningKey:
    """Take a leaked key out of the JWKS: its tokens are refused within READ_SECONDS.

    Returns:
        The key that signs from now on, a new one if it was the leaked one that did.

    Raises:
        RotationError: If there is no such key.
    """
    made = generate()  # before it is known whether it is needed: nobody waits for it with the database locked
    with transaction():
        keys, moment = all_keys(), now()
        leaked = next((key for key in keys if key.kid == kid and key.state(moment) != "gone"), None)
        if leaked is None:
            raise RotationError(f"no published key has the kid {kid}")
        was = leaked.state(moment)
        leaked.withdraw(moment)
        others = {key.state(moment): key for key in keys if key is not leaked}
        successor = others.get("active") or others.get("next") or publish(made, signs_from=moment)
        if was == "active":
            successor.signs_from = moment
        if was == "next":
            successor.retired_at = successor.gone_at = None
        trail.record(Event.KEY_WITHDRAWN, reason=f"kid {kid} was {was}; {successor.kid} signs")
    return changed(successor)


def reseal() -> tuple[int, int]:
    """Encrypt the private keys with the newest secret key.

    Returns:
        How many were encrypted again, and how many no secret key opens.
    """
    resealed, closed = 0, 0
    with transaction():
        moment = now()
        for key in [each for each in all_keys() if each.state(moment) != "gone"]:
            try:
                plaintext = cipher.decrypt(key.private_pem)
            except cipher.SealedKeyError:
                closed += 1
                continue
            if not cipher.is_newest(key.private_pem):
                key.private_pem = cipher.encrypt(plaintext)
                resealed += 1
        if resealed:
            trail.record(Event.KEYS_RESEALED, reason=f"{resealed} keys")
    return resealed, closed


def all_keys() -> Sequence[SigningKey]:
    return db.session.scalars(select(SigningKey).order_by(SigningKey.id.desc())).all()


def generate() -> SigningKey:
    """A new key pair of KEYTURN_SIGNING_ALG: RSA of 2048 bits, or P-256."""
    alg = current_settings().signing_alg
    key: jwk.RSAKey | jwk.ECKey = jwk.RSAKey.generate_key(2048) if alg == "RS256" else jwk.ECKey.generate_key("P-256")
    kid = key.thumbprint()
    return SigningKey(
        kid=kid,
        alg=alg,
        public_jwk={**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": alg},
        private_pem=cipher.encrypt(key.as_pem(private=True)),
    )


def publish(key: SigningKey, *, signs_from: int) -> SigningKey:
    key.published_at, key.signs_from = now(), signs_from
    db.session.add(key)
    return key


def changed(key: SigningKey) -> SigningKey:
    current_keystore().forget()
    return key
