"""Every change of the signing keys: the first one, rotation, withdrawal.

Each is one transaction with its audit event and the number by which every worker notices it. It leaves
exactly one key that signs, now and at any later time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from joserfc import jwk
from sqlalchemy import select, update

from app.audit import trail
from app.audit.event import Event
from app.clock import now
from app.keys import cipher
from app.keys.keystore import current_keystore
from app.keys.signing_key import AT_ONCE, LEAD_SECONDS, KeyGeneration, SigningKey
from app.settings import current_settings
from app.storage.database import db, transaction

OTHER_SECRET = (
    "KEYTURN_SECRET_KEYS of this command does not decrypt the active signing key ({kid}): the servers use another, "
    "and could not decrypt a key that is created here. Nothing was changed. Run the command with the servers' "
    "KEYTURN_SECRET_KEYS; check the variable, and in development instance/secret-key."
)
LOST = " Only if that secret key is lost, on the servers too: add --lost-secret-key."


class RotationError(ValueError):
    """A change of keys that is not possible now; the text says why."""


def make_first() -> SigningKey | None:
    """Create the first key, which signs at once; None if there is one already."""
    if all_keys():
        return None
    key = generate()
    with transaction():
        publish(key, signs_from=AT_ONCE)
        record(Event.KEY_CREATED, reason=f"kid {key.kid}, the first")
    return changed(key)


def rotate(*, at_once: bool = False, lost_secret_key: bool = False) -> SigningKey:
    """Publish the next key, which signs once every cache of the JWKS has it.

    Args:
        at_once: Sign with it at once: each worker does so from its next request on. An API that has cached
            the JWKS refuses its tokens until it fetches the JWKS again.
        lost_secret_key: With `at_once`, also if no secret key decrypts the key that signs now.

    Returns:
        The key that signs next; `signs_from` is when.

    Raises:
        RotationError: If a key is published already and waits, unless `at_once`; if this command's secret
            keys do not decrypt the key that signs now, unless `lost_secret_key`.
    """
    made = generate()
    with transaction():
        keys, moment = all_keys(), now()
        active, waiting = in_state("active", keys, moment), in_state("next", keys, moment)
        if waiting and not at_once:
            raise RotationError(f"the key {waiting.kid} is already published; --now makes it sign at once")
        if not lost_secret_key:
            refuse_another_secret(active, hint=LOST if at_once else "")
        if waiting and not cipher.opens(waiting.private_pem):
            waiting.withdraw(moment)
            waiting = None
        key = waiting or publish(made, signs_from=moment + LEAD_SECONDS)
        if active:
            active.retire(moment if at_once else key.signs_from)
        if at_once:
            let_sign_at_once(key, keys, moment)
        record(Event.KEY_ROTATED, reason=f"kid {key.kid} signs {'at once' if at_once else f'from {key.signs_from}'}")
    return changed(key)


def withdraw(kid: str, *, lost_secret_key: bool = False) -> SigningKey:
    """Take a leaked key out of use, for good: its tokens are refused, and the JWKS drops it within READ_SECONDS.

    A key that is gone as planned can be withdrawn too: then no clock that moves back revives it.

    Args:
        kid: Its id.
        lost_secret_key: Also if no secret key decrypts the key that signs now.

    Returns:
        The key that signs from now on; another one if the leaked key did.

    Raises:
        RotationError: If there is no such key, or it is already withdrawn; if another key has to sign, and
            this command's secret keys do not decrypt the one that does, unless `lost_secret_key`.
    """
    made = generate()  # even if it is not needed: generating it inside the transaction would block other writers
    with transaction():
        keys, moment = all_keys(), now()
        leaked = next((key for key in keys if key.kid == kid and key.withdrawn_at is None), None)
        if leaked is None:
            raise RotationError("no key has this kid, or it is already withdrawn")  # it may be a secret by mistake
        was = leaked.state(moment)
        if was == "active" and not lost_secret_key:
            refuse_another_secret(leaked, hint=LOST)
        leaked.withdraw(moment)
        successor = choose_successor([key for key in keys if key is not leaked], moment)
        successor = successor or publish(made, signs_from=AT_ONCE)
        let_sign_at_once(successor, keys, moment)
        if was == "next":
            successor.stay()
        record(Event.KEY_WITHDRAWN, reason=f"kid {kid} was {was}; {successor.kid} signs")
    return changed(successor)


def let_sign_at_once(chosen: SigningKey, keys: Iterable[SigningKey], moment: int) -> None:
    """Make it the key that signs, whatever the clock of a machine says, and not one before it."""
    chosen.signs_from = AT_ONCE
    for key in keys:
        if key is not chosen and key.state(moment) in ("retired", "gone"):
            key.retired_at = AT_ONCE


def choose_successor(keys: Sequence[SigningKey], moment: int) -> SigningKey | None:
    """The key that signs when another one is withdrawn; a waiting one that cannot be decrypted is withdrawn too."""
    waiting = in_state("next", keys, moment)
    if active := in_state("active", keys, moment):
        return active
    if waiting and not cipher.opens(waiting.private_pem):
        waiting.withdraw(moment)
        return None
    return waiting


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


def all_keys() -> Sequence[SigningKey]:
    """All keys in the database, also those that are gone, the newest first."""
    return db.session.scalars(select(SigningKey).order_by(SigningKey.id.desc())).all()


def in_state(state: str, keys: Iterable[SigningKey], moment: int) -> SigningKey | None:
    return next((key for key in keys if key.state(moment) == state), None)


def refuse_another_secret(active: SigningKey | None, *, hint: str) -> None:
    """A key encrypted with another secret key than the servers' would stop all of them."""
    if active and not cipher.opens(active.private_pem):
        raise RotationError(OTHER_SECRET.format(kid=active.kid) + hint)


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


def record(event: Event, *, reason: str) -> None:
    """Write the event, and the number by which every worker notices the change."""
    db.session.execute(update(KeyGeneration).values(number=KeyGeneration.number + 1))
    trail.record(event, reason=reason)


def changed(key: SigningKey) -> SigningKey:
    current_keystore().forget()
    return key
