"""The secrets of another server's clients, of which only the SHA-256 digests are known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from app.clients import registration_rules
from app.clients.registration_rules import RegistrationError
from app.clients.secret import MAX_SECRETS, digest
from app.clock import now
from app.logs import shown
from app.settings import toml_text

DIGEST = re.compile(r"[0-9a-f]{64}")
MAX_TIME = 10_000_000_000  # the year 2286, in seconds: a time in milliseconds is later


@dataclass(frozen=True, slots=True)
class ImportedSecret:
    """A secret of which only the digest is known; `not_after` is its planned end, in seconds since the epoch."""

    name: str
    digest: bytes
    not_after: int | None


def checked_secrets(described: list[dict[str, Any]], guessable: set[str]) -> list[ImportedSecret]:
    """The digests of a line.

    Args:
        described: Its `secrets`.
        guessable: Texts that are no secret.
    """
    if len(described) > MAX_SECRETS:
        raise RegistrationError(f"a client has at most {MAX_SECRETS} secrets")
    secrets = [checked_secret(number, each) for number, each in enumerate(described, 1)]
    for several in ([each.name for each in secrets], [each.digest for each in secrets]):
        if len(set(several)) < len(secrets):
            raise RegistrationError("two of its secrets have the same name or the same digest")
    known = {digest(text) for text in ("", *guessable)}
    if any(each.digest in known for each in secrets):
        raise RegistrationError("the secret is empty, or the client's own id or name: anyone can guess it")
    return secrets


def checked_secret(number: int, described: dict[str, Any]) -> ImportedSecret:
    for key in described:
        if key not in ("name", "sha256", "not_after"):
            raise RegistrationError(f"of a secret, {toml_text.unknown(shown(key), ('name', 'sha256', 'not_after'))}")
    sha256, name, end = (described.get(key) for key in ("sha256", "name", "not_after"))
    if not isinstance(sha256, str) or not DIGEST.fullmatch(sha256):
        raise RegistrationError("sha256 must be the digest of the secret as 64 hexadecimal digits, in lower case")
    if end is not None and (type(end) is not int or not now() < end < MAX_TIME):
        raise RegistrationError("not_after must be a time in the future, in seconds since the epoch")
    checked = registration_rules.checked_name(str(name)) if name is not None else f"secret-{number}"
    return ImportedSecret(checked, bytes.fromhex(sha256), end)
