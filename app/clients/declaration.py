"""The clients that TOML files declare, `[clients.NAME]`, for `flask apply`.

All faults of all files are found at once, each with its file and line. No message repeats a value that may be a
secret, and a file that holds one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from app.clients import registered_values, registration_rules
from app.clients.registered_value import CHOICE, WORD
from app.clients.registered_values import VALUES
from app.clients.registration_rules import RegistrationError
from app.logs import one_line
from app.settings import toml_text

# Beside the values of a registration: whether the client is disabled, and the name that it had before.
OTHER_KEYS = {"disabled": CHOICE, "renamed_from": WORD}
SECRET_KEYS = {"secret", "secrets", "client_secret", "client_secrets", "password", "sha256", "private_key"}
LOOKS_SECRET = re.compile(r"\bkt[as]_[A-Za-z0-9_-]{12,}|\beyJ[A-Za-z0-9_-]{12,}\.|-----BEGIN [A-Z ]*PRIVATE")
PRIVATE_JWK = re.compile(r"""\b[dk]["']?\s*[=:]\s*["'][A-Za-z0-9_-]{40,}""")
HOLDS_SECRET = (
    "here is what looks like a secret, a token or a private key: remove it. "
    "Anyone who can read the file has it, so rotate it as well"
)
NO_SECRETS = "a file of clients never has secrets: Keyturn makes them when it creates the client"
OF_KEYTURN_FILE = "resources and scopes are declared in keyturn.toml, which the server reads when it starts"
FORM = "a file of clients has [clients.NAME] and nothing else"


class DeclarationError(RegistrationError):
    """Files that declare something wrong; the text has a line for each fault."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A client that a file declares.

    Attributes:
        name: Its name.
        values: The checked value of each of `VALUES`.
        disabled: Whether it is disabled; None leaves that as it is.
        renamed_from: The name that it may still have.
        place: The file and the line, for messages.
    """

    name: str
    values: Mapping[str, Any]
    disabled: bool | None
    renamed_from: str | None
    place: str


def read(files: Iterable[tuple[str, bytes]]) -> list[Declared]:
    """The clients of some files, in their order.

    Args:
        files: The name and the content of each.

    Raises:
        DeclarationError: With everything that is wrong.
    """
    faults: list[Fault] = []
    places: dict[str, str] = {}
    found = [
        client
        for number, (name, content) in enumerate(files)
        for client in DeclarationFile(number, name, faults, places).clients(content)
    ]
    sentences = [fault.sentence for fault in sorted(faults)] + rename_faults(found)
    if sentences:
        raise DeclarationError("\n".join(["nothing was changed, because of this:", *sentences]))
    return found


def rename_faults(declared: Sequence[Declared]) -> list[str]:
    """What is wrong with the earlier names of clients: one is declared, or two clients had it."""
    owners = {each.name: each.name for each in declared}
    faults = []
    for each in declared:
        if each.renamed_from is None:
            continue
        if (owner := owners.setdefault(each.renamed_from, each.name)) == each.renamed_from:
            faults.append(f"{each.place}: {each.name} was renamed from {owner}, which is declared as well")
        elif owner != each.name:
            faults.append(f"{each.place}: {each.name} and {owner} were both renamed from {each.renamed_from}")
    return faults


class Fault(NamedTuple):
    """What is wrong, in the order of files and lines."""

    file: int
    line: int
    sentence: str


class DeclarationFile:
    """One file, while it is read.

    Args:
        number: Which file it is.
        name: Its name.
        faults: Where to add what is wrong with it.
        places: Where the clients of the files before it are declared, and where to add its own.
    """

    def __init__(self, number: int, name: str, faults: list[Fault], places: dict[str, str]) -> None:
        self.number, self.name, self.faults, self.places = number, name, faults, places
        self.lines: dict[tuple[str, ...], int] = {}

    def clients(self, content: bytes) -> Iterator[Declared]:
        try:
            text = toml_text.decoded(content)
            if self.holds_secrets(text):
                return
            document = toml_text.parsed(text)
        except ValueError as error:
            self.faults.append(Fault(self.number, 0, one_line(f"{self.name}: {error}")))
            return
        self.lines = toml_text.lines(text)
        for key in document:
            if key != "clients":
                is_resource = key in ("resources", "issuers")
                self.fault((key,), OF_KEYTURN_FILE if is_resource else f"{key} is unknown: {FORM}")
        tables = document.get("clients", {})
        if not isinstance(tables, dict):
            self.fault(("clients",), f"clients is not a table: {FORM}")
            return
        for client, table in tables.items():
            if (found := self.client(client, table)) is not None:
                yield found

    def holds_secrets(self, text: str) -> bool:
        """Find secrets in the whole text: in a comment, they are in git as well."""
        found = [
            n for n, line in enumerate(text.splitlines(), 1) if LOOKS_SECRET.search(line) or PRIVATE_JWK.search(line)
        ]
        self.faults += [Fault(self.number, n, f"{self.name}, line {n}: {HOLDS_SECRET}") for n in found]
        return bool(found)

    def client(self, name: str, table: object) -> Declared | None:
        path = ("clients", name)
        if not isinstance(table, dict):
            self.fault(path, f"clients.{name} is not a table: write [clients.{name}]")
            return None
        before = len(self.faults)
        if (first := self.places.setdefault(name, self.place(path))) != self.place(path):
            self.fault(path, f"the client {name} is declared in {first} already")
        self.check_name(path, name)
        values, faults = registered_values.checked_of_a_file(table, partial(key_fault, name))
        for key, sentence in faults.items():
            written = key if key in table else "scope"  # on which a default scope depends
            self.fault((*path, written), f"[clients.{name}] {sentence}")
        if "renamed_from" in table and "renamed_from" not in faults:
            self.check_name((*path, "renamed_from"), table["renamed_from"])
        if len(self.faults) > before:
            return None
        return Declared(name, values, table.get("disabled"), table.get("renamed_from"), self.place(path))

    def check_name(self, path: tuple[str, ...], name: str) -> None:
        try:
            registration_rules.checked_client_name(name)
        except RegistrationError as error:
            self.fault(path, str(error))

    def fault(self, path: tuple[str, ...], sentence: str) -> None:
        self.faults.append(Fault(self.number, self.line(path), one_line(f"{self.place(path)}: {sentence}")))

    def place(self, path: tuple[str, ...]) -> str:
        line = self.line(path)
        return f"{self.name}, line {line}" if line else self.name

    def line(self, path: tuple[str, ...]) -> int:
        """The line of the nearest key that is written in the file; 0 if there is none."""
        known = (self.lines.get(path[:length]) for length in range(len(path), 0, -1))
        return next((number for number in known if number is not None), 0)


def key_fault(client: str, key: str, value: object) -> str | None:
    """What is wrong with a key of a client, or with the form of its value."""
    if key in VALUES:
        return registered_values.form_fault(key, value)
    if key in OTHER_KEYS:
        form = OTHER_KEYS[key]
        return None if form.fits(value) else f"{key} must be {form.words}"
    if key in SECRET_KEYS:
        return f"{key}: {NO_SECRETS}"
    if isinstance(value, dict):
        return f'{key} is no table of a client; a name with a dot is in quotes: [clients."{client}.{key}"]'
    return toml_text.unknown(key, (*VALUES, *OTHER_KEYS))
