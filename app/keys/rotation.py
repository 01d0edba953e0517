"""This file is every change of the signing keys: the first one, rotation, withdrawal.

Each is one transaction with its audit event, and leaves exactly one key that signs, now and at
any later moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from joserfc import jwk
from sqlalchemy import select

import config
from app.audit import trail
from app.clock import now
from app.database import db, transaction
from app.keys import cipher
from app.keys.keystore import keystore
from app.keys.signing_key import LEAD_SECONDS, SigningKey


class RotationError(ValueError):
    """A change of keys that is not possible now; the text says why."""


def make_first() -> SigningKey | None:
    """Make the first key, which signs at once; None if there is one."""
    if all_keys():
        return None
    key = generate(signs_from=now())
    with transaction():
        db.session.add(key)
        trail.record("key_created", reason=f"kid {key.kid}, the first")
    return changed(key)


def rotate(*, at_once: bool = False) -> SigningKey:
    """Publish the next key, and let it sign once every cache of the JWKS has seen it.

    Args:
        at_once: Sign with it now. Who has cached the JWKS refuses its tokens until they fetch it again.

    Returns:
        The key that signs next, with the moment from which on.

    Raises:
        RotationError: If a key is published already and waits, unless it shall sign at once.
    """
    made = generate(signs_from=now() + LEAD_SECONDS)
    with transaction():
        keys = all_keys()
        waiting = [key for key in keys if key.state() == "next"]
        if waiting and not at_once:
            raise RotationError(f"the key {waiting[0].kid} is published and waits; --now lets it sign at once")
        key = waiting[0] if waiting else made
        db.session.add(key)
        if at_once:
            key.signs_from = now()
        for active in [each for each in keys if each.state() == "active" and each is not key]:
            active.retire(key.signs_from)
        trail.record("key_rotated", reason=f"kid {key.kid} signs from {key.signs_from}")
    return changed(key)


def withdraw(kid: str) -> SigningKey:
    """Take a leaked key out of the JWKS: its tokens are refused within READ_SECONDS.

    Returns:
        The key that signs from now on, a new one if it was the leaked one that did.

    Raises:
        RotationError: If there is no such key.
    """
    made = generate(signs_from=now())
    with transaction():
        keys = all_keys()
        leaked = next((key for key in keys if key.kid == kid and key.state() != "gone"), None)
        if leaked is None:
            raise RotationError(f"no published key has the kid {kid}")
        was = leaked.state()
        leaked.retired_at, leaked.gone_at = min(leaked.retired_at or now(), now()), now()
        others = [key for key in keys if key is not leaked]
        successor = next((key for key in others if key.state() == "next"), made)
        if was == "active":
            successor.signs_from = now()
        else:
            successor = next(key for key in others if key.state() == "active")
        if was == "next":
            successor.retired_at = successor.gone_at = None
        db.session.add(successor)
        trail.record("key_withdrawn", reason=f"kid {kid} was {was}; {successor.kid} signs")
    return changed(successor)


def reseal() -> int:
    """Encrypt every private key with the newest secret key; returns how many were not."""
    with transaction():
        old = [key for key in all_keys() if not cipher.is_newest(key.private_pem)]
        for key in old:
            key.private_pem = cipher.encrypt(cipher.decrypt(key.private_pem))
    return len(old)


def all_keys() -> Sequence[SigningKey]:
    return db.session.scalars(select(SigningKey).order_by(SigningKey.id.desc()).with_for_update()).all()


def generate(*, signs_from: int) -> SigningKey:
    """A new key pair of KEYTURN_SIGNING_ALG: RSA of 2048 bits, or P-256."""
    alg = config.current().signing_alg
    key: jwk.RSAKey | jwk.ECKey = jwk.RSAKey.generate_key(2048) if alg == "RS256" else jwk.ECKey.generate_key("P-256")
    kid = key.thumbprint()
    return SigningKey(
        kid=kid,
        alg=alg,
        public_jwk={**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": alg},
        private_pem=cipher.encrypt(key.as_pem(private=True)),
        published_at=now(),
        signs_from=signs_from,
    )


def changed(key: SigningKey) -> SigningKey:
    keystore().forget()
    return key
