"""The lines of `flask clients import`: one JSON object for each client of another server.

The words are those of `flask apply`, with `client_id`, `name` and `secrets`, which has SHA-256 digests and never a
secret in plaintext. All faults are found at once, each with its line.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import config
from app.clients import registered_values, registration_rules
from app.clients.declaration import LOOKS_SECRET
from app.clients.registered_values import VALUES
from app.clients.registration_rules import RegistrationError
from app.clients.secret import MAX_SECRETS
from app.clock import now
from app.logs import one_line, shown
from app.settings import toml_text

ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")  # no client percent-encodes these (RFC 3986, section 2.3)
DIGEST = re.compile(r"[0-9a-f]{64}")
OTHER_KEYS = ("client_id", "name", "disabled", "secrets")
DEMO_IDS = {demo.client_id for demo in config.DEMO_CLIENTS}
MAX_SHOWN = 50
MAX_TIME = 10_000_000_000  # the year 2286, in seconds: a time in milliseconds is later


class ImportFaultsError(RegistrationError):
    """Lines that cannot be imported; the text has a line for each fault."""

    def __init__(self, faults: list[str]) -> None:
        more = [f"and {len(faults) - MAX_SHOWN} more"] if len(faults) > MAX_SHOWN else []
        super().__init__("\n".join(["nothing was changed, because of this:", *faults[:MAX_SHOWN], *more]))


@dataclass(frozen=True, slots=True)
class ImportedSecret:
    """A secret that only its digest is known of; `not_after` is its planned end, in seconds since the epoch."""

    name: str
    digest: bytes
    not_after: int | None


@dataclass(frozen=True, slots=True)
class ImportedClient:
    """A client of another server: `values` as in `declaration.Declared`, and the line that it is from."""

    line: int
    client_id: str
    name: str
    values: Mapping[str, Any]
    disabled: bool
    secrets: tuple[ImportedSecret, ...]


def read(text: Iterable[str]) -> list[ImportedClient]:
    """The clients of some lines, in their order; empty lines are skipped.

    Raises:
        ImportFaultsError: With everything that is wrong.
    """
    found: list[ImportedClient] = []
    faults: list[str] = []
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            found.append(client(number, parsed(line)))
        except RegistrationError as error:
            faults += [one_line(f"line {number}: {sentence}") for sentence in str(error).split("\n")]
    faults += repeated(found)
    if faults:
        raise ImportFaultsError(faults)
    return found


def decoded(content: bytes) -> list[str]:
    """The lines of a file.

    Raises:
        ImportFaultsError: If it is not UTF-8.
    """
    try:
        return toml_text.decoded(content).split("\n")
    except ValueError as error:
        raise ImportFaultsError([str(error)]) from error


def parsed(line: str) -> dict[str, Any]:
    if LOOKS_SECRET.search(line):
        raise RegistrationError("it has what looks like a secret, a token or a private key: send its SHA-256 instead")
    try:
        document = json.loads(line)
    except ValueError as error:
        raise RegistrationError("it is not JSON: each line is one object") from error
    if not isinstance(document, dict):
        raise RegistrationError("it is not a JSON object")
    return document


def client(line: int, document: dict[str, Any]) -> ImportedClient:
    """A client as a line describes it.

    Raises:
        RegistrationError: With a line of text for each fault.
    """
    wrong = {key: sentence for key, value in document.items() if (sentence := key_fault(key, value))}
    values, faults = registered_values.checked({k: v for k, v in document.items() if k in VALUES and k not in wrong})
    if wrong:  # then a value that seems to be left out may be misspelt
        faults = {key: sentence for key, sentence in faults.items() if key in document}
    sentences = [registered_values.in_a_file(each) for each in (wrong | faults).values()]
    client_id = document.get("client_id", "")
    name = document.get("name", client_id)
    secrets: list[ImportedSecret] = []
    try:
        if "client_id" not in wrong and "name" not in wrong:
            check_names(client_id, name)
        if "secrets" not in wrong:
            secrets = checked_secrets(document.get("secrets", []), {client_id, name})
    except RegistrationError as error:
        sentences.append(str(error))
    if sentences:
        raise RegistrationError("\n".join(sentences))
    return ImportedClient(line, client_id, name, values, document.get("disabled", False), tuple(secrets))


def key_fault(key: str, value: object) -> str | None:
    """What is wrong with a member of a line, or with the form of its value."""
    if key in VALUES:
        return registered_values.form_fault(key, value)
    if key in ("client_id", "name"):
        return None if isinstance(value, str) else f"{key} must be a text"
    if key == "disabled":
        return None if isinstance(value, bool) else "disabled must be true or false"
    if key == "secrets":
        is_list = isinstance(value, list) and all(isinstance(each, dict) for each in value)
        return None if is_list else 'secrets must be a list, as [{"sha256": "…"}]'
    if key in ("secret", "client_secret"):
        return f'{key} is a secret itself: send its digest, as "secrets": [{{"sha256": "…"}}]'
    return toml_text.unknown(shown(key), (*VALUES, *OTHER_KEYS))


def check_names(client_id: str, name: str) -> None:
    if not ID.fullmatch(client_id):
        raise RegistrationError("client_id must be 1 to 64 letters, digits and . _ ~ -")
    if client_id in DEMO_IDS:
        raise RegistrationError(f"the id {client_id} is a demo client's")
    try:
        registration_rules.checked_client_name(name)
    except RegistrationError as error:
        advice = "; this is the client_id, as the line has no name" if name == client_id else ""
        raise RegistrationError(f"{error}{advice}") from error


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
    known = {hashlib.sha256(text.encode()).digest() for text in ("", *guessable)}
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


def repeated(clients: Iterable[ImportedClient]) -> list[str]:
    """What two lines have in common and must not: an id, a name, or a secret, which is not random then."""
    first: dict[str | bytes, ImportedClient] = {}
    faults = []
    for each in clients:
        marks: list[str | bytes] = [each.client_id, each.name, *(secret.digest for secret in each.secrets)]
        for what in marks:
            other = first.setdefault(what, each)
            if other is not each:
                word = "secret" if isinstance(what, bytes) else "id or name"
                faults.append(f"line {each.line}: {each.client_id} has the same {word} as line {other.line}")
    return list(dict.fromkeys(faults))
