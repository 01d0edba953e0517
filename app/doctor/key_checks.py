"""The checks of the signing keys, of their encryption, and what a token costs on this machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from time import perf_counter_ns

from sqlalchemy import select

from app.clock import DAY_SECONDS, duration, now
from app.doctor.finding import Finding, fault, note, warning
from app.doctor.installation import Installation
from app.health import conditions
from app.keys import cipher, keystore, rotation
from app.keys.key_rows import all_keys, in_state
from app.keys.signing_key import KeyGeneration
from app.storage.fast_statement import Statement

LATE_DAYS = 2  # a round is done every five minutes, but nobody is to be called for an evening's outage
OLD_DAYS = 365
ROUNDS = 50
READ = Statement(select(KeyGeneration.number))


def check_signing_key(_: Installation) -> Iterator[Finding]:
    sentence = conditions.signing_key()
    if sentence == conditions.NO_KEY:
        yield fault("There is no signing key.", "Run `flask prepare`.")
    elif sentence:
        yield fault(
            "This command's KEYTURN_SECRET_KEYS do not decrypt the signing key: if the servers' are the same, they "
            "issue no token.",
            "Set the key that encrypted it. If that is lost, `flask keys rotate --now --lost-secret-key` creates a new "
            "signing key.",
        )


def check_key_age(installation: Installation) -> Iterator[Finding]:
    days, active = installation.settings.key_rotation_days, in_state("active", all_keys(), now())
    if active is None or active.retired_at is not None:
        return
    age = now() - (active.signs_since() or now())
    if days and age > (days + LATE_DAYS) * DAY_SECONDS:
        yield fault(
            f"The signing key has signed for {duration(age)}, and KEYTURN_KEY_ROTATION_DAYS is {days}: the upkeep does "
            "not rotate it.",
            "The log of the servers says why; `flask keys rotate` does it by hand.",
        )
    elif not days and age > OLD_DAYS * DAY_SECONDS:
        yield warning(
            f"The signing key has signed for {duration(age)}, and KEYTURN_KEY_ROTATION_DAYS is 0.",
            "Run `flask keys rotate`, or let the upkeep rotate it.",
        )


def check_standby(_: Installation) -> Iterator[Finding]:
    """A standby is published: after a withdrawal, APIs that cache the JWKS have it already."""
    if all_keys() and rotation.find_standby() is None:
        yield fault(
            "There is no standby signing key that can be decrypted: after `flask keys withdraw`, APIs would refuse the "
            "new tokens for minutes.",
            "Run `flask prepare`.",
        )


def check_encryption(_: Installation) -> Iterator[Finding]:
    """The keys that sign, or will, are decrypted by the newest secret key."""
    moment = now()
    keys = [key for key in all_keys() if key.state(moment) in ("active", "next", "standby")]
    for key in keys:
        state = key.state(moment)
        if not cipher.opens(key.private_pem):
            if state == "next":
                yield fault(
                    f"KEYTURN_SECRET_KEYS do not decrypt the next signing key, {key.kid}.",
                    "Set the key that encrypted it, or run `flask keys withdraw` for it.",
                )
        elif not cipher.is_newest(key.private_pem):
            yield warning(
                f"The {state} signing key is encrypted with an older one of KEYTURN_SECRET_KEYS.",
                "Once every server has the newest, `flask prepare` encrypts with it; then remove the older one.",
            )


def check_cost(_: Installation) -> Iterator[Finding]:
    """A figure, compared with nothing: docs/performance.md has those of a known machine."""
    try:
        signer = keystore.signer()
    except keystore.NoSigningKeyError:
        return  # another check says so
    signature, statement = microseconds(lambda: signer.sign({"sub": "doctor"})), microseconds(READ.run)
    yield note(f"On this machine an {signer.alg} signature takes {signature:,} µs, and a statement {statement:,} µs.")


def microseconds(work: Callable[[], object]) -> int:
    """The median time of it, in whole microseconds, at least 1."""
    work()
    found = []
    for _ in range(ROUNDS):
        begin = perf_counter_ns()
        work()
        found.append(perf_counter_ns() - begin)
    return max(1, round(statistics.median(found) / 1_000))
