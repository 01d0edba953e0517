"""The lines of `flask clients import`: one JSON object for each client of another server.

The words are those of `flask apply`, with `client_id`, `name` and `secrets`, which has SHA-256 digests and never a
secret in plaintext. All faults are found at once, each with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import config
from app.clients import registered_values, registration_rules
from app.clients.declaration import LOOKS_SECRET
from app.clients.imported_secret import ImportedSecret, checked_secrets
from app.clients.registered_values import VALUES
from app.clients.registration_rules import RegistrationError
from app.logs import one_line, shown
from app.settings import toml_text

ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")  # no client percent-encodes these (RFC 3986, section 2.3)
OTHER_KEYS = ("client_id", "name", "disabled", "secrets")
NO_SECRETS = "secrets are of no use to a client that authenticates by {} only: leave them out"
DEMO_IDS = {demo.client_id for demo in config.DEMO_CLIENTS}
MAX_SHOWN = 50


class ImportFaultsError(RegistrationError):
    """Lines that cannot be imported; the text has a line for each fault."""

    def __init__(self, faults: list[str]) -> None:
        more = [f"and {len(faults) - MAX_SHOWN} more"] if len(faults) > MAX_SHOWN else []
        super().__init__("\n".join(["nothing was changed, because of this:", *faults[:MAX_SHOWN], *more]))


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
    values, faults = registered_values.checked_of_a_file(document, key_fault)
    sentences = list(faults.values())
    client_id = document.get("client_id", "")
    name = document.get("name", client_id)
    secrets: list[ImportedSecret] = []
    try:
        if not faults.keys() & {("client_id",), ("name",)}:
            check_names(client_id, name)
        if ("secrets",) not in faults:
            secrets = checked_secrets(document.get("secrets", []), {str(client_id), str(name)})
        if secrets and not registered_values.may_use_secret(values):
            raise RegistrationError(NO_SECRETS.format(values.get("auth_method")))
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
