"""The rows of the signing keys: how they are read, made and changed; `rotation.py` decides which and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from joserfc import jwk
from sqlalchemy import select, update

from app.audit import trail
from app.audit.event import Event
from app.clock import now
from app.keys import cipher
from app.keys.keystore import current_keystore
from app.keys.signing_key import KeyGeneration, SigningKey
from app.logs import looks_secret
from app.settings import current_settings
from app.storage.database import db


def all_keys() -> Sequence[SigningKey]:
    """All keys in the database, also those that are gone, the newest first."""
    return db.session.scalars(select(SigningKey).order_by(SigningKey.id.desc())).all()


def in_state(state: str, keys: Iterable[SigningKey], moment: int) -> SigningKey | None:
    return next((key for key in keys if key.state(moment) == state), None)


def generate() -> SigningKey:
    """A new key pair of KEYTURN_SIGNING_ALG: RSA of 2048 bits, or P-256.

    It is encrypted as the active key is: while KEYTURN_SECRET_KEYS is changed from server to server, all decrypt it.
    """
    active = in_state("active", all_keys(), now())
    alg = current_settings().signing_alg
    key = new_pair(alg)
    kid = key.thumbprint()
    return SigningKey(
        kid=kid,
        alg=alg,
        public_jwk={**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": alg},
        private_pem=cipher.encrypt(key.as_pem(private=True), beside=active.private_pem if active else None),
    )


def new_pair(alg: str) -> jwk.RSAKey | jwk.ECKey:
    """A key pair whose thumbprint, its `kid`, does not look like a secret: one in a thousand does."""
    while True:
        key = jwk.RSAKey.generate_key(2048) if alg == "RS256" else jwk.ECKey.generate_key("P-256")
        if not looks_secret(key.thumbprint()):
            return key


def publish(key: SigningKey, *, signs_from: int) -> SigningKey:
    key.published_at, key.signs_from = now(), signs_from
    db.session.add(key)
    return key


def record(event: Event, *, reason: str) -> None:
    """Write the event, and the number by which every worker notices the change."""
    db.session.execute(update(KeyGeneration).values(number=KeyGeneration.number + 1))
    trail.record(event, reason=reason)


def changed(key: SigningKey) -> SigningKey:
    current_keystore().forget()
    return key
