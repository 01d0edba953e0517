"""A worker's copy of the keys: which one signs, which ones are published.

They are read from the database at most every 5 seconds, once more for an unknown `kid`, and before the next
use after a change. Parsed keys are reused: importing an RSA key takes 40 ms, a signature a quarter of one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext

from flask import Flask
from joserfc import jwk
from sqlalchemy import or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.checks import Check, making
from app.clock import now
from app.keys import cipher
from app.keys.signer import Signer
from app.keys.signing_key import READ_SECONDS, KeyGeneration, SigningKey
from app.logs import log
from app.per_app import PerApp
from app.storage.reserved import current_reserved
from app.storage.waiting import at_most

SIGNING_KEY = Check("signing_key", "There is a key that signs.", "RFC 9068, section 2.1")

REREAD_SECONDS = 2

# The number of the current keys, for the statements that every token needs.
GENERATION = select(KeyGeneration.number).scalar_subquery().label("key_generation")


class NoSigningKeyError(Exception):
    """There is no key to sign with, or it cannot be decrypted; the text says which."""


class Keystore:
    """One per app."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: Sequence[SigningKey] = ()
        self._read_at: int | None = None
        self._generation = 0  # of the keys that were read
        self._newest = 0  # the newest that was seen in the database
        self._public: dict[str, jwk.Key] = {}
        self._signers: dict[str, Signer] = {}

    def rows(self, *, max_age: int = READ_SECONDS, wait: int = 0) -> Sequence[SigningKey]:
        """The keys that are not gone, as they were at most `max_age` seconds ago.

        One thread reads them again; the others wait for it `wait` seconds and then use what they have. They
        wait longer if a change was noticed, and as long as it takes if there are no keys at all.
        """
        if self._is_older(max_age) and self._lock.acquire(timeout=self._patience(wait)):
            try:
                if self._is_older(max_age):
                    self._read()
            finally:
                self._lock.release()
        return self._rows

    def _is_older(self, seconds: int) -> bool:
        if self._generation < self._newest or self._read_at is None:
            return True
        return not 0 <= now() - self._read_at < seconds

    def _patience(self, wait: int) -> int:
        if not self._rows:
            return -1
        return READ_SECONDS if self._generation < self._newest else wait

    def notice(self, generation: int | None) -> None:
        """Have the keys read again before the next use if the database has this generation and it is newer."""
        if generation is not None and generation > self._newest:
            self._newest = generation

    def forget(self) -> None:
        """Have the keys read again before the next use: this process has changed one itself."""
        self._read_at = None

    def public(self, row: SigningKey) -> jwk.Key:
        if row.kid not in self._public:
            self._public[row.kid] = jwk.import_key(row.public_jwk)
        return self._public[row.kid]

    def signer(self, row: SigningKey) -> Signer:
        if row.kid not in self._signers:
            key = jwk.import_key(cipher.decrypt(row.private_pem), row.public_jwk["kty"])
            self._signers[row.kid] = Signer(row.alg, row.kid, key)
        return self._signers[row.kid]

    def _read(self) -> None:
        still = or_(SigningKey.gone_at.is_(None), SigningKey.gone_at > now())
        query = select(SigningKey).where(SigningKey.withdrawn_at.is_(None), still).order_by(SigningKey.id.desc())
        noticed = self._newest
        try:
            # A bounded wait if there are keys: the JWKS shows them while the database is frozen.
            with at_most(REREAD_SECONDS) if self._rows else nullcontext(), Session(current_reserved()) as session:
                # The number first: a change between the two reads makes it too low, and the keys are read again.
                generation = session.scalar(select(KeyGeneration.number)) or 0
                self._rows = session.scalars(query).all()
                session.expunge_all()
            if generation < noticed:  # the database was restored from a backup
                self._newest = generation
        except SQLAlchemyError as error:
            if not self._rows:
                raise
            log.error("the signing keys cannot be read, and stay as they were: %s", type(error).__name__)
            generation = noticed  # or every request would try again, and not one in READ_SECONDS
        self._generation, self._read_at = generation, now()


current_keystore = PerApp[Keystore]("keystore")


def init_app(app: Flask) -> None:
    current_keystore.set(app, Keystore())


def signer() -> Signer:
    """The one key that signs now.

    Raises:
        NoSigningKeyError: If there is none or it cannot be decrypted.
    """
    making.now.check = SIGNING_KEY
    moment = now()
    active = next((row for row in current_keystore().rows() if row.state(moment) == "active"), None)
    if active is None:
        log.error("there is no signing key: run `flask prepare`")
        raise NoSigningKeyError("there is no signing key")
    try:
        return current_keystore().signer(active)
    except cipher.SealedKeyError as error:
        log.error("the signing key cannot be decrypted: %s", error)
        raise NoSigningKeyError("the signing key cannot be decrypted") from error


def published() -> list[SigningKey]:
    """The keys in the JWKS: first the one that signs, then the next one, the standby and the retired ones."""
    moment = now()
    order = ("active", "next", "standby", "retired")
    shown = [row for row in current_keystore().rows() if row.state(moment) in order]
    return sorted(shown, key=lambda row: order.index(row.state(moment)))


def find_public(kid: str) -> tuple[SigningKey, jwk.Key] | None:
    """The published key with this id, or None.

    Another worker may just have created it, so the keys are read again for an unknown id, at most once
    a second: forged ids cannot make this worker read again and again.
    """
    for max_age, wait in ((READ_SECONDS, 0), (1, 1)):
        for row in current_keystore().rows(max_age=max_age, wait=wait):
            if row.kid == kid and row.state(now()) != "gone":
                return row, current_keystore().public(row)
    return None
