"""Every change of the signing keys: the first one, the standby, rotation, withdrawal.

Each is one transaction with its audit event and the number by which every worker notices it. It leaves
exactly one key that signs, now and at any later time, and one that every cache of the JWKS has and that can take over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.audit.event import Event
from app.clock import now
from app.keys import cipher
from app.keys.key_rows import all_keys, changed, generate, in_state, publish, record
from app.keys.signing_key import AT_ONCE, LEAD_SECONDS, NEVER, SigningKey
from app.settings import current_settings
from app.storage.database import transaction

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
        publish(key, signs_from=-now())
        record(Event.KEY_CREATED, reason=f"kid {key.kid}, the first")
    return changed(key)


def ensure_standby() -> SigningKey | None:
    """Publish a standby key if there is none; None if there is one.

    Nothing is published by a process whose secret keys do not decrypt the active key: the servers use others.
    """
    if find_standby() or not all_keys():
        return None
    made = generate()
    with transaction():
        keys, moment = all_keys(), now()
        active = in_state("active", keys, moment)
        if active is None or not cipher.opens(active.private_pem):
            return None
        if first_usable([in_state("standby", keys, moment)], moment):
            return None
        publish(made, signs_from=NEVER)
        record(Event.KEY_CREATED, reason=f"kid {made.kid}, the standby")
    return changed(made)


def find_standby() -> SigningKey | None:
    """The standby key, if this process can decrypt it."""
    standby = in_state("standby", all_keys(), now())
    return standby if standby and cipher.opens(standby.private_pem) else None


def rotate(*, at_once: bool = False, lost_secret_key: bool = False, older_than: int = 0) -> SigningKey:
    """Let the standby key sign, once every cache of the JWKS has its successor, and publish another standby.

    Without a standby of KEYTURN_SIGNING_ALG, as after a change of that setting, the next key is a new one.

    Args:
        at_once: Sign with it at once: each worker does so from its next request on. An API that cached the
            JWKS before the key was in it refuses its tokens until it fetches the JWKS again.
        lost_secret_key: With `at_once`, also if no secret key decrypts the key that signs now.
        older_than: Only if the active key has signed for this many seconds.

    Returns:
        The key that signs next; `signs_from` is when.

    Raises:
        RotationError: If the next key is published already, unless `at_once`; if the active key is not as old; if
            this command's secret keys do not decrypt it, unless `lost_secret_key`.
    """
    made = generate_enough()
    with transaction():
        keys, moment = all_keys(), now()
        active, waiting = in_state("active", keys, moment), in_state("next", keys, moment)
        if waiting and not at_once:
            raise RotationError(f"the key {waiting.kid} is already published; --now makes it sign at once")
        if active and moment - (active.signs_since() or 0) < older_than:
            raise RotationError(f"the key {active.kid} is not as old")
        if not lost_secret_key:
            refuse_another_secret(active, hint=LOST if at_once else "")
        key = first_usable([waiting, standby_of_our_algorithm(keys, moment)], moment) or publish_new(made)
        key.signs_from = moment + LEAD_SECONDS
        if active:
            active.retire(moment if at_once else key.signs_from)
        if at_once:
            let_sign_at_once(key, keys, moment)
        replace_standby(made, [*keys, key], moment)
        record(Event.KEY_ROTATED, reason=f"kid {key.kid} signs {'at once' if at_once else f'from {key.signs_from}'}")
    return changed(key)


def withdraw(kid: str, *, lost_secret_key: bool = False) -> SigningKey:
    """Take a leaked key out of use, for good: its tokens are refused, and the JWKS drops it within READ_SECONDS.

    A key that is gone as planned can be withdrawn too: then no clock that moves back revives it.

    Args:
        kid: Its id.
        lost_secret_key: Also if no secret key decrypts the key that signs now.

    Returns:
        The key that signs from now on; if the leaked key did, it is the next key or the standby.

    Raises:
        RotationError: If there is no such key, or it is already withdrawn; if another key has to sign, and
            this command's secret keys do not decrypt the one that does, unless `lost_secret_key`.
    """
    made = generate_enough()
    with transaction():
        keys, moment = all_keys(), now()
        leaked = next((key for key in keys if key.kid == kid and key.withdrawn_at is None), None)
        if leaked is None:
            raise RotationError("no key has this kid, or it is already withdrawn")  # it may be a secret by mistake
        was = leaked.state(moment)
        if was == "active" and not lost_secret_key:
            refuse_another_secret(leaked, hint=LOST)
        leaked.withdraw(moment)
        successor = choose_successor(keys, moment) or publish_new(made)
        let_sign_at_once(successor, keys, moment)
        if was == "next":
            successor.stay()
        replace_standby(made, [*keys, successor], moment)
        record(Event.KEY_WITHDRAWN, reason=f"kid {kid} was {was}; {successor.kid} signs")
    return changed(successor)


def generate_enough() -> list[SigningKey]:
    """A standby, and a key that signs if no standby can: generated before the transaction, for which others wait."""
    standby = find_standby()
    return [generate() for _ in range(1 if standby and standby.alg == current_settings().signing_alg else 2)]


def publish_new(made: list[SigningKey]) -> SigningKey:
    return publish(made.pop(), signs_from=NEVER)


def replace_standby(made: list[SigningKey], keys: Iterable[SigningKey], moment: int) -> None:
    """Publish a standby if there is none; without a key for it, `ensure_standby` does so later."""
    if made and in_state("standby", keys, moment) is None:
        publish_new(made)


def standby_of_our_algorithm(keys: Iterable[SigningKey], moment: int) -> SigningKey | None:
    """The standby; one of another algorithm than KEYTURN_SIGNING_ALG is withdrawn."""
    standby = in_state("standby", keys, moment)
    if standby and standby.alg != current_settings().signing_alg:
        standby.withdraw(moment)
        return None
    return standby


def first_usable(candidates: Iterable[SigningKey | None], moment: int) -> SigningKey | None:
    """The first that can be decrypted; those before it are withdrawn."""
    for key in candidates:
        if key and cipher.opens(key.private_pem):
            return key
        if key:
            key.withdraw(moment)
    return None


def let_sign_at_once(chosen: SigningKey, keys: Iterable[SigningKey], moment: int) -> None:
    """Make it the key that signs, whatever the clock of a machine says, and not one before it."""
    chosen.sign_at_once(moment)
    for key in keys:
        if key is not chosen and key.state(moment) in ("retired", "gone"):
            key.retired_at = AT_ONCE


def choose_successor(keys: Sequence[SigningKey], moment: int) -> SigningKey | None:
    """The key that signs when another one is withdrawn: the active one, or one that every cache has."""
    if active := in_state("active", keys, moment):
        return active
    return first_usable([in_state(state, keys, moment) for state in ("next", "standby")], moment)


def refuse_another_secret(active: SigningKey | None, *, hint: str) -> None:
    """A key encrypted with another secret key than the servers' would stop all of them."""
    if active and not cipher.opens(active.private_pem):
        raise RotationError(OTHER_SECRET.format(kid=active.kid) + hint)
